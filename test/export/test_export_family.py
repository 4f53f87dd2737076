"""Every member of the family, in tiny form, to every target."""

from __future__ import annotations

import json
from pathlib import Path

import bundles
import checkpoints
import numpy as np
import pytest
import torch

from vla_nav.contracts import Frame
from vla_nav.export.write import Order, export
from vla_nav.policies.config import load_preset, presets
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.family_steps import canonical_texts
from vla_nav.policies.save import write_family_bundle
from vla_nav.runtimes import load_policy

SMALL = ['head.hidden=16', 'head.layers=2', 'fusion.size=24', 'action.chunk=4',
         'backbone.height=32', 'backbone.width=48']


@pytest.fixture(scope='module')
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a bundle of each preset."""
    folder = tmp_path_factory.mktemp('members')
    folders = checkpoints.write_checkpoints(folder)
    reader = bundles.write_bundle(folder / 'other') / 'instruction.onnx'
    for name in presets():
        torch.manual_seed(0)
        config = load_preset(name)
        present = {key: path for key, path in folders.items() if getattr(config.backbone, key)}
        forms = checkpoints.overrides(present) if present else SMALL
        write_family_bundle(FamilyPolicy(load_preset(name, forms)).eval(), reader, folder / name,
                            training={})
    return {name: folder / name for name in presets()}


@pytest.mark.parametrize('target', ['onnx', 'torchscript', 'openvino'])
@pytest.mark.parametrize('name', presets())
def test_a_member_is_the_same_wherever_it_runs(members: dict[str, Path], name: str, target: str,
                                               tmp_path: Path) -> None:
    config = export(members[name], tmp_path / 'out', Order(target, drives=0, episodes=0))
    assert config.export is not None
    assert max(config.export.parity['max_abs_difference'].values()) <= 1e-4
    ran = []
    for bundle in (members[name], tmp_path / 'out'):
        policy = load_policy(bundle, 'cpu')
        policy.set_instruction('go')
        rng = np.random.default_rng(0)
        shape = (policy.spec.image_height, policy.spec.image_width, 3)
        ran.append([policy.act(Frame(rng.integers(0, 256, shape, np.uint8), i * bundles.STEP_NS))
                    .velocities for i in range(3)])
    np.testing.assert_allclose(ran[0], ran[1], atol=1e-4)


def test_there_are_tokens_for_all_that_can_be_read(members: dict[str, Path],
                                                   tmp_path: Path) -> None:
    export(members['robovlms_3d'], tmp_path / 'out', Order('onnx', drives=0, episodes=0))
    known = json.loads((tmp_path / 'out' / 'tokens.json').read_text())
    assert set(canonical_texts()) == set(known) and len(known) == 241
    assert bundles.INTENT.describe() in known
    assert {name: len({*map(len, (ids[name] for ids in known.values()))})
            for name in known['']} == {'kosmos2_tokens': 1, 'clip_tokens': 1}


def test_half_precision_stays_within_its_bound(members: dict[str, Path], tmp_path: Path) -> None:
    config = export(members['clip_lstm'], tmp_path / 'out',
                    Order('onnx', 'fp16', drives=0, episodes=0))
    assert config.export is not None
    assert 0 < max(config.export.parity['max_abs_difference'].values()) <= 5e-3
