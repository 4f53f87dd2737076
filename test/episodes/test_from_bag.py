"""Bags become episodes: aligned by stamp, never invented, split where they must be."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bags import START_NS, drive, header, jpeg, picture, text, twist, twist_stamped, write_bag

from vla_nav.embodiments import EMBODIMENTS, Channel, Embodiment
from vla_nav.episodes.from_bag import episodes_from_bag
from vla_nav.episodes.schema import EpisodeError, JpegPictures
from vla_nav.observations.decode import decode_compressed
from vla_nav.observations.translation import Translation
from vla_nav.spaces import AXES

_SAID = 'pass the box on its left and stop at the cup'


def _only(path, **options):
    options.setdefault('instruction', _SAID)
    episode, = [(e, [e.images[i] for i in range(len(e))])
                for e in episodes_from_bag(path, **options)]
    episode[0].check('test')
    return episode


@pytest.mark.parametrize('command', ['twist', 'stamped'])
@pytest.mark.parametrize('transport', ['compressed', 'raw'])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_each_picture_has_the_command_that_answered_it(tmp_path, storage, transport, command):
    bag = write_bag(tmp_path / 'bag', drive(transport=transport, command=command), storage)
    episode, images = _only(bag)
    np.testing.assert_allclose(episode.actions[:, 0], 0.1 + 0.01 * np.arange(20), atol=1e-6)
    np.testing.assert_allclose(episode.actions[:, 1:], [[0.02, -0.1]] * 20, atol=1e-6)
    assert episode.stamps_ns.tolist() == [START_NS + i * 10**8 for i in range(20)]
    np.testing.assert_allclose(episode.odometry[:, 0], 0.1 * np.arange(20), atol=1e-5)
    np.testing.assert_allclose(episode.odometry[:, 2], 0.05 * np.arange(20), atol=1e-5)
    np.testing.assert_allclose(episode.odometry[:, 3], 0.3, atol=1e-6)
    sent = [message for topic, _, message in drive(transport=transport) if 'camera' in topic]
    for i, shown in enumerate(images):
        expected = (picture(i) if transport == 'raw'
                    else decode_compressed(sent[i].data.tobytes()))
        np.testing.assert_array_equal(shown, expected)


def test_jpeg_is_kept_as_the_camera_sent_it(tmp_path):
    messages = drive()
    episode, _ = _only(write_bag(tmp_path / 'bag', messages))
    assert isinstance(episode.images, JpegPictures)
    sent = [m.data.tobytes() for topic, _, m in messages if 'camera' in topic]
    assert [episode.images.encoded(i) for i in range(20)] == sent


def test_a_command_of_the_future_is_not_used_without_a_lead(tmp_path):
    bag = write_bag(tmp_path / 'bag', drive())
    episode, _ = _only(bag, translation=Translation(command_lead=0.0))
    # Picture 0 has no command yet; picture i is under the command that answered i - 1.
    assert len(episode) == 19
    np.testing.assert_allclose(episode.actions[:, 0], 0.1 + 0.01 * np.arange(19), atol=1e-6)
    assert episode.stamps_ns[0] == START_NS + 10**8


def test_pictures_without_a_fresh_command_are_left_out_and_said(tmp_path):
    messages = [m for m in drive(20) if not (m[0] == '/cmd_vel' and m[1] > START_NS + 10**9)]
    said = []
    episode, _ = _only(write_bag(tmp_path / 'bag', messages), say=said.append,
                       translation=Translation(command_tolerance=0.3))
    assert len(episode) == 12  # 0 to 9, and two within 0.3 s of the last command
    assert '8 of 20 pictures have no command' in said[0]


def _restamped(messages, stamp_of):
    """Let the camera write ``stamp_of(i)`` into the header of picture i."""
    pictures = [m for topic, _, m in messages if 'camera' in topic]
    for i, message in enumerate(pictures):
        message.header = header(stamp_of(i))
    return messages


@pytest.mark.parametrize('transport', ['compressed', 'raw'])
@pytest.mark.parametrize(('stamp_of', 'said'), [
    (lambda i: 0, r'all 20 pictures carry no header stamp \(it is 0\)'),
    (lambda i: 7 * 10**9, 'all 20 pictures carry the same header stamp, 7000000000 ns'),
    (lambda i: 7 * 10**9 + i * 10**8, 'same clock'),
])
def test_a_camera_without_a_clock_is_stamped_by_arrival(tmp_path, stamp_of, said, transport):
    messages = _restamped(drive(transport=transport, command='stamped'), stamp_of)
    bag = write_bag(tmp_path / 'bag', messages)
    with pytest.raises(EpisodeError, match=f'{said}.*--stamp-source arrival'):
        list(episodes_from_bag(bag, instruction=_SAID))
    episode, images = _only(bag, translation=Translation(stamp_source='arrival'))
    assert episode.stamps_ns.tolist() == [START_NS + 5_000_000 + i * 10**8 for i in range(20)]
    np.testing.assert_allclose(episode.actions[:, 0], 0.1 + 0.01 * np.arange(20), atol=1e-6)
    if transport == 'raw':
        np.testing.assert_array_equal(images, [picture(i) for i in range(20)])


def test_pictures_that_repeat_a_stamp_are_counted_and_the_remedy_is_named(tmp_path):
    messages = _restamped(drive(20), lambda i: START_NS + i // 2 * 2 * 10**8)
    said = []
    episode, _ = _only(write_bag(tmp_path / 'bag', messages), say=said.append)
    assert len(episode) == 10
    assert '10 of 20 pictures carry the stamp of the one before' in said[0]
    assert '--stamp-source arrival' in said[0]


def test_odometry_that_is_too_old_is_not_passed_off_as_new(tmp_path):
    messages = [m for m in drive(20) if not (m[0] == '/odom' and m[1] > START_NS + 10**9)]
    said = []
    episode, _ = _only(write_bag(tmp_path / 'bag', messages), say=said.append)
    assert episode.odometry is None and 'odometry' in said[-1]


def test_a_new_instruction_begins_a_new_episode(tmp_path):
    messages = drive(20) + [('/instruction', START_NS - 1, text('first')),
                            ('/instruction', START_NS + 10**9, text('second'))]
    episodes = [(e.instruction, len(e)) for e in episodes_from_bag(
        write_bag(tmp_path / 'bag', messages))]
    assert episodes == [('first', 10), ('second', 10)]


def test_a_pause_and_time_going_back_end_an_episode(tmp_path):
    second = START_NS + 5 * 10**9
    again = [(topic, at + 20 * 10**9, message) for topic, at, message in
             drive(8, command='stamped')]
    messages = drive(10, command='stamped') + drive(6, start_ns=second, command='stamped') + again
    lengths = [len(e) for e in episodes_from_bag(write_bag(tmp_path / 'bag', messages),
                                                 instruction=_SAID)]
    assert lengths == [10, 6, 8]


def test_standing_before_and_long_after_the_drive_is_cut(tmp_path):
    still, after = drive(10, speed=0.0), drive(30, speed=0.0, start_ns=START_NS + 2 * 10**9)
    for part in (still, after):
        part[:] = [(t, at, twist(0.0) if t == '/cmd_vel' else m) for t, at, m in part]
    messages = still + drive(10, start_ns=START_NS + 10**9) + after
    bag = write_bag(tmp_path / 'bag', messages)
    episode, _ = _only(bag)
    assert episode.stamps_ns[0] == START_NS + 10**9
    assert len(episode) == 20 and not episode.actions[10:].any()
    assert len(_only(bag, trim=False)[0]) == 50


def test_what_the_recorder_kept_is_the_default_and_gives_way(tmp_path):
    kept = {'instruction': 'kept', 'embodiment': 'tank', 'scenario': 'hall',
            'translation': {'command_topic': 'drive/cmd', 'action_names': ['linear_x']}}
    messages = [(topic.replace('cmd_vel', 'drive/cmd'), at, m) for topic, at, m in drive(5)]
    bag = write_bag(tmp_path / 'bag', messages, custom={'vla_nav': json.dumps(kept)})
    episode, = episodes_from_bag(bag)
    assert (episode.instruction, episode.embodiment, episode.scenario) == ('kept', 'tank', 'hall')
    assert episode.action_names == ('linear_x',) and episode.actions.shape == (5, 1)
    episode, = episodes_from_bag(bag, instruction=_SAID, embodiment=EMBODIMENTS['omni'])
    assert (episode.instruction, episode.embodiment) == (_SAID, 'omni')


def _commanded(path, *twists):
    """Write a bag of ten pictures, each answered by the next of the commands, in turn."""
    messages = [m for m in drive(10) if m[0] != '/cmd_vel']
    messages += [('/cmd_vel', START_NS + i * 10**8 + 20_000_000, twist(*twists[i % len(twists)]))
                 for i in range(10)]
    return write_bag(path, messages)


def test_keyboard_units_become_velocities(tmp_path):
    bag = _commanded(tmp_path / 'bag', (1.15, -1.15, 1.15), (-1.15, 0.0, -0.575))
    episode, _ = _only(bag, embodiment=EMBODIMENTS['keyboard'])
    assert episode.embodiment == 'keyboard' and episode.action_names == AXES
    np.testing.assert_allclose(
        episode.actions, [[0.6, -0.6, 1.2], [-0.6, 0.0, -0.6]] * 5, atol=1e-6)
    # Without a profile they are what a Twist is.
    np.testing.assert_array_equal(_only(bag)[0].actions[0], np.float32([1.15, -1.15, 1.15]))


def test_a_profile_turns_signs_and_says_which_axes_the_robot_has(tmp_path):
    wheels = Embodiment(name='wheels', channels=(
        Channel(axis='angular_z', low=-1.5, high=1.5, full=-1.0),
        Channel(axis='linear_x', low=-0.2, high=0.8)))
    episode, _ = _only(_commanded(tmp_path / 'bag', (0.5, 0.0, 0.4)), embodiment=wheels)
    assert episode.action_names == ('linear_x', 'angular_z')
    np.testing.assert_allclose(episode.actions, [[0.5, -0.6]] * 10, atol=1e-6)
    # Steering that a joystick's driver puts into another number of the Twist.
    wheels = Embodiment(name='wheels', channels=(
        Channel(axis='linear_x', low=-0.2, high=0.8),
        Channel(axis='angular_z', low=-1.5, high=1.5, name='linear_y', full=-1.0)))
    episode, _ = _only(_commanded(tmp_path / 'other', (0.5, 0.4, 0.0)), embodiment=wheels)
    np.testing.assert_allclose(episode.actions, [[0.5, -0.6]] * 10, atol=1e-6)


@pytest.mark.parametrize('name', ['omni', 'differential'])
def test_a_profile_in_si_units_changes_no_number(tmp_path, name):
    # Beyond the profile's limits too, and no number that is exact in decimals only.
    bag = _commanded(tmp_path / 'bag', (0.1, 0.0, -1.0 / 3), (2.7, 0.0, 9.1))
    plain, _ = _only(bag)
    episode, _ = _only(bag, embodiment=EMBODIMENTS[name])
    axes = [AXES.index(axis) for axis in episode.action_names]
    np.testing.assert_array_equal(episode.actions, plain.actions[:, axes])
    assert episode.action_names == EMBODIMENTS[name].space().names


def test_a_profile_that_a_twist_does_not_fit_is_refused_with_a_remedy(tmp_path):
    bag = _commanded(tmp_path / 'bag', (0.3, 0.2, 0.0))
    with pytest.raises(EpisodeError, match=r"donkeycar: has the channels \['throttle', "
                       r"'steering'\].*leave --embodiment out"):
        list(episodes_from_bag(bag, instruction=_SAID, embodiment=EMBODIMENTS['donkeycar']))
    with pytest.raises(EpisodeError, match=r'linear_y: was driven \(up to 0\.20\).*'
                       '--axes linear_x,angular_z'):
        list(episodes_from_bag(bag, instruction=_SAID, embodiment=EMBODIMENTS['differential']))
    with pytest.raises(EpisodeError, match=r"none of \['linear_y'\]"):
        list(episodes_from_bag(bag, Translation(action_names=('linear_y',)), _SAID,
                               EMBODIMENTS['differential']))


def test_what_the_operator_said_of_the_end_is_said_of_the_last_run(tmp_path):
    told = {'vla_nav': json.dumps({'instruction': 'first', 'success': True})}
    second = ('/instruction', START_NS + 10**9, text('second'))
    bag = write_bag(tmp_path / 'two', drive(20) + [second], custom=told)
    assert [e.success for e in episodes_from_bag(bag)] == [None, True]
    # Nothing is known of the first where the robot did not move for the second.
    still = [(topic, at, twist(0.0) if topic == '/cmd_vel' and at > START_NS + 10**9 else m)
             for topic, at, m in drive(20)]
    bag = write_bag(tmp_path / 'one', still + [second], custom=told)
    assert [(e.instruction, e.success) for e in episodes_from_bag(bag)] == [('first', None)]
    bag = write_bag(tmp_path / 'unsaid', drive(5), custom={'vla_nav': '{"instruction": "go"}'})
    assert [e.success for e in episodes_from_bag(bag)] == [None]
    bag = write_bag(tmp_path / 'odd', drive(5), custom={'vla_nav': '{"success": "perhaps"}'})
    with pytest.raises(EpisodeError, match="success is 'perhaps', expected true"):
        list(episodes_from_bag(bag))


def test_a_namespace_matches_and_two_are_ambiguous(tmp_path):
    one = [(f'/robot1{topic}', at, m) for topic, at, m in drive(5)]
    two = [(f'/robot2{topic}', at, m) for topic, at, m in drive(5)]
    assert len(_only(write_bag(tmp_path / 'one', one))[0]) == 5
    both = write_bag(tmp_path / 'both', one + two)
    with pytest.raises(EpisodeError, match=r'ambiguous.*robot1'):
        list(episodes_from_bag(both, instruction=_SAID))
    chosen = Translation(image_topic='/robot2/camera/image_raw', command_topic='/robot2/cmd_vel',
                         odometry_topic='/robot2/odom')
    assert len(_only(both, translation=chosen)[0]) == 5


def test_the_policys_own_commands_meet_their_picture_exactly(tmp_path):
    messages = [m for m in drive(5) if m[0] != '/cmd_vel']
    messages += [('/cmd_vel_policy', START_NS + i * 10**8 + 30_000_000,
                  twist_stamped(START_NS + i * 10**8, 0.1 * i)) for i in range(5)]
    episode, _ = _only(write_bag(tmp_path / 'bag', messages), trim=False,
                       translation=Translation(command_topic='cmd_vel_policy', command_lead=0.0))
    np.testing.assert_allclose(episode.actions[:, 0], 0.1 * np.arange(5), atol=1e-6)


def test_a_lone_storage_file_is_read_too(tmp_path):
    bag = write_bag(tmp_path / 'bag', drive(5))
    assert len(_only(next(bag.glob('*.mcap')))[0]) == 5


def _broken(path):
    (path / 'bag.mcap').write_bytes((path / 'bag.mcap').read_bytes()[:300])


@pytest.mark.parametrize(('spoil', 'said'), [
    (lambda m: [x for x in m if x[0] != '/cmd_vel'], 'cmd_vel: no commands'),
    (lambda m: [x for x in m if 'camera' not in x[0]], 'camera/image_raw: no pictures'),
    (lambda m: [(t, at + (10**12 if t == '/cmd_vel' else 0), x) for t, at, x in m],
     'same clock'),
])
def test_what_is_missing_is_named(tmp_path, spoil, said):
    bag = write_bag(tmp_path / 'bag', spoil(drive(5)))
    with pytest.raises(EpisodeError, match=said):
        list(episodes_from_bag(bag, instruction=_SAID))


def test_no_instruction_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(EpisodeError, match='--instruction'):
        list(episodes_from_bag(write_bag(tmp_path / 'bag', drive(5))))


def test_a_damaged_bag_is_named(tmp_path):
    bag = write_bag(tmp_path / 'bag', drive(5))
    _broken(bag)
    with pytest.raises(EpisodeError, match=r'bag.*cannot be read'):
        list(episodes_from_bag(bag, instruction=_SAID))


def test_a_picture_that_does_not_decode_is_named_when_it_is_read(tmp_path):
    messages = drive(5)
    topic, at, _ = messages[3]
    damaged = jpeg(0, START_NS + 10**8)
    damaged.data = damaged.data[:50]
    messages[3] = (topic, at, damaged)
    episode, = episodes_from_bag(write_bag(tmp_path / 'bag', messages), instruction=_SAID)
    with pytest.raises(EpisodeError, match=r'jpeg\[1\]'):
        episode.images[1]
