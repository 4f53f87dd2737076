"""Every preset, in its tiny form: trained, cut off, gone on, saved, loaded, driving."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import recorded
import torch
from safetensors.torch import load_file

from vla_nav.contracts import Frame
from vla_nav.episodes.store import EpisodeRef, write_episode
from vla_nav.policies.config import FamilyConfig, load_preset, presets
from vla_nav.policies.eager import load_family
from vla_nav.runtimes import load_policy
from vla_nav.runtimes.bundle import read_bundle
from vla_nav.training.family import checkpoint
from vla_nav.training.family.objective import Imitation
from vla_nav.training.family.run import Job, prepared, train
from vla_nav.training.family.steps import Batch
from vla_nav.training.family.trainer import Notes, Trainer

READER = Path(__file__).parents[3] / 'models' / 'compact' / 'instruction.onnx'
SPACES = {'2D': ('linear_x', 'linear_y'), '3D': ('linear_x', 'linear_y', 'angular_z')}
LIMITS = {'linear_x': 0.6, 'linear_y': 0.6, 'angular_z': 1.5}
KOSMOS = tuple(name for name in presets() if load_preset(name).backbone.kosmos2)
# Killed in the second of two epochs of three steps, one step behind a checkpoint.
STEPS, CUT = 6, 5
TINY = ['train.epochs=2', 'train.batch=4', 'train.save_every=1', 'train.lights=2',
        'train.validation_share=0.2', 'train.test_share=0', 'train.lr=0.01',
        'head.window_s=0.4', 'head.layers=2', 'head.dropout=0.1']


@pytest.fixture(scope='module')
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with tiny checkpoints and with recordings in 2D and in 3D."""
    root = tmp_path_factory.mktemp('place')
    checkpoints.write_checkpoints(root)
    for space, axes in SPACES.items():
        (root / space).mkdir()
        for seed in range(1, 7):
            drive = recorded.drive(seed, 12, 'left' if seed % 2 else 'right')
            turn = drive.actions[:, 1]
            actions = np.stack([drive.actions[:, 0], 0.3 * turn, turn], 1)[:, :len(axes)]
            write_episode(EpisodeRef(root / space / f'drive_{seed:03d}.h5'), replace(
                drive, actions=actions, action_names=axes, embodiment='omni'))
    return root


def tiny(name: str, space: str, place: Path, *more: str) -> FamilyConfig:
    """Return a preset's tiny form: its parts, its recipe and its precision, small widths."""
    parts = load_preset(name).backbone
    folders = {key: place / key for key in ('kosmos2', 'clip') if getattr(parts, key)}
    small = ['backbone.small_vlm={width: 16, depth: 1, heads: 2}'] * bool(parts.small_vlm) \
        + ['backbone.small_conv.feature=16'] * bool(parts.small_conv) \
        + ['backbone.resampler={queries: 2, depth: 1, heads: 2}'] * bool(parts.resampler)
    limits = ', '.join(f'{axis}: {LIMITS[axis]}' for axis in SPACES[space])
    return load_preset(name, [*checkpoints.overrides(folders), *small, *TINY,
                              f'action.limits={{{limits}}}', *more])


def job_of(config: FamilyConfig, place: Path, out: Path) -> Job:
    space = f'{config.action.space.size}D'
    return Job(config, (place / space,), out, out.parent / 'features', READER)


def check_a_whole_life(config: FamilyConfig, place: Path, tmp_path: Path) -> Path:
    """Train, go on from where a kill would have left it, to the same result; load and drive."""
    whole, killed = (job_of(config, place, tmp_path / out) for out in ('whole', 'killed'))
    losses, again = dict[int, float](), dict[int, float]()

    def step(done: int, total: int, loss: float) -> None:
        losses[done] = loss
        if done == CUT:
            shutil.copytree(whole.folder, killed.folder)
    with prepared(whole, Notes(step, lambda text: None)) as (trainer, _):
        trainer.run()
    left = checkpoint.read_progress(killed.folder)
    assert (left.step, left.epoch) == (CUT - 1, 1) and left.running[1] > 0  # an epoch has begun
    metrics = train(killed, Notes(lambda done, total, loss: again.update({done: loss}),
                                  lambda text: None))
    assert metrics is not None and again == {n: losses[n] for n in range(CUT, STEPS + 1)}
    ends = [load_file(job.folder / checkpoint.LAST) for job in (whole, killed)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())

    policy = load_policy(killed.out, provider='cpu')
    policy.set_instruction(recorded.TEXTS['left'])
    side = checkpoints.SIDE
    rng = np.random.default_rng(0)
    for number in range(2):
        frame = Frame(rng.integers(0, 256, (side, side, 3), np.uint8), number * 10**8)
        chunk = policy.act(frame).velocities
        assert chunk.shape == (4, config.action.space.size) and np.isfinite(chunk).all()
    return killed.out


@pytest.mark.parametrize('space', SPACES)
@pytest.mark.parametrize('name', presets())
def test_every_preset_trains_goes_on_saves_loads_and_drives(
        name: str, space: str, place: Path, tmp_path: Path) -> None:
    check_a_whole_life(tiny(name, space, place), place, tmp_path)


def test_low_rank_additions_train_go_on_and_drive(place: Path, tmp_path: Path) -> None:
    config = tiny('robovlms_3d', '3D', place, *(
        f'backbone.{part}.{key}' for part in ('kosmos2', 'clip')
        for key in ('tune=lora', 'lora_rank=2')), 'backbone.dtype=bfloat16')
    out = check_a_whole_life(config, place, tmp_path)
    kept = load_file(out / 'model.safetensors')
    for part in ('kosmos2', 'clip'):
        additions = {name: value for name, value in kept.items()
                     if name.startswith(f'backbones.{part}.model.')}
        assert additions and all('lora_' in name for name in additions)
        # In half precision the steps of the optimiser would be rounded away.
        assert {value.dtype for value in additions.values()} == {torch.float32}
        # They begin at zero: whatever else they hold was learned.
        assert any(value.any() for name, value in additions.items() if 'lora_B' in name)
    loaded = load_family(out, read_bundle(out)).learned()
    assert loaded.keys() == kept.keys()
    assert all(torch.equal(loaded[name], value) for name, value in kept.items())


@contextmanager
def first_batch(job: Job) -> Iterator[tuple[Trainer, Batch]]:
    with prepared(job, Notes(say=lambda text: None)) as (trainer, _):
        yield trainer, trainer.steps[0][0]


@pytest.mark.parametrize('tune', ['frozen', 'lora'])
@pytest.mark.parametrize('name', KOSMOS)
def test_gradient_checkpointing_gives_the_plain_gradients(
        name: str, tune: str, place: Path, tmp_path: Path) -> None:
    config = tiny(name, '2D', place, f'backbone.kosmos2.tune={tune}', 'train.precision=fp32')
    with first_batch(job_of(config, place, tmp_path / 'out')) as (trainer, batch):
        policy, found = trainer.policy.train(), []
        assert policy.config.backbone.kosmos2.readout == 'query'
        if tune == 'lora':
            with torch.no_grad():  # they begin at zero, which hides what lies behind
                for key, value in policy.learned().items():
                    if 'lora_B' in key:
                        value.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
        words = trainer.instructions.select(batch.recording.tolist())
        for sparing in (False, True):
            recipe = config.train.model_copy(update={'gradient_checkpointing': sparing})
            torch.manual_seed(1)  # the head drops out
            got, _ = Imitation(policy, recipe, policy.precomputable).train()(batch, words)
            found.append(torch.autograd.grad(got.loss, policy.trainable(), allow_unused=True))
        for (key, _), plain, sparing in zip(policy.learned().items(), *found, strict=True):
            assert (plain is None) == (sparing is None), key
            if plain is not None:
                torch.testing.assert_close(plain, sparing, atol=1e-5, rtol=1e-3, msg=key)
        query = list(policy.learned()).index('backbones.kosmos2.query')
        assert found[0][query].abs().max() > 1e-4
