"""One bundle on the runtime that is asked for; what it lacks for that is said with the remedy."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import write_bundle

from vla_nav.contracts import Frame, PolicyError
from vla_nav.runtimes import load_policy

_COMPACT = Path(__file__).parents[2] / 'models' / 'compact'
_SENTENCE = 'Pass the box on its left and stop at the red cup.'


def driven(runtime: str) -> np.ndarray:
    """Return what the shipped policy drives over some frames."""
    policy = load_policy(_COMPACT, 'cpu', runtime=runtime)
    assert policy.spec.runtime == runtime
    policy.set_instruction(_SENTENCE)
    rng = np.random.default_rng(0)
    return np.stack([policy.act(Frame(rng.integers(0, 256, (96, 128, 3), np.uint8),
                                      step * policy.spec.step_ns)).velocities
                     for step in range(3)])


def test_auto_is_the_bundles_own_and_says_which() -> None:
    assert load_policy(_COMPACT, 'cpu').spec.runtime == 'onnx'


def test_a_compiled_network_drives_as_the_one_that_it_is_made_of(
        monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip('torch', reason='torch is not installed (extra "train")')
    # Dynamo's capture of the network without the C++ compiler, which takes a minute.
    monkeypatch.setattr(torch, 'compile', partial(torch.compile, backend='eager'))
    np.testing.assert_allclose(driven('compile'), driven('eager'), atol=1e-5)


def test_a_machine_that_cannot_compile_is_told_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip('torch', reason='torch is not installed (extra "train")')

    def broken(*_: Any, **__: Any) -> Any:
        def call(*_: Any) -> None:
            raise RuntimeError('no working C++ compiler found')
        return call
    monkeypatch.setattr(torch, 'compile', broken)
    with pytest.raises(PolicyError, match=r'no working C\+\+ .* g\+\+; else choose runtime eager'):
        load_policy(_COMPACT, 'cpu', runtime='compile')


@pytest.mark.parametrize('runtime', ['eager', 'compile', 'torchscript'])
def test_without_weights_only_the_bundles_own_runtime_is_there(tmp_path: Path,
                                                               runtime: str) -> None:
    with pytest.raises(PolicyError, match=rf'files\.model is missing: {runtime} .* runtime auto'):
        load_policy(write_bundle(tmp_path), runtime=runtime)


@pytest.mark.parametrize(('module', 'runtime', 'remedy'), [
    ('torch', 'eager', r'needs torch.*pip install "vla_nav\[train\]"`, or choose runtime auto'),
    ('openvino', 'openvino', r'pip install "vla_nav\[openvino\]"`, or choose onnx')])
def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, module: str,
                                        runtime: str, remedy: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, 'vla_nav.policies.traceable', raising=False)
    with pytest.raises(PolicyError, match=remedy):
        load_policy(_COMPACT, 'cpu', runtime=runtime)


def test_an_ensemble_says_what_each_member_runs_on(tmp_path: Path) -> None:
    write_bundle(tmp_path / 'one')
    (tmp_path / 'config.json').write_text(json.dumps({
        'format_version': 1, 'name': 'both', 'architecture': 'ensemble',
        'max_observation_age_s': 0.5, 'members': [{'path': 'one', 'weight': 1},
                                                  {'path': str(_COMPACT), 'weight': 1}]}))
    assert load_policy(tmp_path, 'cpu').spec.runtime == 'onnx'
    with pytest.raises(PolicyError, match=r'one/config\.json: files\.model is missing'):
        load_policy(tmp_path, 'cpu', runtime='eager')
