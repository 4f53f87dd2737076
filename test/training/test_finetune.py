"""Fine-tuning: chunks by time, masks, what learns and what stays, and a bundle that runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vla_nav.cli import train as cli
from vla_nav.contracts import Frame, PolicyError
from vla_nav.embodiments import project
from vla_nav.episodes.schema import Episode, EpisodeError
from vla_nav.episodes.store import EpisodeRef, write_episode
from vla_nav.evaluation.bundle_facts import known_drives
from vla_nav.policies.compact import CompactPolicy
from vla_nav.runtimes import load_policy
from vla_nav.spaces import DIFFERENTIAL_2D, OMNI_3D
from vla_nav.training.finetune import FinetuneConfig, finetune, window_loss
from vla_nav.training.imitation import trained_parameters
from vla_nav.training.recorded import future_rows

_SHIPPED = Path(__file__).parents[2] / 'models' / 'compact'
_SAID = 'Pass the box on its left and stop at the red cup.'
_STEP = 100_000_000


def _write(path, seed, **changed):
    rng = np.random.default_rng(seed)
    actions = np.tile(np.float32([0.1, 0.3, -0.5]), (8, 1)) + rng.normal(0, 0.01, (8, 3))
    fields = {'images': rng.integers(0, 256, (8, 96, 128, 3), np.uint8),
              'actions': actions.astype(np.float32),
              'stamps_ns': 10**18 + np.arange(8) * _STEP, 'instruction': _SAID}
    path.mkdir(exist_ok=True)
    write_episode(EpisodeRef(path / f'{seed}.h5'), Episode(**{**fields, **changed}))


def test_chunks_go_by_time_and_end_with_the_recording():
    # Twice as fast as the model: every second row; the last ones are not known.
    stamps = np.arange(8) * (_STEP // 2)
    actions = np.ones((8, 3), np.float32)
    rows, known = future_rows(stamps, actions, 3, _STEP)
    assert rows[0].tolist() == [0, 2, 4] and known[0].all()
    assert known[5].tolist() == [True, True, False] and known[7].tolist() == [True, False, False]


def test_a_robot_left_standing_goes_on_standing():
    actions = np.ones((4, 3), np.float32)
    actions[-1] = 0
    rows, known = future_rows(np.arange(4) * _STEP, actions, 8, _STEP)
    assert known.all() and rows[2].tolist() == [2] + [3] * 7


def test_a_gap_in_the_recording_is_not_filled():
    stamps = np.array([0, 1, 2, 9, 10]) * _STEP
    _, known = future_rows(stamps, np.ones((5, 3), np.float32), 5, _STEP)
    assert known[0].tolist() == [True, True, True, True, False]


def test_an_axis_that_the_robot_lacks_and_unknown_rows_do_not_teach():
    torch.manual_seed(0)
    model, before = CompactPolicy(), CompactPolicy()
    images = torch.randint(0, 256, (2, 3, 96, 128, 3)).float()
    features = torch.rand(3, 13)
    chunk, present = project(np.zeros((3, 8, 2)), DIFFERENTIAL_2D.names, OMNI_3D)
    known = torch.from_numpy(np.broadcast_to(present, (3, 8, 3)).copy())
    known[:, 5:] = False
    losses = []
    for wrong in (0.0, 1.0):
        label = torch.from_numpy(chunk.copy())
        label[..., 1] = wrong
        label[:, 5:] = wrong
        losses.append(window_loss(model, before, images, features, label, known))
    assert losses[0].item() == losses[1].item()
    losses[0].backward()
    taught = {id(p) for p in model.parameters() if p.grad is not None and p.grad.any()}
    assert taught & {id(p) for p in trained_parameters(model)}
    assert not any(p.grad is not None for p in before.parameters())


@pytest.fixture(scope='module')
def tuned(tmp_path_factory):
    path = tmp_path_factory.mktemp('tuned')
    for seed in range(3):
        _write(path / 'data', seed)
    said = []
    outcome = finetune(_SHIPPED, [path / 'data'], path / 'out',
                       FinetuneConfig(steps=12, batch=4, rate=1e-3, looks=2), said.append)
    return path, outcome, said


def test_a_few_steps_bring_the_chunks_nearer_to_what_was_driven(tuned):
    _, outcome, said = tuned
    assert outcome.after < 0.9 * outcome.before
    assert '2 episodes to train on, 1 for validation, 24 pictures' in said[0]


def test_the_bundle_runs_and_is_not_the_one_that_it_began_from(tuned):
    path, outcome, _ = tuned
    pictures = np.random.default_rng(5).integers(0, 256, (16, 96, 128, 3), np.uint8)
    wanted = np.float32([0.1, 0.3, -0.5])
    errors = []
    for bundle in (_SHIPPED, path / 'out'):
        policy = load_policy(bundle)
        policy.set_instruction(_SAID)
        errors.append(np.mean([np.abs(policy.act(Frame(picture, 10**18 + k * _STEP)).velocities
                                      - wanted) for k, picture in enumerate(pictures)]))
    assert errors[1] < errors[0]
    assert len(known_drives(str(path / 'out'))) == 3  # evaluation leaves them out
    assert f'{outcome.after:.4f} after' in (path / 'out' / 'README.md').read_text()


@pytest.mark.parametrize(('changed', 'said'), [
    ({'instruction': 'bake me a cake'}, 'not understood.*--instruction'),
    ({'stamps_ns': np.zeros(8, np.int64)}, 'do not increase'),
])
def test_what_cannot_teach_is_named_before_anything_is_trained(tmp_path, changed, said):
    _write(tmp_path / 'data', 0)
    _write(tmp_path / 'data', 1, **changed)
    with pytest.raises(EpisodeError, match=said) as caught:
        finetune(_SHIPPED, [tmp_path / 'data'], tmp_path / 'out')
    assert '1.h5' in str(caught.value)
    assert not (tmp_path / 'out').exists()


def test_a_full_memory_names_a_smaller_batch_and_leaves_the_bundle(tuned, monkeypatch):
    path, _, _ = tuned
    kept = {file: file.read_bytes() for file in (path / 'out').iterdir()}

    def full(*arguments):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB')
    monkeypatch.setattr('vla_nav.training.finetune.window_loss', full)
    result = CliRunner().invoke(cli.app, [
        'finetune', '--data', str(path / 'data'), '--policy', str(_SHIPPED), '--batch', '8',
        '--out', str(path / 'out')])
    said = ' '.join(result.stderr.split())
    assert result.exit_code == 2 and 'error: out of memory: CUDA' in said, result.output
    assert '--batch 4, now 8' in said and 'is kept' in said
    assert {file: file.read_bytes() for file in (path / 'out').iterdir()} == kept


def test_one_episode_is_too_few(tmp_path):
    _write(tmp_path / 'data', 0)
    with pytest.raises(EpisodeError, match='at least two'):
        finetune(_SHIPPED, [tmp_path / 'data'], tmp_path / 'out')


def test_a_bundle_without_weights_is_refused(tmp_path):
    from bundles import write_bundle
    with pytest.raises(PolicyError, match=r'model\.safetensors'):
        finetune(write_bundle(tmp_path / 'bundle'), [tmp_path], tmp_path / 'out')
