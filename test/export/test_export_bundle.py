"""An exported bundle is what its source is, or there is none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import bundles
import exports
import numpy as np
import pytest
import torch

from vla_nav.contracts import Frame, PolicyError
from vla_nav.export import gate, onnx_file, write
from vla_nav.export.write import Order, export
from vla_nav.policies.config import load_preset
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.save import write_family_bundle
from vla_nav.runtimes import load_policy, open_graph
from vla_nav.runtimes.bundle import BundleFile, Precision, load_config

SENTENCE = 'pass the box on its left and stop at the red ball'
SMALL = ['head.hidden=64', 'head.layers=2', 'fusion.size=64', 'action.chunk=4',
         'head.predictor=[64]', 'backbone.height=32', 'backbone.width=48',
         'backbone.small_conv.feature=64']
TARGETS = ('onnx', 'torchscript', 'openvino')
LARGE = 410_000  # more than the memory alone, of this form


def write_source(folder: Path, break_layer: int | None = None,
                 overrides: Sequence[str] = ()) -> Path:
    """Write a bundle of the family, with NaN in one of its weights if asked for."""
    bundles.write_bundle(folder / 'other')
    torch.manual_seed(0)
    policy = FamilyPolicy(load_preset('hybrid_small', [*SMALL, *overrides])).eval()
    if break_layer is not None:
        with torch.no_grad():
            list(policy.parameters())[break_layer].flatten()[0] = float('nan')
    write_family_bundle(policy, folder / 'other' / 'instruction.onnx', folder / 'source',
                        training={})
    return folder / 'source'


@pytest.fixture(scope='module')
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp('family'))


@pytest.fixture(scope='module')
def exported(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return an export to each target."""
    folder = tmp_path_factory.mktemp('exported')
    for target in TARGETS:
        export(source, folder / target, Order(target, drives=0, episodes=0))
    return {target: folder / target for target in TARGETS}


def driven(path: Path, every: int = 1, **options: str) -> np.ndarray:
    """Return what a policy does that sees a picture in ``every`` so many steps."""
    policy = load_policy(path, 'cpu', **options)
    policy.set_instruction(SENTENCE)
    return np.stack([
        policy.act(Frame(frame.image, every * frame.stamp_ns, catch_up=False)).velocities
        for frame in exports.frames(4, 32, 48)])


@pytest.mark.parametrize('target', TARGETS)
def test_an_export_drives_as_its_source(source: Path, exported: dict[str, Path],
                                        target: str) -> None:
    np.testing.assert_allclose(driven(exported[target]), driven(source), atol=1e-4)
    made = load_config(exported[target]).export
    assert made is not None and made.target == target
    assert made.source_sha256 == BundleFile.of(source / 'model.safetensors').sha256
    assert made.parity['inputs'] >= 100 and made.parity['steps'] >= 20
    assert 0 < max(made.parity['max_abs_difference'].values()) <= 1e-4
    assert target in (exported[target] / 'README.md').read_text()


@pytest.mark.parametrize('runtime', ['torchscript', 'openvino'])
def test_one_bundle_runs_on_several_runtimes(source: Path, exported: dict[str, Path],
                                             runtime: str) -> None:
    bundle = source if runtime == 'torchscript' else exported['onnx']
    np.testing.assert_allclose(driven(bundle, runtime=runtime), driven(source), atol=1e-4)


@pytest.mark.parametrize(('target', 'runtime'), [
    *((target, 'auto') for target in TARGETS), ('onnx', 'openvino'), ('source', 'torchscript')])
def test_a_slow_export_catches_up_as_its_source(source: Path, exported: dict[str, Path],
                                                target: str, runtime: str) -> None:
    wanted = driven(source, every=4)
    bundle = exported.get(target, source)
    np.testing.assert_allclose(driven(bundle, every=4, runtime=runtime), wanted, atol=1e-4)
    assert np.abs(wanted - driven(source)).max() > 1e-3  # the memory has moved on further


def test_without_its_memory_an_export_remembers_once_a_picture(source: Path,
                                                               tmp_path: Path) -> None:
    export(source, tmp_path / 'out', Order('onnx', drives=0, episodes=0, catch_up=False))
    np.testing.assert_allclose(driven(tmp_path / 'out', every=4), driven(source), atol=1e-4)
    assert not (tmp_path / 'out' / 'memory.onnx').exists()


@pytest.mark.parametrize('precision', ['fp16', 'int8'])
def test_a_memory_is_stored_in_the_precision_of_its_bundle(
        source: Path, exported: dict[str, Path], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch, precision: Precision) -> None:
    exports.show(monkeypatch, exports.drive(source, 0.2, SENTENCE))
    out = tmp_path / 'out'
    export(source, out, Order('onnx', precision, drives=1, episodes=0))
    assert np.isfinite(driven(out, every=4)).all()
    sizes = [(folder / 'memory.onnx').stat().st_size for folder in (out, exported['onnx'])]
    assert sizes[0] < (0.6 if precision == 'fp16' else 0.5) * sizes[1]


def test_a_memory_of_another_export_is_refused(exported: dict[str, Path], tmp_path: Path) -> None:
    out = shutil.copytree(exported['onnx'], tmp_path / 'out')
    other = export(write_source(tmp_path / 'other', overrides=['head.hidden=32']),
                   tmp_path / 'small', Order('onnx', drives=0, episodes=0))
    shutil.copy(tmp_path / 'small' / 'memory.onnx', out)
    with pytest.raises(PolicyError, match=r'memory\.onnx: sha256 is'):
        load_policy(out, 'cpu')
    path = out / 'config.json'
    config = json.loads(path.read_text())
    config['files']['memory'] = other.files.memory.model_dump()
    path.write_text(json.dumps(config))
    with pytest.raises(PolicyError, match=r"memory\.onnx: it takes 'state' as"):
        load_policy(out, 'cpu')


@pytest.mark.parametrize(('target', 'runtime', 'says'), [
    ('torchscript', 'onnx', 'onnx does not run'), ('onnx', 'torchscript', 'without weights'),
    ('openvino', 'onnx', 'onnx does not run'), ('onnx', 'tflite', 'unknown runtime')])
def test_a_runtime_that_a_bundle_is_not_for_is_refused(exported: dict[str, Path], target: str,
                                                       runtime: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        load_policy(exported[target], 'cpu', runtime=runtime)


def test_a_family_bundle_needs_no_torch_once_exported(exported: dict[str, Path]) -> None:
    check = ('import sys\n'
             "sys.modules.update(dict.fromkeys(['torch', 'transformers', 'onnx']))\n"
             'import numpy as np\n'
             'from vla_nav.contracts import Frame\n'
             'from vla_nav.runtimes import load_policy\n'
             f'policy = load_policy({str(exported["onnx"])!r})\n'
             f'policy.set_instruction({SENTENCE!r})\n'
             'policy.act(Frame(np.zeros((32, 48, 3), np.uint8), 0))\n')
    subprocess.run([sys.executable, '-c', check], check=True, timeout=120,
                   cwd=Path(__file__).parents[2])


def test_a_head_alone_takes_features_and_drives_nothing(source: Path, tmp_path: Path) -> None:
    export(source, tmp_path / 'head', Order('onnx', part='head'))
    with pytest.raises(PolicyError, match=r'export\.part is head'):
        load_policy(tmp_path / 'head')
    graph = open_graph(tmp_path / 'head', load_config(tmp_path / 'head'), 'cpu')
    assert set(graph.inputs) == {'features', 'state'}


def test_weights_too_large_for_one_file_lie_beside_it(source: Path, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, 'ONE_FILE_BYTES', LARGE)
    export(source, tmp_path / 'out', Order('onnx', drives=0, episodes=0))
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'README.md', 'config.json', 'instruction.onnx', 'memory.onnx', 'policy.onnx',
        'policy.onnx.data'}
    np.testing.assert_allclose(driven(tmp_path / 'out'), driven(source), atol=1e-4)
    (tmp_path / 'out' / 'policy.onnx.data').write_bytes(b'other')
    with pytest.raises(PolicyError, match=r'policy\.onnx\.data: sha256 is'):
        load_policy(tmp_path / 'out')


@pytest.mark.parametrize('large', [False, True])
def test_eight_bits_of_many_files_leave_only_what_is_listed(
        source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    """``large``: what eight bits leave is still too large for one file."""
    exports.one_file_a_weight(monkeypatch)
    exports.show(monkeypatch, exports.drive(source, 0.2, SENTENCE))
    if large:
        monkeypatch.setattr(onnx_file, 'ONE_FILE_BYTES', LARGE // 2)
    export(source, tmp_path / 'out', Order('onnx', 'int8', drives=1, episodes=0))
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {
        'README.md', 'config.json', 'instruction.onnx', 'memory.onnx', 'policy.onnx',
        *(['policy.onnx.data'] if large else [])}
    assert np.isfinite(driven(tmp_path / 'out')).all()


def test_what_is_not_equal_leaves_nothing(source: Path, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gate.BOUNDS, 'fp32', 0.0)
    with pytest.raises(gate.NotEqual, match='bound of fp32 is'):
        export(source, tmp_path / 'out', Order('onnx', drives=0, episodes=0))
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_proved_yet_cannot_be_run(source: Path, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []

    def look(*_: object) -> None:
        work = next(tmp_path.glob('.out.*'))  # what a kill would leave behind now
        assert (work / 'policy.onnx').exists()
        with pytest.raises(PolicyError, match=r'config\.json: missing'):
            load_policy(work, 'cpu')
        checked.append(work)
    monkeypatch.setattr(gate, 'check_bound', look)
    export(source, tmp_path / 'out', Order('onnx', drives=0, episodes=0))
    assert checked and load_policy(tmp_path / 'out', 'cpu').spec.runtime == 'onnx'


@pytest.mark.parametrize('precision', ['fp32', 'int8'])
@pytest.mark.parametrize('layer', [0, 40, -1])
def test_nan_weights_are_not_exported(tmp_path: Path, layer: int, precision: Precision) -> None:
    broken = write_source(tmp_path / 'broken', break_layer=layer)
    with pytest.raises(PolicyError, match=r'model\.safetensors: 1 weights are not finite'):
        export(broken, tmp_path / 'new' / 'out', Order('onnx', precision, drives=0, episodes=0))
    assert not (tmp_path / 'new').exists()


def test_nothing_is_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / 'note.txt').write_text('mine')
    with pytest.raises(PolicyError, match='overwrites nothing'):
        export(source, tmp_path, Order('onnx'))
    assert [path.name for path in tmp_path.iterdir()] == ['note.txt']


@pytest.mark.parametrize('order', [
    Order('onnx', 'bf16'), Order('torchscript', 'int8'), Order('onnx', 'int8', 'head')])
def test_what_cannot_be_is_refused_with_the_reason(source: Path, tmp_path: Path,
                                                   order: Order) -> None:
    with pytest.raises(PolicyError, match='choose another precision or target'):
        export(source, tmp_path / 'out', order)


@pytest.mark.parametrize(('target', 'name'), [
    ('onnx', 'policy.onnx'), ('torchscript', 'policy.pt'), ('openvino', 'policy.xml'),
    ('openvino', 'policy.bin')])
@pytest.mark.parametrize('told', [False, True])
def test_a_truncated_file_is_refused(exported: dict[str, Path], tmp_path: Path, target: str,
                                     name: str, told: bool) -> None:
    """``told``: the checksum in config.json is that of the truncated file."""
    for file in exported[target].iterdir():
        data = file.read_bytes()
        (tmp_path / file.name).write_bytes(data[:len(data) // 2] if file.name == name else data)
    if told:
        config = json.loads((tmp_path / 'config.json').read_text())
        key = 'weights' if name == 'policy.bin' else 'policy'
        config['files'][key] = BundleFile.of(tmp_path / name).model_dump()
        (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(PolicyError, match='cannot load it' if told else 'sha256 is'):
        load_policy(tmp_path, 'cpu')


@pytest.mark.parametrize('target', TARGETS)
def test_a_graph_of_another_source_is_refused(exported: dict[str, Path], tmp_path: Path,
                                              target: str) -> None:
    for file in exported[target].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / 'config.json'
    config = json.loads(path.read_text())
    config['export']['source_sha256'] = '0' * 64
    path.write_text(json.dumps(config))
    with pytest.raises(PolicyError, match='different exports'):
        load_policy(tmp_path, 'cpu')


@pytest.mark.parametrize(('key', 'value', 'says'), [
    ('format_version', 2, 'format_version is 2'), ('state_size', 7, "'state' is"),
    ('chunk', 3, 'different exports'),
    ('image', {'height': 32, 'width': 64}, 'different exports')])
@pytest.mark.parametrize('target', TARGETS)
def test_another_version_or_shape_is_refused(exported: dict[str, Path], tmp_path: Path,
                                             target: str, key: str, value: object,
                                             says: str) -> None:
    shutil.copytree(exported[target], tmp_path / 'out')
    path = tmp_path / 'out' / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(PolicyError, match=says):
        load_policy(tmp_path / 'out', 'cpu')


@pytest.mark.parametrize('target', ['onnx', 'torchscript'])
def test_nan_weights_in_an_exported_file_drive_nothing(tmp_path: Path, target: str,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    # Damaged after the gate, as it were; OpenVINO refuses such a file when it loads it.
    for module, check in ((gate, 'check_bound'), (write, 'check_network'),
                          (onnx_file, 'check_model')):
        monkeypatch.setattr(module, check, lambda *_: None)
    export(write_source(tmp_path / 'broken', break_layer=-1), tmp_path / 'out',
           Order(target, drives=0, episodes=0))
    with pytest.raises(PolicyError, match="non-finite 'actions'"):
        driven(tmp_path / 'out')


@pytest.mark.parametrize(('target', 'call', 'method'), [
    ('onnx', '_session', 'run'), ('torchscript', '_call', '__call__'),
    ('openvino', '_request', 'infer')])
def test_a_runtime_that_fails_while_driving_is_an_error(
        exported: dict[str, Path], monkeypatch: pytest.MonkeyPatch, target: str, call: str,
        method: str) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError('the device is gone')
    policy = load_policy(exported[target], 'cpu')
    policy.set_instruction(SENTENCE)
    frames = exports.frames(3, 32, 48)
    policy.act(frames[0])
    graph = policy._graph  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(graph, call, type('Gone', (), {method: fail})())
        with pytest.raises(PolicyError, match='failed to run: the device is gone'):
            policy.act(frames[1])
    assert np.isfinite(policy.act(frames[2]).velocities).all()


def test_an_ensemble_is_exported_member_by_member(source: Path, exported: dict[str, Path],
                                                  tmp_path: Path) -> None:
    (tmp_path / 'config.json').write_text(json.dumps({
        'format_version': 1, 'name': 'all', 'architecture': 'ensemble',
        'max_observation_age_s': 0.5,
        'members': [{'path': str(exported[target]), 'weight': 1} for target in TARGETS]}))
    with pytest.raises(PolicyError, match='export its members one by one'):
        export(tmp_path, tmp_path / 'out', Order('onnx'))
    assert not (tmp_path / 'out').exists()
    np.testing.assert_allclose(driven(tmp_path), driven(source), atol=1e-4)


@pytest.mark.parametrize(('shift', 'kept'), [(0.2, True), (0.0, False)])
def test_eight_bits_are_judged_by_their_error_on_drives(
        source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: float,
        kept: bool) -> None:
    exports.show(monkeypatch, exports.drive(source, shift, SENTENCE))
    order, out = Order('onnx', 'int8', drives=1, episodes=0), tmp_path / 'out'
    if not kept:  # any error at all is more than 3 % of none
        with pytest.raises(gate.NotEqual, match='worse'):
            export(source, out, order)
        assert not out.exists()
        return
    parity = export(source, out, order).export.parity
    assert parity['mae_source'] == pytest.approx(shift, abs=0.01)
    full = export(source, tmp_path / 'full', Order('onnx', drives=0, episodes=0))
    assert full.export is not None
    sizes = [(tmp_path / name / 'policy.onnx').stat().st_size for name in ('out', 'full')]
    assert sizes[0] < 0.6 * sizes[1]
    assert np.isfinite(driven(out)).all()
