"""`vla-nav data convert`: every format in, HDF5 and LeRobot out, nothing lost between."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from bags import drive, header, twist, write_bag
from typer.testing import CliRunner

from vla_nav.cli.main import build
from vla_nav.episodes.convert import Options, kind_of, open_recordings
from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import EpisodeError
from vla_nav.episodes.store import find_episodes

_SAID = 'stop at the cup'


def _convert(source, out, *options, code=0):
    result = CliRunner().invoke(build(['data']), ['data', 'convert', str(source), str(out),
                                                  *options])
    assert result.exit_code == code, result.output
    return result.output


def _episodes(path):
    refs, errors = find_episodes(path)
    assert not errors
    found = []
    for ref in refs:
        with open_episode(ref) as e:
            found.append((e.instruction, e.actions, e.stamps_ns, e.odometry, e.embodiment,
                          [e.images[i] for i in range(len(e))]))
    return found


def _equal(one, other):
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_folder_of_bags_goes_to_lerobot_and_back(tmp_path):
    write_bag(tmp_path / 'bags' / 'a', drive(8))
    write_bag(tmp_path / 'bags' / 'b', drive(6), 'sqlite3')
    write_bag(tmp_path / 'bags' / '.unfinished' / 'c', drive(6))
    said = _convert(tmp_path / 'bags', tmp_path / 'h5', '--instruction', _SAID)
    assert '2 episodes, 14 pictures' in said
    _convert(tmp_path / 'h5', tmp_path / 'lerobot', '--to', 'lerobot')
    _convert(tmp_path / 'lerobot', tmp_path / 'again')
    first = _episodes(tmp_path / 'h5')
    assert first[0][0] == _SAID and len(first[0][1]) == 8
    _equal(first, _episodes(tmp_path / 'again'))


def test_the_older_layout_becomes_the_newer_one_in_si_units(tmp_path):
    # A recording without stamps cannot be stored as if it had some.
    with h5py.File(tmp_path / 'episode_1_2_1box_hori_left_core_close.h5', 'w') as file:
        file['images'] = np.zeros((3, 8, 8, 3), np.uint8)
        file['actions'] = np.float32([[1.15, 0, 0]] * 3)
    said = _convert(tmp_path, tmp_path / 'out', code=2)
    assert 'stamps_ns' in said and '--rate' in said
    _convert(tmp_path, tmp_path / 'out', '--rate', '10')
    (text, actions, stamps, *_), = _episodes(tmp_path / 'out')
    assert 'left' in text and np.diff(stamps).tolist() == [10**8] * 2
    np.testing.assert_allclose(actions, [[0.6, 0, 0]] * 3)


def test_bag_options_reach_the_translation(tmp_path):
    messages = [(topic.replace('cmd_vel', 'drive'), at, m) for topic, at, m in drive(8)]
    bag = write_bag(tmp_path / 'bag', messages)
    assert 'cmd_vel' in _convert(bag, tmp_path / 'out', '--instruction', _SAID, code=2)
    _convert(bag, tmp_path / 'out', '--instruction', _SAID, '--command-topic', 'drive', '--axes',
             'linear_x,angular_z', '--embodiment', 'differential')
    (_, actions, _, _, robot, _), = _episodes(tmp_path / 'out')
    assert actions.shape == (8, 2) and robot == 'differential'


def test_a_profile_reaches_the_commands_of_bags(tmp_path):
    keys = [(topic, at, twist(-1.15, 1.15) if topic == '/cmd_vel' else m)
            for topic, at, m in drive(8)]
    for name in ('a', 'b'):
        write_bag(tmp_path / 'bags' / name, keys)
    _convert(tmp_path / 'bags', tmp_path / 'out', '--instruction', _SAID, '--embodiment',
             'keyboard')
    for _, actions, _, _, robot, _ in _episodes(tmp_path / 'out'):
        np.testing.assert_allclose(actions, [[-0.6, 0.6, 0.0]] * 8, atol=1e-6)
        assert robot == 'keyboard'
    said = _convert(tmp_path / 'bags', tmp_path / 'out', '--embodiment', 'donkeycar', code=2)
    assert 'throttle' in said and said.count('error') == 1 and 'left out' not in said


def test_the_stamps_of_pictures_can_be_those_of_their_arrival(tmp_path):
    messages = drive(8)
    for topic, _, message in messages:
        if 'camera' in topic:
            message.header = header(0)
    bag = write_bag(tmp_path / 'bag', messages)
    said = _convert(bag, tmp_path / 'out', '--instruction', _SAID, code=2)
    assert 'camera/image_raw' in said and '--stamp-source arrival' in said
    _convert(bag, tmp_path / 'out', '--instruction', _SAID, '--stamp-source', 'arrival')
    (_, _, stamps, *_), = _episodes(tmp_path / 'out')
    assert stamps.tolist() == [at for topic, at, _ in messages if 'camera' in topic]


def test_options_that_are_given_keep_what_the_recorder_kept(tmp_path):
    kept = {'instruction': _SAID, 'translation': {'command_topic': 'drive'}}
    messages = [(topic.replace('cmd_vel', 'drive'), at, m) for topic, at, m in drive(8)]
    bag = write_bag(tmp_path / 'bag', messages, custom={'vla_nav': json.dumps(kept)})
    _convert(bag, tmp_path / 'out', '--axes', 'linear_x')
    assert _episodes(tmp_path / 'out')[0][1].shape == (8, 1)


def test_what_is_no_recording_says_what_would_be_one(tmp_path):
    (tmp_path / 'notes.txt').write_text('')
    for path in (tmp_path, tmp_path / 'notes.txt'):
        with pytest.raises(EpisodeError, match='ROS 2 bag'):
            kind_of(path)
    with pytest.raises(EpisodeError, match='no such'):
        list(open_recordings(tmp_path / 'nowhere', Options()))
    assert 'embodiment' in _convert(tmp_path, tmp_path / 'out', '--embodiment', 'tank', code=2)
