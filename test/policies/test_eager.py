"""A bundle of the family, written and run as the robot runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bundles
import checkpoints
import numpy as np
import pytest
import torch

from vla_nav.contracts import Frame, NotUnderstood, PolicyError
from vla_nav.policies.config import load_preset
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.instructions import Instructions
from vla_nav.policies.save import write_family_bundle
from vla_nav.runtimes import load_policy

SENTENCE = 'pass the box on its left and stop at the red ball'
SMALL = ['head.hidden=16', 'head.layers=2', 'fusion.size=24', 'action.chunk=4',
         'backbone.height=32', 'backbone.width=48']


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[FamilyPolicy, Path]:
    """Return a policy and its bundle."""
    folder = tmp_path_factory.mktemp('family')
    bundles.write_bundle(folder / 'other')
    torch.manual_seed(0)
    policy = FamilyPolicy(load_preset('hybrid_small', SMALL)).eval()
    write_family_bundle(policy, folder / 'other' / 'instruction.onnx', folder / 'bundle',
                        training={'epochs': 0})
    return policy, folder / 'bundle'


def frames(count: int, step_ns: int = 100_000_000) -> list[Frame]:
    rng = np.random.default_rng(0)
    return [Frame(rng.integers(0, 256, (32, 48, 3), np.uint8), i * step_ns)
            for i in range(count)]


def test_the_bundle_drives_as_the_network_decides(made: tuple[FamilyPolicy, Path]) -> None:
    network, bundle = made
    policy = load_policy(bundle, provider='cpu')
    assert policy.set_instruction(SENTENCE) == bundles.INTENT.describe()
    told = Instructions((bundles.INTENT.describe(),),
                        torch.from_numpy(bundles.INTENT.features()[None]))
    pictures = torch.from_numpy(np.stack([frame.image for frame in frames(4)]))
    with torch.inference_mode():
        features = network.encode(pictures, told.select([0] * 4))
        chunks, arrived, _ = network.act(features[None], network.initial_state(1))
    space = policy.spec.action_space
    for frame, wanted, belief in zip(frames(4), chunks[0].numpy(), arrived[0].sigmoid()):
        chunk = policy.act(frame)
        np.testing.assert_allclose(chunk.velocities, space.denormalise(wanted), atol=1e-5)
        assert chunk.stamp_ns == frame.stamp_ns
        assert chunk.arrived == pytest.approx(float(belief), abs=1e-5)
    assert (policy.spec.chunk, policy.spec.image_height, policy.spec.provider) == (4, 32, 'cpu')


def test_reset_forgets_and_a_faster_camera_does_not_hurry_the_memory(
        made: tuple[FamilyPolicy, Path]) -> None:
    policy = load_policy(made[1], provider='cpu')
    policy.set_instruction(SENTENCE)
    first = [policy.act(frame).velocities for frame in frames(3)]
    policy.reset()
    again = [policy.act(frame).velocities for frame in frames(3)]
    np.testing.assert_array_equal(first, again)
    policy.reset()
    fast = [policy.act(frame).velocities for frame in frames(3, 10_000_000)]
    assert np.abs(fast[2] - first[2]).max() > 0  # it stands where the first frame left it


def test_a_whole_drive_at_once_is_the_same_drive(made: tuple[FamilyPolicy, Path]) -> None:
    policy = load_policy(made[1], provider='cpu')
    with pytest.raises(PolicyError, match='no instruction'):
        policy.over_drive(frames(1))
    policy.set_instruction(SENTENCE)
    drive = frames(70)  # more than are encoded at once
    wanted = [policy.act(frame) for frame in drive]
    for chunk, one in zip(policy.over_drive(drive), wanted, strict=True):
        np.testing.assert_allclose(chunk.velocities, one.velocities, atol=1e-5)
        assert chunk.stamp_ns == one.stamp_ns
        assert chunk.arrived == pytest.approx(one.arrived, abs=1e-5)
    assert policy.over_drive([]) == []


def test_what_is_not_understood_leaves_no_instruction(made: tuple[FamilyPolicy, Path]) -> None:
    policy = load_policy(made[1], provider='cpu')
    policy.set_instruction(SENTENCE)
    with pytest.raises(NotUnderstood):
        policy.set_instruction(bundles.NONSENSE)
    with pytest.raises(PolicyError, match='no instruction'):
        policy.act(frames(1)[0])


def test_numbers_that_are_not_finite_stop_the_robot(made: tuple[FamilyPolicy, Path],
                                                    tmp_path: Path) -> None:
    torch.manual_seed(0)
    broken = FamilyPolicy(load_preset('hybrid_small', SMALL))
    with torch.no_grad():
        broken.predictor.layers[-1].bias.fill_(float('nan'))
    write_family_bundle(broken, made[1] / 'instruction.onnx', tmp_path, training={})
    policy = load_policy(tmp_path, provider='cpu')
    policy.set_instruction(SENTENCE)
    with pytest.raises(PolicyError, match='non-finite'):
        policy.act(frames(1)[0])
    with pytest.raises(PolicyError, match='non-finite'):
        policy.over_drive(frames(3))


def test_a_network_that_fails_over_a_drive_names_its_file(
        made: tuple[FamilyPolicy, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load_policy(made[1], provider='cpu')
    policy.set_instruction(SENTENCE)

    def fail(*_: Any) -> None:
        raise RuntimeError('out of memory')
    monkeypatch.setattr(FamilyPolicy, 'encode', fail)
    with pytest.raises(PolicyError, match='safetensors: the network failed to run: out of mem'):
        policy.over_drive(frames(3))


@pytest.mark.parametrize(('change', 'says'), [
    ({'chunk': 5}, 'chunk is 5'),
    ({'step_ns': 1}, 'step_ns is 1'),
    ({'backbone_sha256': '0' * 64}, 'other weights'),
    ({'family': {}}, 'family: name'),
])
def test_a_config_that_does_not_fit_is_refused(change: dict, says: str, tmp_path: Path,
                                               made: tuple[FamilyPolicy, Path]) -> None:
    for file in made[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PolicyError, match=says):
        load_policy(tmp_path, provider='cpu')


def test_weights_of_another_form_are_refused(made: tuple[FamilyPolicy, Path],
                                             tmp_path: Path) -> None:
    for file in made[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / 'config.json'
    data = json.loads(path.read_text())
    data['family']['head']['hidden'] = 17
    path.write_text(json.dumps(data))
    with pytest.raises(PolicyError, match='do not fit'):
        load_policy(tmp_path, provider='cpu')


def test_a_bundle_with_backbones_finds_them_and_notices_others(
        made: tuple[FamilyPolicy, Path], tiny_checkpoints: dict[str, Path],
        tmp_path: Path) -> None:
    folder = tmp_path / 'clip'
    checkpoints.write_clip(folder)
    config = load_preset('clip_lstm', checkpoints.overrides({'clip': folder}))
    write_family_bundle(FamilyPolicy(config), made[1] / 'instruction.onnx', tmp_path / 'bundle',
                        training={})
    policy = load_policy(tmp_path / 'bundle', provider='cpu')
    policy.set_instruction(SENTENCE)
    size = checkpoints.SIDE
    assert np.isfinite(policy.act(Frame(np.zeros((size, size, 3), np.uint8), 0)).velocities).all()
    size = (tmp_path / 'bundle' / 'model.safetensors').stat().st_size
    assert size < sum(4 * p.numel() for p in FamilyPolicy(config).parameters())
    checkpoints.write_clip(folder, seed=1)
    with pytest.raises(PolicyError, match='other weights'):
        load_policy(tmp_path / 'bundle', provider='cpu')
