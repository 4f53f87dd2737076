"""The policies that are shipped, and what is behind an encoder, to every target."""

from __future__ import annotations

from pathlib import Path

import bundles
import exports
import numpy as np
import pytest
import torch

from vla_nav.contracts import PolicyError
from vla_nav.export.write import Order, export
from vla_nav.policies.config import load_preset
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.save import write_family_bundle
from vla_nav.runtimes import load_policy, open_graph
from vla_nav.runtimes.bundle import load_config

MODELS = Path(__file__).parents[2] / 'models'
TARGETS = ('onnx', 'torchscript', 'openvino')
BOUNDS = {'fp32': 1e-4, 'fp16': 5e-3}
FEW = ['head.hidden=16', 'head.layers=2', 'fusion.size=24', 'action.chunk=4',
       'backbone.height=32', 'backbone.width=48']


def check(source: Path, out: Path, order: Order) -> None:
    made = export(source, out, order).export
    assert made is not None and made.parity['inputs'] >= 100
    assert max(made.parity['max_abs_difference'].values()) <= BOUNDS[order.precision]


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('name', ['compact', 'tub'])
def test_a_shipped_policy_is_the_same_wherever_it_runs(name: str, target: str, precision: str,
                                                       tmp_path: Path) -> None:
    check(MODELS / name, tmp_path / 'out', Order(target, precision, drives=0, episodes=0))
    if precision == 'fp16':
        sizes = {path.suffix: path.stat().st_size for path in (tmp_path / 'out').iterdir()}
        weights = sizes['.bin' if target == 'openvino' else '.onnx' if target == 'onnx' else '.pt']
        numbers = load_config(MODELS / name).training['parameters']
        assert weights < 3 * numbers, 'weights take more than two bytes'
    policy = load_policy(tmp_path / 'out', 'cpu')
    assert policy.spec.action_space == load_policy(MODELS / name, 'cpu').spec.action_space


@pytest.fixture(scope='module')
def heads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a bundle for each kind of head."""
    folder = tmp_path_factory.mktemp('heads')
    reader = bundles.write_bundle(folder / 'other') / 'instruction.onnx'
    for kind in ('lstm', 'gru', 'mlp', 'transformer'):
        torch.manual_seed(0)
        policy = FamilyPolicy(load_preset('hybrid_small', [*FEW, f'head.kind={kind}'])).eval()
        write_family_bundle(policy, reader, folder / kind, training={})
    return {path.name: path for path in folder.iterdir() if path.name != 'other'} | {
        'compact': MODELS / 'compact'}


@pytest.mark.parametrize(('target', 'precision'), [
    *((target, 'fp32') for target in TARGETS), ('onnx', 'fp16')])
@pytest.mark.parametrize('kind', ['lstm', 'gru', 'mlp', 'transformer', 'compact'])
def test_a_head_alone_is_the_same_wherever_it_runs(heads: dict[str, Path], kind: str, target: str,
                                                   precision: str, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    check(heads[kind], out, Order(target, precision, 'head'))
    graph = open_graph(out, load_config(out), 'cpu')
    fed = {name: np.zeros(shape, np.float32) for name, shape in graph.inputs.items()}
    assert set(fed) == {'features', 'state'}
    assert all(np.isfinite(value).all() for value in graph.run(fed).values())
    with pytest.raises(PolicyError, match=r'export\.part is head'):
        load_policy(out, 'cpu')


def test_weights_that_serve_twice_go_to_eight_bits(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = MODELS / 'tub'
    exports.show(monkeypatch, exports.drive(source, 0.2, exports.sentence(source)))
    export(source, tmp_path / 'out', Order('onnx', 'int8', recordings=tmp_path, drives=1))
    sizes = [(path / 'policy.onnx').stat().st_size for path in (tmp_path / 'out', source)]
    # Halved floats alone would come to a half.
    assert sizes[0] < 0.4 * sizes[1]


def test_the_track_policy_has_no_head(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="has no part 'head'"):
        export(MODELS / 'tub', tmp_path / 'out', Order('onnx', part='head'))
    assert not (tmp_path / 'out').exists()
