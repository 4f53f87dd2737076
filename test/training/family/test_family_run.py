"""From recordings to a bundle by the command line, with features kept of a tiny CLIP."""

from __future__ import annotations

import json
import os

import checkpoints
import h5py
import numpy as np
import pytest
import recorded
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from vla_nav.cli import bench
from vla_nav.cli import train as cli
from vla_nav.contracts import Frame, NotUnderstood
from vla_nav.episodes.fingerprint import picture_hash
from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.store import EpisodeRef
from vla_nav.runtimes import load_policy

SMALL = ['head.window_s=0.4', 'train.epochs=2', 'train.batch=4', 'train.precision=fp32',
         'train.lights=2', 'backbone.resampler={queries: 2, depth: 1, heads: 2}',
         'action.limits={linear_x: 0.6, angular_z: 1.5}',
         'train.validation_share=0.2', 'train.test_share=0.2']


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Return a folder with recordings and a tiny CLIP."""
    root = tmp_path_factory.mktemp('place')
    recorded.write(root / 'day', 12)
    checkpoints.write_clip(root / 'clip')
    return root


def invoke(root, *more, out='out', preset='clip_lstm', data='day'):
    words = [preset, '--data', str(root / data), '--out', str(root / out), '--cache',
             str(root / 'features'), *checkpoints.overrides({'clip': root / 'clip'}), *SMALL]
    return CliRunner().invoke(cli.app, [*words, *more])


@pytest.fixture(scope='module')
def trained(place):
    result = invoke(place)
    assert result.exit_code == 0, (result.output, result.exception)
    return place / 'out'


def metrics(folder):
    return json.loads((folder / 'metrics.json').read_text())


def test_the_bundle_runs(trained):
    policy = load_policy(trained)
    policy.set_instruction(recorded.TEXTS['left'])
    chunk = policy.act(Frame(np.zeros((32, 32, 3), np.uint8), 1))
    assert chunk.velocities.shape == (4, 2) and np.isfinite(chunk.velocities).all()
    assert not [path for path in trained.rglob('*') if path.suffix in ('.pt', '.pkl', '.bin')]


def test_its_figures_stand_beside_baselines(trained):
    found = metrics(trained)
    assert found['cache']['used'] and found['best_epoch'] in (1, 2)
    for part in ('validation', 'test'):
        assert {*found[part]['predictors']} == {'policy', 'constant mean', 'constant median',
                                                'step-index'}
    card = (trained / 'README.md').read_text()
    assert 'step-index' in card and 'vla-nav' in card
    assert (trained / 'curves.png').read_bytes().startswith(b'\x89PNG')
    split = json.loads((trained / 'split.json').read_text())
    assert [len(split[part]) for part in ('train', 'validation', 'test')] == [8, 2, 2]


def test_its_statistics_are_of_the_training_episodes_alone(place, trained):
    split = json.loads((trained / 'split.json').read_text())
    kept = json.loads((trained / 'config.json').read_text())['training']['statistics']
    actions = {}
    for path in (place / 'day').glob('*.h5'):
        with open_episode(EpisodeRef(path)) as episode:
            actions[picture_hash(episode)] = episode.actions[:, :2]
    assert len(actions) == 12 and kept['axes'] == list(recorded.AXES)
    train = np.concatenate([actions[name] for name in split['train']])
    everything = np.concatenate([*actions.values()])
    assert (kept['episodes'], kept['frames']) == (8, len(train))
    for name, of in {'mean': np.mean, 'median': np.median, 'std': np.std, 'min': np.min,
                     'max': np.max}.items():
        assert kept[name] == pytest.approx(of(train, axis=0).tolist(), abs=2e-5), name
    assert kept['mean'] != pytest.approx(everything.mean(0).tolist(), abs=1e-3)


def cached_files(root):
    return sorted((root / 'features').rglob('*.safetensors'))


def test_each_picture_is_encoded_once(place, trained):
    # 8 training drives in two lights, the other 4 in one.
    assert len(cached_files(place)) == 8 * 2 + 4
    result = invoke(place, 'train.lr=0.001', out='again')
    assert result.exit_code == 0, result.output
    assert metrics(place / 'again')['cache']['encoded'] == 0
    assert len(cached_files(place)) == 20


def test_the_benchmark_times_an_epoch_with_and_without(place):
    done = CliRunner().invoke(bench.app, [
        'features', 'clip_lstm', '--data', str(place / 'day'),
        *checkpoints.overrides({'clip': place / 'clip'}), *SMALL])
    found = json.loads(done.stdout)
    assert found['pictures'] > 100 and found['epoch_s'] > 0 and found['epoch_cached_s'] > 0
    assert found['speed_up'] == pytest.approx(found['epoch_s'] / found['epoch_cached_s'],
                                              abs=0.006)


def test_a_damaged_file_is_encoded_again(place, trained):
    damaged, swapped = cached_files(place)[:2]
    before = load_file(damaged)['features'].clone()  # the file itself is mapped
    damaged.write_bytes(damaged.read_bytes()[:-100])
    # Somebody else's file under this name, in itself intact.
    os.replace(swapped, swapped.with_suffix('.away'))
    save_file({'features': before}, swapped, {'name': swapped.stem, 'checksum': '0' * 64})
    result = invoke(place, 'train.lr=0.002', out='mended')
    assert result.exit_code == 0, result.output
    assert metrics(place / 'mended')['cache']['encoded'] >= 2
    assert (load_file(damaged)['features'] == before).all()
    swapped.with_suffix('.away').unlink()


def test_features_of_another_network_are_refused(place, trained, monkeypatch):
    from vla_nav.policies.clip import ClipBackbone
    real = ClipBackbone.forward
    monkeypatch.setattr(ClipBackbone, 'forward', lambda self, *a: 2 * real(self, *a))
    result = invoke(place, 'train.lr=0.004', out='stale')
    assert result.exit_code == 1 and 'delete the folder' in cli_error(result)


def test_other_weights_have_files_of_their_own(place, trained):
    checkpoints.write_clip(place / 'clip', seed=1)
    try:
        result = invoke(place, 'train.epochs=1', out='other')
        assert result.exit_code == 0 and metrics(place / 'other')['cache']['encoded'] > 0
    finally:
        checkpoints.write_clip(place / 'clip')


def test_without_the_cache_the_result_is_the_same(place, trained):
    plain = ['train.augment=0', 'train.epochs=1']
    for out, cache in (('with', 'true'), ('without', 'false')):
        assert invoke(place, *plain, f'train.cache={cache}', out=out).exit_code == 0
    kept, computed = (metrics(place / out)['history'][0] for out in ('with', 'without'))
    # The features are kept in half precision.
    assert kept['validation_loss'] == pytest.approx(computed['validation_loss'], rel=2e-2)


def cli_error(result):
    return ' '.join((result.stderr or result.output).split())


@pytest.mark.parametrize('preset, more, words', [
    ('nothing', [], 'there is no preset'),
    ('clip_lstm', ['train.speed=1'], 'train.speed'),
    ('clip_lstm', ['backbone.clip.source=/nowhere'], '/nowhere'),
    ('clip_lstm', ['action.limits={linear_x: 0.6}'], 'angular_z was driven'),
    ('clip_lstm', ['train.batch=3', 'train.accumulate=2'], 'multiple of 2'),
])
def test_wrong_inputs_name_the_remedy_and_spoil_nothing(place, trained, preset, more, words):
    saved = contents(trained)
    result = invoke(place, *more, preset=preset)
    assert result.exit_code == 1 and words in cli_error(result), (result.output, result.exception)
    assert contents(trained) == saved


def contents(folder):
    """Return the bundle's files, and what a training needs to go on."""
    return {path: path.read_bytes() for path in (*folder.iterdir(), *folder.glob('training/*'))
            if path.is_file()}


def empty(path):
    path.unlink()


def not_a_number(path):
    with h5py.File(path, 'r+') as file:
        file['actions'][3, 1] = np.nan


def cut_off(path):
    path.write_bytes(path.read_bytes()[:500])


def other_axes(path):
    with h5py.File(path, 'r+') as file:
        file.attrs['action_names'] = ['linear_x', 'linear_y']


@pytest.mark.parametrize('spoil, words', [
    (empty, 'there are no episodes'), (not_a_number, 'record it again'),
    (cut_off, 'record it again'), (other_axes, 'action.limits')])
def test_spoilt_recordings_are_refused_and_spoil_nothing(place, trained, tmp_path, spoil, words):
    saved = contents(trained)
    spoil(recorded.write(tmp_path / 'spoilt', 1) / 'drive_001.h5')
    result = invoke(place, data=tmp_path / 'spoilt')
    assert result.exit_code == 1 and words in cli_error(result), (result.output, result.exception)
    assert contents(trained) == saved


def test_recordings_that_are_not_there(place):
    assert 'no such file' in cli_error(invoke(place, data='nowhere', out='wrong'))


def test_words_without_equals_are_folders(place, trained, monkeypatch):
    from vla_nav.training.family import run
    seen = []
    monkeypatch.setattr(run, 'train', lambda job, notes: seen.append(job))
    result = CliRunner().invoke(cli.app, ['clip_lstm', '--data', 'a', 'b', 'train.lr=0.5', 'c'])
    assert result.exit_code == 0, (result.output, result.exception)
    assert [str(path) for path in seen[0].data] == ['a', 'b', 'c']
    assert seen[0].config.train.lr == 0.5 and str(seen[0].out) == 'runs/clip_lstm'


def test_one_task_of_another_kind_is_named_by_a_phrase(place):
    from dataclasses import replace

    from vla_nav.episodes.store import EpisodeRef, write_episode
    (place / 'track').mkdir()
    for seed in range(1, 9):
        write_episode(EpisodeRef(place / 'track' / f'{seed}.h5'),
                      replace(recorded.drive(seed), instruction='Follow the track.'))
    refused = invoke(place, data='track', out='track_out')
    assert refused.exit_code == 1 and '--phrase' in cli_error(refused)
    result = invoke(place, '--phrase', 'follow the track', 'train.epochs=1', data='track',
                    out='track_out')
    assert result.exit_code == 0, (result.output, result.exception)
    policy = load_policy(place / 'track_out')
    with pytest.raises(NotUnderstood):
        policy.set_instruction(recorded.TEXTS['left'])
    policy.set_instruction('follow the track')
    assert policy.act(Frame(np.zeros((32, 32, 3), np.uint8), 1)).velocities.shape == (4, 2)
