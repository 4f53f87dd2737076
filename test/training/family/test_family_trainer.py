"""The training loop: the same result however it was cut off, shared or divided."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import recorded
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from train_child import run

from vla_nav.training.family import checkpoint, objective
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.trainer import Trainer, learning_rate

HERE = Path(__file__).parent
SETTINGS = {'train__epochs': 2, 'train__save_every': 3}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return recorded.write(tmp_path_factory.mktemp('data') / 'day', 12, jitter_ns=3_000_000)


@pytest.fixture(scope='module')
def whole(data, tmp_path_factory):
    """Return folder and progress of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp('whole')
    return folder, run(data, folder, recorded.config(**SETTINGS))


def curve(progress):
    return [{k: v for k, v in row.items() if k != 'seconds'} for row in progress.history]


def weights(folder):
    # The bias of attention's keys has no effect, so that its gradient is rounding alone.
    return {name: value for name, value in load_file(folder / checkpoint.LAST).items()
            if name.startswith('model.') and not name.endswith('in_proj_bias')}


def assert_same_result(whole, folder):
    """Compare with the undisturbed training, up to another order of summation."""
    saved = json.loads(metadata(folder)['progress'])
    for row, wanted in zip(saved['history'], whole[1].history, strict=True):
        for name in ('train_loss', 'validation_loss', 'validation_mae'):
            assert row[name] == pytest.approx(wanted[name], rel=1e-4), name
    for name, value in weights(whole[0]).items():
        torch.testing.assert_close(weights(folder)[name], value, atol=1e-4, rtol=1e-3)


def metadata(folder):
    with safe_open(folder / checkpoint.LAST, 'pt') as file:
        return file.metadata()


def child(data, folder, settings, *more, launch=()):
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '',
                   'PYTHONPATH': os.pathsep.join([str(HERE), str(HERE.parents[2])])}
    return subprocess.run(
        [sys.executable, *launch, str(HERE / 'train_child.py'), str(data), str(folder),
         json.dumps(settings), *map(str, more)],
        env=environment, capture_output=True, text=True, timeout=280)


def test_it_learns_and_keeps_the_best_epoch(whole, data):
    folder, progress = whole
    losses = [row['train_loss'] for row in progress.history]
    assert losses[-1] < losses[0] and progress.best == min(
        row['validation_loss'] for row in progress.history)
    assert (folder / checkpoint.BEST).exists() and progress.step == 2 * progress.history[0]['step']


def test_a_killed_training_goes_on_as_if_nothing_had_been(whole, data, tmp_path):
    killed = child(data, tmp_path, SETTINGS, 11)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    left = load_file(tmp_path / checkpoint.LAST)
    assert any(name.startswith('optimizer') for name in left)
    seen = []
    progress = run(data, tmp_path, recorded.config(**SETTINGS),
                   lambda done, total, loss: seen.append(done))
    assert seen[0] == 10  # the checkpoint was of step 9
    assert progress.step == whole[1].step
    assert_same_result(whole, tmp_path)


@pytest.mark.parametrize('accumulate', [1, 2])
def test_two_processes_give_the_result_of_one(whole, data, tmp_path, accumulate):
    done = child(data, tmp_path, {**SETTINGS, 'train__accumulate': accumulate}, launch=(
        '-m', 'accelerate.commands.launch', '--multi_gpu', '--num_processes', '2',
        '--num_machines', '1', '--mixed_precision', 'no', '--dynamo_backend', 'no',
        '--main_process_port', '0'))
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(done.stdout.splitlines())[-2:] == ['process 0 of 2', 'process 1 of 2']
    assert_same_result(whole, tmp_path)


@pytest.mark.parametrize('changes', [
    {'train__accumulate': 2}, {'train__gradient_checkpointing': True}, {'train__workers': 1}])
def test_what_saves_memory_or_time_does_not_change_the_result(whole, data, tmp_path, changes):
    run(data, tmp_path, recorded.config(**SETTINGS, **changes))
    assert_same_result(whole, tmp_path)


def test_a_finished_training_is_not_repeated(whole, data):
    steps = []
    again = run(data, whole[0], recorded.config(**SETTINGS), lambda *step: steps.append(step))
    assert not steps and curve(again) == curve(whole[1])


def test_other_settings_do_not_take_over_a_training(whole, data):
    with pytest.raises(TrainingError, match=r'train\.lr was 0\.003, is 0\.001.*--out'):
        run(data, whole[0], recorded.config(**SETTINGS, train__lr=0.001))


def test_a_training_that_was_cut_off_goes_on_with_the_same_curve(whole, data, tmp_path):
    class Cut(Exception):
        pass

    def cut(done, total, loss):
        if done == 5:
            raise Cut
    with pytest.raises(Cut):
        run(data, tmp_path, recorded.config(**SETTINGS), cut)
    progress = run(data, tmp_path, recorded.config(**SETTINGS))
    assert curve(progress) == curve(whole[1])  # bit by bit
    for name, value in weights(whole[0]).items():
        assert torch.equal(value, weights(tmp_path)[name]), name
    events = EventAccumulator(str(tmp_path / 'tensorboard'))
    events.Reload()
    steps = [event.step for event in events.Scalars('train/loss')]
    assert steps == list(range(1, whole[1].step + 1))


def broken(monkeypatch, at, error):
    """Let the loss of a later step fail."""
    calls, real = [0], objective.sums

    def sums(*arguments):
        calls[0] += 1
        if calls[0] > at:
            return error(real(*arguments))
        return real(*arguments)
    monkeypatch.setattr(objective, 'sums', sums)


def no_memory(_):
    raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB')


def not_finite(sums):
    return sums._replace(loss=sums.loss * float('nan'))


@pytest.mark.parametrize('error, remedy', [(no_memory, r'train\.accumulate=2'),
                                           (not_finite, r'lower train\.lr')])
def test_what_breaks_a_step_leaves_the_checkpoint(data, tmp_path, monkeypatch, error, remedy):
    broken(monkeypatch, 4, error)
    with pytest.raises(TrainingError, match=f'(?s){remedy}.*last.safetensors is kept'):
        run(data, tmp_path, recorded.config(**SETTINGS))
    monkeypatch.undo()
    seen = []
    run(data, tmp_path, recorded.config(**SETTINGS), lambda done, *rest: seen.append(done))
    assert seen[0] == 4


def test_a_half_written_checkpoint_gives_way_to_the_one_before(whole, data, tmp_path):
    run(data, tmp_path, recorded.config(**SETTINGS))
    last = tmp_path / checkpoint.LAST
    last.write_bytes(last.read_bytes()[:-1000])
    said = []
    progress = run(data, tmp_path, recorded.config(**SETTINGS), say=said.append)
    assert 'half-written' in said[0] and 'previous.safetensors' in said[0]
    assert curve(progress) == curve(whole[1])
    for name in (checkpoint.LAST, checkpoint.PREVIOUS):
        (tmp_path / name).write_bytes(b'\x10')
    with pytest.raises(TrainingError, match=r'half-written.*delete'):
        run(data, tmp_path, recorded.config(**SETTINGS))


def test_it_stops_when_it_gets_no_better(data, tmp_path, monkeypatch):
    losses = iter([0.5, 0.3, 0.4, 0.35, 0.1])
    monkeypatch.setattr(Trainer, 'validate', lambda self, members: {
        'loss': next(losses), 'mae': 0.1, 'first': {}})
    progress = run(data, tmp_path, recorded.config(train__epochs=9, train__patience=2))
    assert (progress.epoch, progress.best_epoch, progress.best) == (4, 2, 0.3)


def test_half_precision_runs_on_a_processor(data, tmp_path):
    progress = run(data, tmp_path, recorded.config(train__epochs=1, train__precision='bf16'))
    assert progress.history[0]['train_loss'] < 1


@pytest.mark.parametrize('wanted', [True, False])
def test_deterministic_holds_while_it_trains_and_not_longer(data, tmp_path, wanted):
    seen = set()

    def look(*step):
        seen.add((torch.are_deterministic_algorithms_enabled(),
                  torch.backends.cudnn.deterministic, not torch.backends.cudnn.benchmark))
    run(data, tmp_path, recorded.config(train__epochs=1, train__deterministic=wanted), look)
    assert seen == {(wanted,) * 3}
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic
    assert not wanted or os.environ['CUBLAS_WORKSPACE_CONFIG'] == ':4096:8'


def test_a_batch_must_be_divisible(data, tmp_path):
    with pytest.raises(TrainingError, match='multiple of 3'):
        run(data, tmp_path, recorded.config(train__accumulate=3))


def test_the_rate_warms_up_and_falls():
    t = recorded.config(train__warm_up=0.1).train
    rates = [learning_rate(step, 100, t) for step in range(101)]
    assert rates[0] == pytest.approx(t.lr / 10) and max(rates) == rates[9] == t.lr
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(t.lr / 100)
    constant = t.model_copy(update={'schedule': 'constant'})
    assert learning_rate(90, 100, constant) == t.lr
