"""Training: from nothing to a bundle that loads; a run that is cut off goes on exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vla_nav.contracts import Frame
from vla_nav.language.intent import Intent
from vla_nav.policies.compact import CompactPolicy
from vla_nav.runtimes import load_policy
from vla_nav.training.collect import collect
from vla_nav.training.compact import SMOKE, begin_from, train_compact
from vla_nav.training.dataset import Frames
from vla_nav.training.imitation import (
    ImitationConfig,
    encode_fast,
    learning_rate,
    load_checkpoint,
    train,
)
from vla_nav.training.instruction import InstructionEncoder, export_instruction
from vla_nav.training.memory import all_states


@pytest.fixture(scope='module')
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the frames of two expert episodes."""
    directory = tmp_path_factory.mktemp('rollouts')
    collect(directory, 0, 2, workers=1)
    return directory


def test_a_run_that_is_cut_off_resumes_exactly(rollouts: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / 'whole.safetensors', tmp_path / 'parts.safetensors'
    settings = {'batch': 8, 'warm_up': 2}
    train([rollouts], whole, ImitationConfig(0, 4, **settings, decay=2), workers=2)
    train([rollouts], parts, ImitationConfig(0, 2, **settings), workers=2)
    train([rollouts], parts, ImitationConfig(2, 4, **settings, decay=2), workers=2)
    a, b = load_file(whole), load_file(parts)
    assert int(a['step']) == 4 and a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0, msg=name)


def test_windows_resume_exactly_and_teach_the_memory(rollouts: Path, tmp_path: Path) -> None:
    frames = Frames([rollouts])
    np.save(tmp_path / 'states.npy', all_states(CompactPolicy(), frames))
    settings = {'batch': 8, 'warm_up': 2, 'window': 4, 'states': tmp_path / 'states.npy'}
    whole, parts = tmp_path / 'whole.safetensors', tmp_path / 'parts.safetensors'
    train([rollouts], whole, ImitationConfig(0, 4, **settings), workers=1)
    train([rollouts], parts, ImitationConfig(0, 2, **settings), workers=1)
    train([rollouts], parts, ImitationConfig(0, 4, **settings), workers=1)
    a, b = load_file(whole), load_file(parts)
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=0, msg=name)
    assert a['model.recall.weight'].any()  # it was zero


def test_windows_are_consecutive_and_begin_with_what_was_known(rollouts: Path) -> None:
    frames = Frames([rollouts])
    numbers = np.arange(len(frames), dtype=np.float16)[:, None]
    batch = frames.batch(4 * 200, np.random.default_rng(0), 4, numbers)
    assert batch.before is not None and len(batch.before) == 200
    stages = batch.stage.unflatten(0, (200, 4))
    assert bool((stages.diff(dim=1) >= 0).all())  # no window crosses into the next episode
    known = batch.before[:, 0] > 0
    assert 0.6 < known.float().mean() < 0.8
    chunk = batch.chunk.unflatten(0, (200, 4))[known, 0]
    labels = frames.fields['chunks'][batch.before[known, 0].long() + 1, 0]
    torch.testing.assert_close(chunk, torch.from_numpy(labels))  # driven, not mirrored


def test_states_of_all_frames_are_those_of_one_step_after_another(rollouts: Path) -> None:
    torch.manual_seed(0)
    model, frames = CompactPolicy().eval(), Frames([rollouts])
    states = all_states(model, frames)
    begin, end = frames.bounds[1]
    at = np.arange(begin, end)
    with torch.inference_mode():
        features = encode_fast(model, torch.from_numpy(frames.images(at)),
                               torch.from_numpy(frames.fields['features'][at, 0])).feature
        state = torch.zeros(1, model.config.memory)
        for one in features.half().float():
            state = model.memory(one[None], state)
    np.testing.assert_allclose(states[end - 1], state[0], atol=3e-3)


def test_mirrored_frames_have_mirrored_labels(rollouts: Path) -> None:
    frames = Frames([rollouts])
    drawn = frames.batch(400, np.random.default_rng(0))
    sides = drawn.features[:, :2]
    assert torch.equal(sides.sum(1), torch.ones(400))
    # Two episodes name each side once or twice; with mirrors, each side is in half of the batch.
    assert 0.3 < sides[:, 0].mean() < 0.7
    seen = drawn.points[:, :, 2] > 0
    assert bool((drawn.points[seen][:, :2] >= 0).all() and (drawn.points[seen][:, :2] <= 1).all())


def test_the_other_instruction_has_labels_of_its_own(rollouts: Path) -> None:
    fields = Frames([rollouts]).fields
    assert not np.array_equal(fields['features'][:, 0], fields['features'][:, 1])
    assert not np.allclose(fields['chunks'][:, 0], fields['chunks'][:, 1])


def test_fast_encoding_is_the_same_but_for_bfloat16(rollouts: Path) -> None:
    torch.manual_seed(0)
    model, drawn = CompactPolicy().eval(), Frames([rollouts]).batch(4, np.random.default_rng(0))
    with torch.inference_mode():
        exact = model.encode(drawn.image, drawn.features).feature
        fast = encode_fast(model, drawn.image, drawn.features).feature
    assert (exact - fast).abs().max() < 0.03 * exact.abs().max()


def test_the_learning_rate_warms_up_stays_and_falls() -> None:
    config = ImitationConfig(0, 100, warm_up=10, decay=50)
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(config.peak_rate / 10)
    assert rates[10:51] == pytest.approx([config.peak_rate] * 41)
    assert rates[51:] == sorted(rates[51:], reverse=True)
    assert rates[100] == pytest.approx(config.peak_rate / 100)


def test_the_whole_recipe_gives_a_bundle_that_drives(tmp_path: Path) -> None:
    reader = tmp_path / 'instruction.onnx'
    torch.manual_seed(0)
    export_instruction(InstructionEncoder().eval(), reader)
    train_compact(tmp_path / 'work', tmp_path / 'bundle', reader, SMOKE)
    policy = load_policy(tmp_path / 'bundle')
    assert policy.spec.chunk == 8
    # The reader is untrained and refuses everything; the network itself must act.
    features = Intent('left', 'cup', 'red').features()[None]
    policy._told = {'instruction': features}  # type: ignore[attr-defined]
    chunk = policy.act(Frame(np.zeros((96, 128, 3), np.uint8), 1_000_000_000))
    assert chunk.velocities.shape == (8, 3) and np.isfinite(chunk.velocities).all()


def test_training_can_begin_from_a_bundles_weights(tmp_path: Path) -> None:
    torch.manual_seed(4)
    model = CompactPolicy()
    bundle = tmp_path / 'bundle'
    bundle.mkdir()
    save_file({k: v.half() for k, v in model.state_dict().items()}, bundle / 'model.safetensors')
    begin_from(bundle, tmp_path / 'checkpoint.safetensors')
    there = CompactPolicy()
    assert load_checkpoint(tmp_path / 'checkpoint.safetensors', CompactPolicy(), there) == 0
    torch.testing.assert_close(there.act.weight, model.act.weight, atol=1e-3, rtol=1e-3)
    save_file({'other': torch.zeros(1)}, bundle / 'model.safetensors')
    with pytest.raises(ValueError, match=r'model\.safetensors'):
        begin_from(bundle, tmp_path / 'second.safetensors')
