"""Providers are tried in order, and whatever fails is said, not hidden."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import write_bundle
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail

from vla_nav.contracts import Frame, PolicyError
from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.runtimes import load_policy, sessions
from vla_nav.runtimes.bundle import load_config
from vla_nav.runtimes.graph import OUTPUTS
from vla_nav.runtimes.onnx_graph import OnnxGraph, _Bound

_ALL = ('TensorrtExecutionProvider', 'CUDAExecutionProvider', 'OpenVINOExecutionProvider',
        'CPUExecutionProvider')


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Say that all providers are installed, let only the CPU start, and list what was tried."""
    tried: list[str] = []
    start = sessions._session

    def session(model: bytes | str, provider: str, threads: int) -> Any:
        tried.append(provider)
        if provider == 'tensorrt':
            raise RuntimeError('libnvinfer.so is missing')
        return start(model, 'cpu', threads)
    monkeypatch.setattr(sessions, '_session', session)
    monkeypatch.setattr(sessions, 'runtime_report',
                        lambda: sessions.RuntimeReport('onnxruntime-gpu', '1.0', _ALL))
    return tried


def test_auto_goes_through_the_order_and_says_once_why(
        tmp_path: Path, tried: list[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        policy = load_policy(write_bundle(tmp_path))
    assert tried == ['tensorrt', 'cuda', 'openvino', 'cpu']
    assert policy.spec.provider == 'cpu'
    assert 'libnvinfer.so is missing' in policy.spec.fallback
    assert [record.levelname for record in caplog.records] == ['WARNING']


def test_what_was_asked_for_and_runs_has_no_fallback(tmp_path: Path, tried: list[str]) -> None:
    assert load_policy(write_bundle(tmp_path), 'cpu').spec.fallback == ''
    assert tried == ['cpu']


_TENSORRT, _CUDA, _OPENVINO, _CPU = _ALL


@pytest.mark.parametrize(('asked', 'installed', 'wanted'), [
    ('tensorrt', _ALL, [_TENSORRT, _CUDA, _CPU]),
    ('tensorrt', (_TENSORRT, _CPU), [_TENSORRT, _CPU]),
    ('auto', _ALL, [_TENSORRT, _CUDA, _CPU]),
    ('cuda', _ALL, [_CUDA, _CPU]), ('openvino', _ALL, [_OPENVINO, _CPU]), ('cpu', _ALL, [_CPU])])
def test_what_tensorrt_cannot_take_goes_to_cuda_before_the_cpu(
        monkeypatch: pytest.MonkeyPatch, asked: str, installed: tuple[str, ...],
        wanted: list[str]) -> None:
    class Session:
        def __init__(self, _model: bytes, _options: Any, providers: list[str],
                     **_: Any) -> None:
            self._providers = providers

        def get_providers(self) -> list[str]:
            return self._providers
    monkeypatch.setattr('onnxruntime.InferenceSession', Session)
    monkeypatch.setattr('onnxruntime.get_available_providers', lambda: list(installed))
    started = sessions.start_session(b'', 'policy.onnx', asked)
    assert started.session.get_providers() == wanted
    assert not started.fallback


def test_a_provider_that_fails_while_driving_is_an_error(tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = write_bundle(tmp_path)
    graph = OnnxGraph(bundle, load_config(bundle), 'cpu')

    class Broken:
        def run(self, *_: Any) -> None:
            raise RuntimeError('CUDA error 700')
    monkeypatch.setattr(graph, '_session', Broken())
    with pytest.raises(PolicyError, match=r'failed to run: CUDA error 700'):
        graph.run(_fed(0))


def test_no_session_goes_to_the_cpu_of_itself(tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = write_bundle(tmp_path)
    graph = OnnxGraph(bundle, load_config(bundle), 'cpu')

    class Gone:
        def __init__(self, session: Any) -> None:
            self._session = session

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def run(self, *_: Any) -> None:
            raise EPFail('the device is gone')
    # Below what ONNX Runtime's own Python would catch, to try again elsewhere.
    monkeypatch.setattr(graph._session, '_sess', Gone(graph._session._sess))
    with pytest.raises(PolicyError, match='failed to run: the device is gone'):
        graph.run(_fed(0))


def test_bound_memory_gives_what_copies_give(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, echo=True)
    graph = OnnxGraph(bundle, load_config(bundle), 'cpu')
    bound = _Bound(graph._session, OUTPUTS, 'cpu')
    for number in range(3):  # the second time the memory is written in place
        there, here = bound.run(_fed(number)), graph.run(_fed(number))
        for name in OUTPUTS:
            np.testing.assert_array_equal(there[name], here[name])


def _fed(number: int) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    return {'image': rng.integers(0, 256, (1, 96, 128, 3), np.uint8),
            'instruction': np.zeros((1, FEATURE_SIZE), np.float32),
            'state': np.full((1, 1), number, np.float32)}


def test_a_graph_that_says_nothing_of_itself_is_no_export(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    config = load_config(bundle).model_copy(update={'export': {
        'target': 'onnx', 'precision': 'fp32', 'source': 'x', 'source_sha256': '0' * 64}})
    config.save(bundle)
    with pytest.raises(PolicyError, match='different exports'):
        load_policy(bundle)


def test_a_frame_too_many_changes_nothing_of_the_last_chunk(tmp_path: Path) -> None:
    policy = load_policy(write_bundle(tmp_path, echo=True))
    policy.set_instruction('go')
    first = policy.act(Frame(np.full((96, 128, 3), 9, np.uint8), 0)).velocities
    before = first.copy()
    policy.act(Frame(np.full((96, 128, 3), 200, np.uint8), 10**8))
    np.testing.assert_array_equal(first, before)
