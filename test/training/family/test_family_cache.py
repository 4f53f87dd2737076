"""Kept features: what they depend on, what a training makes of them, what is refused."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple

import checkpoints
import h5py
import pytest
import recorded
import torch
from safetensors.torch import load_file

from vla_nav.episodes.fingerprint import picture_hash
from vla_nav.episodes.readers import open_episode
from vla_nav.policies.config import load_preset
from vla_nav.policies.family import FamilyPolicy
from vla_nav.training.family.cache import CacheSettings, FeatureStore
from vla_nav.training.family.material import gather
from vla_nav.training.family.pictures import Pictures
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.run import Job, prepared
from vla_nav.training.family.trainer import Notes

PRESET = 'robovlms_3d'  # both backbones, a query that learns and a resampler
SMALL = ['head.window_s=0.4', 'train.epochs=1', 'train.batch=4', 'train.precision=fp32',
         'train.augment=0', 'backbone.resampler={queries: 2, depth: 1, heads: 2}',
         'action.limits={linear_x: 0.6, angular_z: 1.5}', 'head.dropout=0',
         'train.validation_share=0.2', 'train.test_share=0.2']


@pytest.fixture
def place(tmp_path):
    """Return a folder with recordings and tiny checkpoints of both backbones, to be spoiled."""
    recorded.write(tmp_path / 'day', 8, frames=6)
    checkpoints.write_checkpoints(tmp_path)
    return tmp_path


def configuration(place, *more):
    folders = {name: place / name for name in ('kosmos2', 'clip')}
    return load_preset(PRESET, [*checkpoints.overrides(folders), *SMALL, *more])


def store_of(place, *more, seed=0):
    config = configuration(place, *more)
    material = gather(config, [place / 'day'], recorded.Reader())
    torch.manual_seed(seed)  # of all that learns
    policy = FamilyPolicy(config)
    return policy, material, FeatureStore(policy, material.recordings, material.instructions,
                                          CacheSettings(place / 'features'))


def frames(material):
    return sum(map(len, material.recordings))


def filled(place):
    """Fill the cache and return how many pictures it holds."""
    _, material, store = store_of(place)
    assert store.fill() == frames(material)
    return frames(material)


def assert_as_computed(place, *more):
    """Compare all that is kept now with what the network gives."""
    policy, material, store = store_of(place, *more)
    cache, pictures = store.open(), Pictures(material.recordings, 32, 32)
    for index, recording in enumerate(material.recordings):
        rows = torch.arange(len(recording)).numpy()
        words = material.instructions.select([index] * len(recording))
        with torch.inference_mode():
            wanted = policy.precompute(pictures.window(index, rows), words)
        torch.testing.assert_close(cache.window(index, rows), wanted, atol=4e-3, rtol=4e-3)


def test_what_learns_and_how_it_is_trained_leaves_the_cache_as_it_is(place):
    filled(place)
    assert store_of(place, 'train.lr=0.5', 'head.hidden=24', seed=1)[2].fill() == 0
    assert_as_computed(place)


def test_another_picture_in_a_file_of_the_same_name_is_encoded(place):
    filled(place)
    path = place / 'day' / 'drive_003.h5'
    with open_episode(recorded.EpisodeRef(path)) as episode:
        before, length = picture_hash(episode), len(episode)
    with h5py.File(path, 'r+') as file:
        file['images'][1, 5:9, 5:9] = 255
    with open_episode(recorded.EpisodeRef(path)) as episode:
        assert picture_hash(episode) == before  # that of the middle one would not tell
    assert store_of(place)[2].fill() == length
    assert_as_computed(place)


def other_mean(place):
    for path in (place / 'clip').glob('*processor_config.json'):
        said = json.loads(path.read_text())
        said['image_mean'] = [0.3, 0.3, 0.3]
        path.write_text(json.dumps(said))


def other_weights(place):
    checkpoints.write_clip(place / 'clip', seed=1)


@pytest.mark.parametrize('change', [other_mean, other_weights])
def test_another_preprocessing_and_other_weights_encode_all_again(place, change):
    count = filled(place)
    change(place)
    assert store_of(place)[2].fill() == count
    assert_as_computed(place)


def test_another_preset_of_the_backbone_encodes_all_again(place):
    count = filled(place)
    assert store_of(place, 'backbone.clip.normalise=false')[2].fill() == count
    assert_as_computed(place, 'backbone.clip.normalise=false')


def test_a_file_of_another_recording_under_this_name_is_encoded_again(place):
    filled(place)
    first, second = sorted((place / 'features').rglob('*.safetensors'))[:2]
    wanted = load_file(first)['features'].clone()
    first.unlink()  # it is mapped
    shutil.copyfile(second, first)
    assert store_of(place)[2].fill() == len(wanted)
    assert torch.equal(load_file(first)['features'], wanted)


@pytest.mark.parametrize('name', ['kosmos2', 'clip'])
@pytest.mark.parametrize('what', ['weights', 'preprocessing'])
def test_a_change_that_no_name_covers_is_refused(place, name, what):
    filled(place)
    policy, _, store = store_of(place)  # the names are those of what was there before
    part = policy.backbones[name]
    with torch.no_grad():
        if what == 'weights':
            for parameter in part.model.vision_model.parameters():
                parameter.mul_(1.5)
        else:
            part.norm.shift.add_(1.0)
    assert store.fill() == 0
    with pytest.raises(TrainingError, match='is stale or of another network; delete the folder'):
        store.open()


def test_a_full_disk_is_told_before_anything_is_encoded(place, monkeypatch):
    store = store_of(place)[2]
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(2**30, 2**30 - 4096, 4096))
    with pytest.raises(TrainingError, match=r'features: .*MB.*train\.lights=1.*--cache'):
        store.fill()
    assert not list((place / 'features').rglob('*.safetensors'))


def test_each_of_two_processes_asks_for_room_for_both_and_encodes_its_own(place, monkeypatch):
    _, material, store = store_of(place)
    needed = []
    monkeypatch.setattr(store, '_check_room', needed.append)
    assert store.fill(0, 2) + store.fill(1, 2) == frames(material)
    assert needed[0] == frames(material) > needed[1] > 0


@pytest.mark.parametrize('more', [(), ('train.gradient_checkpointing=true',)])
def test_a_query_learns_from_kept_pictures_as_from_the_pictures(place, monkeypatch, more):
    ends = []
    for cache in ('true', 'false'):
        job = Job(configuration(place, *more, f'train.cache={cache}'), (place / 'day',),
                  place / cache, place / 'features', place / 'no-reader')
        monkeypatch.setattr('vla_nav.training.family.run.InstructionReader',
                            lambda path: recorded.Reader())
        with prepared(job, Notes(say=lambda text: None)) as (trainer, trained):
            assert trained.cached == (cache == 'true')
            began = trained.policy.backbones['kosmos2'].query.detach().clone()
            if trained.cached:  # no vision tower runs after this
                for part in trained.policy.backbones.values():
                    monkeypatch.setattr(part.model.vision_model, 'forward', None)
            trainer.run()
            ends.append((trained.policy.backbones['kosmos2'].query.detach(),
                         trainer.progress.history[0]['validation_loss']))
            assert not torch.equal(ends[-1][0], began)
    (kept, loss), (computed, wanted) = ends
    assert loss == pytest.approx(wanted, rel=2e-2)  # kept in half precision
    assert (kept - computed).norm() < 0.1 * (computed - began).norm()
