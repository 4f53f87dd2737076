"""LeRobot v3: what is written is read back; what does not fit says so."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vla_nav.embodiments import donkeycar
from vla_nav.episodes.lerobot_read import episodes_from_lerobot, is_lerobot
from vla_nav.episodes.lerobot_write import (
    CAMERA,
    EPISODES_PATH,
    INFO_PATH,
    STATS_PATH,
    write_lerobot,
)
from vla_nav.episodes.schema import Episode, EpisodeError, JpegPictures


def _episode(seed, length=6, jpeg=False, rate=10, **changed):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (length, 3, 4, 3), np.uint8)
    images = np.stack([cv2.resize(s, (32, 24), interpolation=cv2.INTER_CUBIC) for s in small])
    fields = {
        'images': JpegPictures([cv2.imencode('.jpg', i[..., ::-1])[1].tobytes() for i in images])
        if jpeg else images,
        'actions': rng.uniform(-0.5, 0.5, (length, 3)).astype(np.float32),
        'stamps_ns': 10**18 + np.arange(length) * (10**9 // rate) + rng.integers(0, 10**6, length),
        'instruction': f'stop at the {["cup", "cone"][seed % 2]}', 'embodiment': 'omni',
        'scenario': f'scene{seed}',
        'odometry': rng.uniform(-1, 1, (length, 6)).astype(np.float32)}
    return Episode(**{**fields, **changed})


def _same(one, other, pixels=0):
    np.testing.assert_array_equal(one.actions, other.actions)
    np.testing.assert_array_equal(one.stamps_ns, other.stamps_ns)
    np.testing.assert_array_equal(one.odometry, other.odometry)
    assert (one.instruction, one.scenario, one.embodiment, one.action_names) == (
        other.instruction, other.scenario, other.embodiment, other.action_names)
    for i in range(len(one)):
        difference = np.abs(one.images[i].astype(int) - other.images[i])
        assert difference.mean() <= pixels


@pytest.mark.parametrize('jpeg', [False, True])
def test_pictures_in_parquet_come_back_to_the_bit(tmp_path, jpeg):
    written = [_episode(seed, 4 + seed, jpeg) for seed in range(3)]
    assert write_lerobot(tmp_path / 'set', written) == 3
    assert is_lerobot(tmp_path / 'set')
    read = list(episodes_from_lerobot(tmp_path / 'set'))
    for one, other in zip(written, read, strict=True):
        _same(one, other)
    if jpeg:
        assert read[0].images.encoded(2) == written[0].images.encoded(2)


def test_video_comes_back_frame_by_frame_in_any_order(tmp_path):
    written = [_episode(seed, 8) for seed in range(2)]
    write_lerobot(tmp_path / 'set', written, video=True)
    read = list(episodes_from_lerobot(tmp_path / 'set'))
    for one, other in zip(written, read, strict=True):
        _same(one, other, pixels=14)
        third = other.images[3]
        other.images[6]
        np.testing.assert_array_equal(third, other.images[3])
    with pytest.raises(IndexError):
        read[0].images[8]


@pytest.mark.parametrize('video', [False, True])
def test_episodes_that_share_a_file_are_told_apart(tmp_path, video):
    """As lerobot writes: episodes in one file until it is 100 MB large, videos end to end."""
    lengths = (8, 5)
    written = [_episode(seed, length) for seed, length in enumerate(lengths)]
    root = tmp_path / 'set'
    write_lerobot(root, written, video=video)
    files = sorted((root / 'data' / 'chunk-000').iterdir())
    tables = [pq.read_table(file, partitioning=None) for file in files]
    pq.write_table(pa.concat_tables(tables), files[0])
    files[1].unlink()
    rows = pq.read_table(root / EPISODES_PATH).to_pylist()
    rows[1]['data/file_index'] = 0
    if video:
        apart = sorted((root / 'videos' / CAMERA / 'chunk-000').iterdir())
        both = replace(written[0], images=np.concatenate([e.images for e in written]))
        write_lerobot(tmp_path / 'both', [replace(
            both, actions=np.zeros((13, 3), np.float32), odometry=np.zeros((13, 6), np.float32),
            stamps_ns=np.arange(13) * 10**8)], video=True)
        next((tmp_path / 'both' / 'videos' / CAMERA / 'chunk-000').iterdir()).replace(apart[0])
        apart[1].unlink()
        rows[1] |= {f'videos/{CAMERA}/file_index': 0, f'videos/{CAMERA}/from_timestamp': 0.8,
                    f'videos/{CAMERA}/to_timestamp': 1.3}
    pq.write_table(pa.Table.from_pylist(rows), root / EPISODES_PATH)
    read = list(episodes_from_lerobot(root))
    assert [len(episode) for episode in read] == list(lengths)
    for one, other in zip(written, read, strict=True):
        _same(one, other, pixels=14 if video else 0)


def test_statistics_are_those_of_the_whole_set(tmp_path):
    written = [_episode(seed, 4 + 5 * seed) for seed in range(2)]
    write_lerobot(tmp_path / 'set', written)
    stats = json.loads((tmp_path / 'set' / STATS_PATH).read_text())
    actions = np.concatenate([e.actions for e in written])
    np.testing.assert_allclose(stats['action']['mean'], actions.mean(0), atol=1e-6)
    np.testing.assert_allclose(stats['action']['std'], actions.std(0), atol=1e-6)
    assert stats['action']['count'] == [13] and np.shape(stats[CAMERA]['mean']) == (3, 1, 1)
    assert 0 <= np.min(stats[CAMERA]['min']) <= np.max(stats[CAMERA]['max']) <= 1


@pytest.mark.parametrize('video', [False, True])
def test_how_a_run_ended_is_on_its_last_frame(tmp_path, video):
    marks = [True, False, True]
    write_lerobot(tmp_path / 'set', [_episode(seed, success=mark)
                                     for seed, mark in enumerate(marks)], video)
    read = list(episodes_from_lerobot(tmp_path / 'set'))
    assert [episode.success for episode in read] == marks
    if not video:
        _same(read[1], _episode(1))  # nothing else has changed
    features = json.loads((tmp_path / 'set' / INFO_PATH).read_text())['features']
    assert features['next.success'] == {'dtype': 'bool', 'shape': [1], 'names': None}
    files = sorted((tmp_path / 'set' / 'data').rglob('*.parquet'))
    found = [pq.read_table(file, partitioning=None)['next.success'].to_pylist() for file in files]
    assert found == [[False] * 5 + [mark] for mark in marks]
    # Datasets of others say it on the frames alone.
    episodes = tmp_path / 'set' / EPISODES_PATH
    table = pq.read_table(episodes, partitioning=None).drop_columns('success')
    pq.write_table(table, episodes)
    assert [e.success for e in episodes_from_lerobot(tmp_path / 'set')] == marks


def test_where_nobody_said_no_frame_says_that_it_failed(tmp_path):
    marks = [True, None, False]
    write_lerobot(tmp_path / 'set', [_episode(seed, success=mark)
                                     for seed, mark in enumerate(marks)])
    assert [e.success for e in episodes_from_lerobot(tmp_path / 'set')] == marks
    assert 'next.success' not in (tmp_path / 'set' / INFO_PATH).read_text()


def test_another_robots_actions_need_a_profile(tmp_path):
    write_lerobot(tmp_path / 'set', [_episode(0, odometry=None)])
    path = tmp_path / 'set' / INFO_PATH
    info = json.loads(path.read_text())
    # As other tools write them: names in a group, and one column that is none of ours.
    info['features']['action']['names'] = {'motors': ['horn', 'throttle', 'steering']}
    path.write_text(json.dumps(info))
    with pytest.raises(EpisodeError, match='embodiment'):
        list(episodes_from_lerobot(tmp_path / 'set'))
    episode, = episodes_from_lerobot(tmp_path / 'set', donkeycar(1.0, 2.0))
    recorded = _episode(0).actions
    np.testing.assert_allclose(episode.actions[:, 0], recorded[:, 1], atol=1e-6)
    np.testing.assert_allclose(episode.actions[:, 1], -2 * recorded[:, 2], atol=1e-6)
    assert episode.action_names == ('linear_x', 'angular_z')


@pytest.mark.parametrize(('changed', 'said'), [
    ({'rate': 20}, 'one rate'), ({'odometry': None}, 'odometry'),
    ({'actions': np.zeros((6, 1), np.float32), 'action_names': ('linear_x',)}, 'action_names'),
    ({'images': np.zeros((6, 10, 10, 3), np.uint8)}, 'images'),
    ({'stamps_ns': None}, 'rate')])
def test_an_episode_unlike_the_others_is_named(tmp_path, changed, said):
    with pytest.raises(EpisodeError, match=said) as caught:
        write_lerobot(tmp_path / 'set', [_episode(0), _episode(1, **changed)])
    assert 'episode 1' in str(caught.value)
    assert not is_lerobot(tmp_path / 'set')  # half a dataset is none


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / 'thesis.txt').write_text('')
    with pytest.raises(EpisodeError, match='not empty'):
        write_lerobot(tmp_path, [_episode(0)])


def test_damage_and_older_versions_are_named(tmp_path):
    write_lerobot(tmp_path / 'set', [_episode(0)])
    info = tmp_path / 'set' / INFO_PATH
    good = info.read_text()
    info.write_text(good.replace('v3.0', 'v2.1'))
    with pytest.raises(EpisodeError, match=r'v2\.1'):
        list(episodes_from_lerobot(tmp_path / 'set'))
    info.write_text(good)
    data, = (tmp_path / 'set' / 'data').rglob('*.parquet')
    assert len(pq.read_table(data)) == 6
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(EpisodeError, match='file-000'):
        list(episodes_from_lerobot(tmp_path / 'set'))
