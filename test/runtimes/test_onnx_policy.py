"""The ONNX policy: memory at the trained pace, and errors instead of invented actions."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace

import numpy as np
import pytest
from bundles import INTENT, NONSENSE, STEP_NS, write_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_nav.contracts import Frame, NotUnderstood, PolicyError
from vla_nav.observations.preprocess import to_policy_image
from vla_nav.runtimes import load_policy, sessions
from vla_nav.runtimes.bundle import BundleFile

_IMAGE = np.random.default_rng(0).integers(0, 256, (192, 256, 3), np.uint8)


def _frame(stamp_ns: int = 0) -> Frame:
    return Frame(_IMAGE, stamp_ns)


@pytest.fixture
def policy(tmp_path):
    policy = load_policy(write_bundle(tmp_path, actions=(0.3, -0.1, 0.5), arrived=0.25))
    policy.set_instruction('go')
    return policy


def test_chunk_is_in_si_and_carries_the_stamp_of_its_frame(policy):
    chunk = policy.act(_frame(123))
    assert chunk.velocities.shape == (policy.spec.chunk, 3)
    np.testing.assert_allclose(chunk.velocities, [[0.3, -0.1, 0.5]] * 8, rtol=1e-6)
    assert (chunk.stamp_ns, chunk.step_ns, chunk.arrived) == (123, STEP_NS, 0.25)


def test_spec_tells_the_bundle(policy):
    spec = policy.spec
    assert (spec.name, spec.image_height, spec.image_width, spec.provider) == ('test', 96, 128,
                                                                               'cpu')
    assert (spec.max_observation_age_s, spec.arrived_threshold) == (0.5, 0.5)


def test_the_network_sees_the_one_translation(tmp_path):
    policy = load_policy(write_bundle(tmp_path, echo=True))
    policy.set_instruction('go')
    bands = to_policy_image(_IMAGE, 96, 128).reshape(8, -1, 3).mean(axis=1) / 255
    np.testing.assert_allclose(policy.act(_frame()).velocities,
                               policy.spec.action_space.denormalise(bands), atol=1e-5)


def _steps(policy) -> int:
    return round(float(policy._state[0, 0]))  # the test network counts what it committed


@settings(max_examples=20)
@given(rate_hz=st.sampled_from([10, 20, 30, 60]), jitter=st.lists(
    st.floats(-0.2, 0.2), min_size=121, max_size=121))
def test_memory_moves_at_the_trained_pace_whatever_the_camera(policy_once, rate_hz, jitter):
    policy_once.reset()
    period = 1e9 / rate_hz
    for index in range(2 * rate_hz + 1):
        policy_once.act(_frame(round((index + jitter[index] / 2) * period)))
    assert 16 <= _steps(policy_once) <= 27  # 21 at the exact pace over two seconds


@pytest.fixture(scope='module')
def policy_once(tmp_path_factory):
    policy = load_policy(write_bundle(tmp_path_factory.mktemp('bundle'), image=(8, 8)))
    policy.set_instruction('go')
    return policy


def test_frames_between_steps_act_on_the_old_memory(policy):
    for stamp, steps in ((0, 1), (0, 1), (STEP_NS // 2, 1), (3 * STEP_NS // 4, 2),
                         (STEP_NS, 2), (5 * STEP_NS, 6), (900 * STEP_NS, 16)):
        policy.act(_frame(stamp))
        assert _steps(policy) == steps
    policy.act(replace(_frame(905 * STEP_NS), catch_up=False))
    assert _steps(policy) == 17


@pytest.mark.parametrize('forget', [
    lambda policy: policy.reset(), lambda policy: policy.set_instruction('another')])
def test_reset_and_new_instruction_clear_the_memory(policy, forget):
    for step in range(3):
        policy.act(_frame(step * STEP_NS))
    forget(policy)
    assert _steps(policy) == 0
    policy.act(_frame(3 * STEP_NS))
    assert _steps(policy) == 1


def test_time_going_back_begins_anew(policy):
    for stamp in (5 * STEP_NS, 6 * STEP_NS, STEP_NS):
        policy.act(_frame(stamp))
    assert _steps(policy) == 1


def test_instruction_is_read_back_and_nonsense_leaves_none(policy):
    assert policy.set_instruction('go') == INTENT.describe()
    with pytest.raises(NotUnderstood):
        policy.set_instruction(f'{NONSENSE} go')
    with pytest.raises(PolicyError, match='no instruction'):
        policy.act(_frame())


def test_no_instruction_no_motion(tmp_path):
    with pytest.raises(PolicyError, match='no instruction'):
        load_policy(write_bundle(tmp_path)).act(_frame())


def test_nan_is_an_error_and_does_not_reach_the_memory(tmp_path):
    policy = load_policy(write_bundle(tmp_path, nan=True, nan_after=2))
    policy.set_instruction('go')
    policy.act(_frame(0))
    policy.act(_frame(STEP_NS))
    with pytest.raises(PolicyError, match=r"policy\.onnx.*non-finite 'actions'"):
        policy.act(_frame(2 * STEP_NS))
    policy.reset()
    policy.act(_frame(3 * STEP_NS))


def test_actions_beyond_the_range_are_held_to_the_limits(tmp_path):
    path = write_bundle(tmp_path, echo=True)
    config = json.loads((path / 'config.json').read_text())
    config['action_space'].update(low=[-0.1, -0.1, 0.0], high=[0.1, 0.1, 0.2])
    (path / 'config.json').write_text(json.dumps(config))
    policy = load_policy(path)
    policy.set_instruction('go')
    white = Frame(np.full((96, 128, 3), 255, np.uint8), 0)
    np.testing.assert_allclose(policy.act(white).velocities, [[0.1, 0.1, 0.2]] * 8)


@pytest.mark.parametrize('key, value, named', [
    ('chunk', 4, 'actions'), ('state_size', 3, 'state'),
    ('image', {'height': 96, 'width': 96}, 'image'),
])
def test_graph_and_config_of_different_exports_are_refused(tmp_path, key, value, named):
    path = write_bundle(tmp_path)
    config = json.loads((path / 'config.json').read_text())
    config[key] = value
    (path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(PolicyError, match=rf"policy\.onnx: '{named}' is"):
        load_policy(path)


def test_a_file_that_is_no_network_is_refused(tmp_path):
    path = write_bundle(tmp_path)
    (path / 'policy.onnx').write_bytes(b'not a network')
    config = json.loads((path / 'config.json').read_text())
    config['files']['policy'] = BundleFile.of(path / 'policy.onnx').model_dump()
    (path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(PolicyError, match=r'policy\.onnx: ONNX Runtime .* cannot load it'):
        load_policy(path)


def test_cuda_that_is_not_there_falls_back_and_says_so_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sessions, 'runtime_report', lambda: sessions.RuntimeReport(
        'onnxruntime', '1.0', ('CPUExecutionProvider',)))
    with caplog.at_level(logging.WARNING):
        policy = load_policy(write_bundle(tmp_path), provider='cuda')
    assert policy.spec.provider == 'cpu'
    assert [r.levelname for r in caplog.records] == ['WARNING'] and 'CUDA' in caplog.text
    with pytest.raises(PolicyError, match="unknown provider 'tpu'"):
        load_policy(tmp_path, provider='tpu')


def _versions(monkeypatch, installed):
    def version(name):
        if name not in installed:
            raise sessions.metadata.PackageNotFoundError(name)
        return installed[name]
    monkeypatch.setattr(sessions.metadata, 'version', version)


def test_both_runtimes_at_once_are_an_error_with_the_remedy(monkeypatch):
    _versions(monkeypatch, {'onnxruntime': '1.2', 'onnxruntime-gpu': '1.2'})
    with pytest.raises(PolicyError, match='pip uninstall -y onnxruntime onnxruntime-gpu'):
        sessions.runtime_report()


def test_one_runtime_is_reported_and_a_missing_one_tells_what_to_install(monkeypatch):
    _versions(monkeypatch, {'onnxruntime-gpu': '9.8'})
    report = sessions.runtime_report()
    assert (report.distribution, report.version) == ('onnxruntime-gpu', '9.8')
    assert 'CPUExecutionProvider' in report.providers
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(PolicyError, match=r'vla_nav\[cpu\]'):
        sessions.runtime_report()
