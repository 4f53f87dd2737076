"""A small member from frames to a bundle: it learns to see, drives, learns to remember."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from vla_nav.cli.main import build
from vla_nav.contracts import Frame
from vla_nav.evaluation.bundle_facts import history
from vla_nav.language.intent import Intent
from vla_nav.policies.config import load_preset
from vla_nav.policies.family import FamilyPolicy, Instructions
from vla_nav.runtimes import load_policy
from vla_nav.training.dataset import Frames
from vla_nav.training.family import checkpoint, member, remember
from vla_nav.training.family.glimpses import Glimpse, GlimpseJob, learn_glimpses
from vla_nav.training.family.member import QUICK, frame_folders, train_member
from vla_nav.training.family.own_drives import GlimpseDriver
from vla_nav.training.family.problems import TrainingError, named_memory
from vla_nav.training.family.trainer import Notes
from vla_nav.training.imitation import ImitationConfig
from vla_nav.training.memory import MemoryConfig, Sequences
from vla_nav.training.rollouts import Rollouts

READER = Path(__file__).parents[3] / 'models' / 'compact' / 'instruction.onnx'
INTENTS = (Intent('left', 'cup', 'red'), Intent('right', 'ball', 'blue'))
TINY = ['head.hidden=16', 'head.layers=2', 'fusion.size=24', 'action.chunk=8',
        'backbone.height=32', 'backbone.width=48']


def write_frames(folder: Path, seed: int, drives: int = 2, length: int = 30) -> Path:
    """Write frames as a collection does; the last quarter of a drive stands at its goal."""
    rng, out = np.random.default_rng(seed), Rollouts()
    for episode in range(drives):
        for step in range(length):
            arrived = step >= 0.75 * length
            out.images.append(rng.integers(0, 255, (96, 128, 3), np.uint8))
            out.features.append([intent.features() for intent in INTENTS])
            out.chunks.append(rng.uniform(-1, 1, (2, 8, 3)).astype(np.float32) * (not arrived))
            out.points.append(rng.random((2, 2, 3)).round(2))
            out.stage.append([step % 3] * 2)
            out.arrived.append([float(arrived)] * 2)
            out.episode.append(100 * seed + episode)
            out.family.append(0)
    out.save(folder, f'{seed:07d}')
    return folder


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder as the compact policy's training leaves it."""
    root = tmp_path_factory.mktemp('frames')
    for number, name in enumerate(('round1', 'expert', 'round2')):
        write_frames(root / name, number)
    return root


@pytest.fixture(scope='module')
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of a quick training."""
    out = tmp_path_factory.mktemp('member')
    train_member('robovlms_small', [], data, data / 'expert', out, READER,
                 replace(QUICK, own=0), 'vla-nav train small robovlms_small')
    return out


def test_the_experts_drives_come_first(data: Path, tmp_path: Path) -> None:
    assert [path.name for path in frame_folders(data)] == ['expert', 'round1', 'round2']
    with pytest.raises(TrainingError, match='vla-nav train compact'):
        frame_folders(tmp_path)


def test_the_bundle_drives_and_says_when_it_has_arrived(trained: Path) -> None:
    policy = load_policy(trained)
    policy.set_instruction('pass the box on its left and stop at the red cup')
    chunk = policy.act(Frame(np.zeros((96, 128, 3), np.uint8), 1))
    assert policy.spec.arrived_threshold == 0.5 and 0 < chunk.arrived < 1
    assert chunk.velocities.shape == (8, 3) and np.isfinite(chunk.velocities).all()


def test_its_card_tells_what_it_is(trained: Path) -> None:
    card = (trained / 'README.md').read_text()
    assert 'chunks of 8 steps of 100 ms (of 10: the labels have no more)' in card
    assert 'vla-nav train small robovlms_small' in card
    found = json.loads((trained / 'metrics.json').read_text())
    assert (found['frames'], found['episodes']) == (180, 6)
    assert (found['steps'], found['memory_steps']) == (QUICK.see.last, QUICK.remember.steps)
    assert 0 <= found['validation']['mae'] < 2
    assert [row['step'] for row in history(str(trained))] == [QUICK.see.last]
    assert (trained / 'curves.png').read_bytes().startswith(b'\x89PNG')


def test_each_round_drives_with_what_the_one_before_has_learned(
        data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drove = []

    def drive(glimpse: Glimpse, folder: Path, episodes: int, number: int, workers: int) -> Path:
        drove.append((number, next(glimpse.parameters()).detach().clone()))
        frames = folder / f'own_{number}'
        frames.mkdir(parents=True)
        return write_frames(frames, 10 + number)
    monkeypatch.setattr(member, 'drive_itself', drive)
    metrics = train_member('hybrid_small', [], data, data / 'expert', tmp_path / 'out', READER,
                           replace(QUICK, rounds=2))
    assert [number for number, _ in drove] == [0, 1]
    assert not torch.equal(drove[0][1], drove[1][1])
    assert (metrics['frames'], metrics['episodes']) == (180 + 2 * 60, 6 + 2 * 2)
    assert metrics['steps'] == 6
    # Two steps to see, and two after each of the rounds.
    assert [row['step'] for row in metrics['history']] == [2, 4, 6]
    assert 'in 2 rounds from step 2 on. 6 steps of' in (tmp_path / 'out' / 'README.md').read_text()


def test_frames_that_do_not_fit_a_preset_name_the_remedy(data: Path, tmp_path: Path) -> None:
    for override, words in (('backbone.height=64', 'backbone.height=96'),
                            ('action.limits={linear_x: 1}', '3D'), ('action.step_s=0.2', '=0.1')):
        with pytest.raises(TrainingError, match=words):
            train_member('hybrid_small', [override], data, data, tmp_path, READER, QUICK)


def not_a_number(path: Path) -> None:
    values = np.load(path)
    values.flat[7] = np.nan
    np.save(path, values)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


@pytest.mark.parametrize('field, spoil, words', [
    ('chunks', not_a_number, 'round1: chunks of some frames are not finite: delete the shard'),
    ('points', cut_off, 'round1: a file is cut off .*delete the shard'),
    ('images', cut_off, 'round1: a file is cut off .*delete the shard')])
def test_spoilt_frames_are_named_before_anything_learns(
        field: str, spoil: Callable[[Path], None], words: str, data: Path,
        tmp_path: Path) -> None:
    frames = shutil.copytree(data, tmp_path / 'frames')
    spoil(next((frames / 'round1').glob(f'*.{field}.npy')))
    with pytest.raises(TrainingError, match=words):
        train_member('simple_lstm_small', [], frames, data / 'expert', tmp_path / 'out', READER,
                     QUICK)
    assert not (tmp_path / 'out').exists()


def test_what_a_worker_says_is_said_and_what_was_saved_is_kept(data: Path,
                                                               tmp_path: Path) -> None:
    folders = frame_folders(data)
    job = GlimpseJob(load_preset('simple_lstm_small', ['action.chunk=8']), folders, folders[:1],
                     tmp_path, ImitationConfig(0, 9, batch=4, warm_up=1, peak_rate=1e30), 1, 1)
    with pytest.raises(TrainingError, match=r'^the gradient is not finite .*lower peak_rate'):
        learn_glimpses(job)
    assert checkpoint.read_progress(tmp_path).step >= 1
    assert not (tmp_path / checkpoint.BEST).exists()


# No machine can address an array of so many numbers: it is refused before any memory is touched.
FAR_TOO_MANY = 10 ** 15


@pytest.mark.parametrize('fill', [
    lambda: np.zeros(FAR_TOO_MANY), lambda: torch.zeros(FAR_TOO_MANY),
    lambda: bytearray(FAR_TOO_MANY)])
def test_memory_that_is_refused_is_told_with_its_remedy(fill: Callable[[], object]) -> None:
    with pytest.raises(TrainingError, match=r'^out of memory: .*\n  -> read less'), \
            named_memory(lambda: 'read less'):
        fill()
    with pytest.raises(RuntimeError, match='shape') as other, named_memory(lambda: 'read less'):
        torch.ones(2).reshape(3)
    assert not isinstance(other.value, TrainingError)


def test_a_full_memory_ends_the_command_with_what_to_do(
        data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member, 'QUICK', replace(QUICK, see=replace(
        QUICK.see, batch=FAR_TOO_MANY)))
    command = ['train', 'small', 'simple_lstm_small', '--quick', '--frames', str(data),
               '--unseen', str(data / 'expert'), '--out', str(tmp_path / 'out'),
               '--workers', '1']
    result = CliRunner().invoke(build(command), command)
    assert result.exit_code == 1
    assert 'out of memory: Unable to allocate' in result.output
    assert 'end other programs' in result.output and '--workers 1' in result.output
    assert 'Traceback' not in result.output


def test_a_memory_that_is_full_late_loses_nothing(trained: Path, data: Path,
                                                  tmp_path: Path) -> None:
    out = shutil.copytree(trained, tmp_path / 'out')
    with pytest.raises(TrainingError, match=r'(?s)out of memory: .*goes on from .*see'):
        train_member('robovlms_small', [], data, data / 'expert', out, READER, replace(
            QUICK, own=0, remember=replace(QUICK.remember, batch=FAR_TOO_MANY)))


def test_a_run_that_was_cut_off_goes_on_exactly_and_into_the_next(data: Path,
                                                                   tmp_path: Path) -> None:
    config = load_preset('simple_lstm_small', ['action.chunk=8'])
    folders = frame_folders(data)
    job = GlimpseJob(config, folders, folders[:1], tmp_path / 'whole',
                     ImitationConfig(0, 4, batch=4, warm_up=2), 2, save_every=2)
    learn_glimpses(job)
    cut = replace(job, folder=tmp_path / 'cut')
    cut.folder.mkdir()
    shutil.copy(job.folder / checkpoint.PREVIOUS, cut.folder / checkpoint.LAST)  # after 2 steps
    learn_glimpses(cut)
    whole, again = (load_file(path.folder / checkpoint.BEST) for path in (job, cut))
    assert whole.keys() == again.keys()
    for name in whole:
        torch.testing.assert_close(whole[name], again[name], rtol=0, atol=0, msg=name)
    after = replace(job, folder=tmp_path / 'after', before=job,
                    stretch=ImitationConfig(4, 6, batch=4, warm_up=2, decay=2))
    learn_glimpses(after)
    assert checkpoint.read_progress(after.folder).step == 6
    moved = load_file(after.folder / checkpoint.BEST)
    far = max(float((moved[name] - whole[name]).abs().max()) for name in whole)
    assert 0 < far < 0.1  # from where the one before ended, not from the beginning


@pytest.mark.parametrize('name', ['hybrid_small', 'simple_lstm_small', 'robovlms_small'])
def test_every_weight_of_a_glimpse_is_taught(name: str, data: Path) -> None:
    torch.manual_seed(0)
    glimpse = Glimpse(FamilyPolicy(load_preset(name, ['action.chunk=8'])))
    parts = glimpse.losses(Frames([data / 'expert']).batch(6, np.random.default_rng(0)))
    assert {'chunk', 'goal', 'passage', 'stage', 'arrive'} <= parts.keys()
    assert ('goal_1' in parts) == (name != 'simple_lstm_small')  # a backbone of its own each
    torch.stack([*parts.values()]).sum().backward()
    untaught = {n for n, p in glimpse.named_parameters() if p.grad is None}
    assert not untaught


def test_a_glimpse_drives_as_it_has_learned(data: Path) -> None:
    torch.manual_seed(0)
    glimpse = Glimpse(FamilyPolicy(load_preset('hybrid_small', TINY))).eval()
    image = torch.randint(0, 256, (1, 32, 48, 3), dtype=torch.uint8)
    told = torch.from_numpy(INTENTS[0].features())[None]
    with torch.inference_mode():
        chunk, arrived, state = GlimpseDriver(glimpse)(image, told, torch.zeros(1, 1))
        raw, logit, _ = glimpse.judge(glimpse(image, told)[0])
    torch.testing.assert_close(chunk, raw.clamp(-1, 1))
    torch.testing.assert_close(arrived, logit.sigmoid())
    assert arrived.shape == state.shape == (1, 1)


def test_a_memory_learns_as_it_runs_on_the_robot() -> None:
    policy = FamilyPolicy(load_preset('hybrid_small', [*TINY, 'head.window_s=0.4'])).eval()
    image = torch.randint(0, 256, (7, 32, 48, 3), dtype=torch.uint8)
    told = Instructions(('',) * 7, torch.from_numpy(INTENTS[0].features()).expand(7, -1))
    with torch.inference_mode():
        features = policy.encode(image, told)
        chunks, arrived = remember._run(policy, policy.fusion(features)[None])
        state = policy.initial_state(1)
        for step in range(7):
            chunk, belief, state = policy(image[step:step + 1], told.select([step]), state)
            torch.testing.assert_close(chunks[:, step], chunk, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(arrived[:, step:step + 1].sigmoid(), belief,
                                       atol=1e-5, rtol=1e-4)


def test_what_only_a_memory_can_know_is_learned() -> None:
    torch.manual_seed(0)
    policy = FamilyPolicy(load_preset('simple_lstm_small', [*TINY, 'head.dropout=0']))
    rng = np.random.default_rng(0)
    drives, length = 40, 12
    side = rng.choice([-0.5, 0.5], drives)
    features = torch.zeros(drives, length, 24)
    features[:, 0, 0] = torch.from_numpy(side).float() * 4  # shown once, at the beginning
    features[:, :, 1] = torch.arange(length) / length
    data = Sequences(
        features.flatten(0, 1).half(),
        torch.from_numpy(np.repeat(side, length)).float()[:, None, None].expand(-1, 8, 3),
        (torch.arange(length) >= 9).float().repeat(drives),
        np.stack([np.arange(drives), np.arange(1, drives + 1)], 1) * length)
    before = remember.judge(policy, data)
    remember.learn_to_remember(policy, data, MemoryConfig(
        steps=240, batch=16, length=length, rate=1e-2, dropout=0.0), Notes())
    after = remember.judge(policy, data)
    assert after['mae'] < 0.3 * before['mae'] and after['arrived'] > 0.95
