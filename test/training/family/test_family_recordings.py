"""What recordings become of: axes, stamps, parts; and what is refused."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
import recorded

from vla_nav.episodes.schema import EpisodeError
from vla_nav.episodes.store import EpisodeRef, write_episode
from vla_nav.training.family.material import gather, read_instructions, refuse_lint
from vla_nav.training.family.partition import partition, refuse_leakage
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.recordings import driven_axes, read_recordings
from vla_nav.training.family.statistics import action_statistics, check_limits


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return recorded.write(tmp_path_factory.mktemp('data') / 'day', 12)


@pytest.fixture(scope='module')
def recordings(folder):
    return read_recordings([folder], recorded.AXES)


def test_recordings_are_named_after_folder_and_file(recordings):
    assert recordings[0].name == 'day/drive_001.h5' and len(recordings) == 12
    assert recordings[0].actions.shape == (13, 2) and recordings[0].date == '1970-01-01'


def test_axes_are_put_in_the_policys_order(folder):
    turned = read_recordings([folder], recorded.AXES[::-1])[0]
    straight = read_recordings([folder], recorded.AXES)[0]
    assert (turned.actions == straight.actions[:, ::-1]).all()


def test_a_missing_axis_names_the_recording_and_the_setting():
    with pytest.raises(TrainingError, match=r'there: .*linear_y.*action\.limits'):
        driven_axes(recorded.drive(1), ('linear_x', 'linear_y'), 'there')


def test_an_axis_that_was_driven_must_not_be_left_out():
    with pytest.raises(TrainingError, match=r'angular_z was driven.*action\.limits'):
        driven_axes(recorded.drive(1), ('linear_x',), 'there')
    still = recorded.drive(1)
    still.actions[:, 1] = 0
    actions, present = driven_axes(still, ('linear_x',), 'there')
    assert actions.shape == (12, 1) and present.tolist() == [True]


def test_an_axis_that_the_robot_lacks_is_zero_and_not_present():
    drive = recorded.drive(1)
    actions, present = driven_axes(drive, ('linear_y', 'angular_z', 'linear_x'), 'there')
    assert present.tolist() == [False, True, True] and not actions[:, 0].any()
    np.testing.assert_array_equal(actions[:, 1:], drive.actions[:, ::-1])
    with pytest.raises(TrainingError, match=r"drives only \['linear_y'\].*action\.limits"):
        driven_axes(drive, ('linear_y',), 'there')


def test_no_stamps_need_a_rate(tmp_path):
    with h5py.File(tmp_path / 'episode_1_2_1box_hori_left_core_close.h5', 'w') as file:
        file['images'] = np.zeros((4, 8, 8, 3), np.uint8)
        file['actions'] = np.zeros((4, 3), np.float32)
    axes = ('linear_x', 'linear_y', 'angular_z')
    with pytest.raises(TrainingError, match=r'train\.rate_hz'):
        read_recordings([tmp_path], axes)
    assert np.diff(read_recordings([tmp_path], axes, 10.0)[0].stamps_ns).tolist() == [10**8] * 3


def test_nothing_to_learn_from_is_said(tmp_path):
    with pytest.raises(TrainingError, match='no episodes'):
        read_recordings([tmp_path], recorded.AXES)


def test_the_same_folder_twice_is_refused(folder):
    with pytest.raises(TrainingError, match='both called'):
        read_recordings([folder, folder], recorded.AXES)


@pytest.mark.parametrize('spoil', ['nan', 'truncate'])
def test_damage_is_found_by_the_linter_with_a_remedy(tmp_path, spoil):
    recorded.write(tmp_path, 3)
    path = tmp_path / 'drive_002.h5'
    if spoil == 'nan':
        with h5py.File(path, 'r+') as file:
            file['actions'][3, 1] = np.nan
    else:
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TrainingError, match=r'drive_002\.h5(.|\n)*-> record it again'):
        refuse_lint([tmp_path], lambda line: None)
    with pytest.raises(EpisodeError, match=r'drive_002\.h5'):
        read_recordings([tmp_path], recorded.AXES)


def test_parts_hold_whole_drives_of_every_scenario(recordings):
    parts = partition(recordings, 'scenario', 0.2, 0.2, seed=3)
    names = [[r.name for r in part] for part in parts]
    assert sorted(name for part in names for name in part) == [r.name for r in recordings]
    assert all({r.scenario for r in part} == {'cell_left', 'cell_right'} for part in parts)
    again = partition(recordings[::-1], 'scenario', 0.2, 0.2, seed=3)
    assert names == [sorted(r.name for r in part) for part in again]


def test_one_drive_under_two_texts_stays_together(recordings):
    twins = [replace(r, name=f'{r.name}:other', driven=r.driven[::-1], scenario='cell_other')
             for r in recordings]
    parts = partition([*recordings, *twins], 'scenario', 0.2, 0.2)
    for part in parts:
        assert {r.name for r in part} == {
            name for r in part for name in (r.name.removesuffix(':other'),
                                            r.name.removesuffix(':other') + ':other')}


def test_sessions_stay_whole(recordings):
    sessions = [replace(r, session=f's{i // 3}') for i, r in enumerate(recordings)]
    parts = partition(sessions, 'session', 0.25, 0.25)
    assert [len({r.session for r in part}) for part in parts] == [2, 1, 1]
    with pytest.raises(TrainingError, match='1 sessions are too few'):
        partition(recordings, 'session', 0.25, 0.25)


def test_days_stay_whole_whatever_the_folder(tmp_path):
    midnight = 1_700_006_400 * 10**9  # 2023-11-15 00:00 UTC
    for seed in range(1, 13):
        # Three drives a day, in two folders; the last of a day ends after the next midnight.
        day, number = divmod(seed - 1, 3)
        begin = midnight + (day + 1) * 86_400 * 10**9 - (3 - number) * 10**9
        drive = recorded.drive(seed, side='left' if seed % 2 else 'right')
        moved = drive.stamps_ns - drive.stamps_ns[0] + begin
        folder = tmp_path / f'robot{seed % 2}'
        folder.mkdir(exist_ok=True)
        write_episode(EpisodeRef(folder / f'drive_{seed:03d}.h5'),
                      replace(drive, stamps_ns=moved))
    config = recorded.config(train__split_by='date', train__validation_share=0.25,
                             train__test_share=0.25)
    parts = gather(config, [tmp_path], recorded.Reader()).parts
    days = [sorted({r.date for r in part}) for part in parts]
    assert [len(part) for part in parts] == [6, 3, 3]
    assert sorted(day for part in days for day in part) == [
        f'2023-11-{day}' for day in (15, 16, 17, 18)]
    assert all({r.session.split('/')[-1] for r in part} == {'robot0', 'robot1'} for part in parts)
    with pytest.raises(TrainingError, match='1 dates are too few'):
        partition(parts.validation, 'date', 0.25, 0.25)


def test_the_same_actions_in_two_parts_are_leakage(recordings):
    parts = partition(recordings, 'scenario', 0.2, 0.2)
    copy = replace(parts.train[0], name='copy', pictures='other')
    with pytest.raises(TrainingError, match=r'copy \(test\).*same actions'):
        refuse_leakage(parts._replace(test=[*parts.test, copy]))


def test_texts_that_the_robot_would_refuse_are_refused(recordings):
    spoiled = [replace(recordings[0], instruction='follow the track'), *recordings[1:]]
    with pytest.raises(TrainingError, match=r'1 recordings (.|\n)*follow the track'):
        read_instructions(spoiled, recorded.Reader())


def test_statistics_see_the_training_part_alone(folder):
    config = recorded.config()
    material = gather(config, [folder], recorded.Reader())
    train = np.concatenate([r.actions for r in material.parts.train])
    assert material.statistics['frames'] == len(train)
    np.testing.assert_allclose(material.statistics['mean'], train.mean(0), atol=1e-4)
    longest = max(len(r) for r in material.parts.train)
    assert len(material.statistics['by_step']) == longest
    # The others' actions changed: nothing about the statistics does.
    others = [*material.parts.validation, *material.parts.test]
    for recording in others:
        recording.actions[:] = 0.05
    assert action_statistics(material.parts.train, config.action.space,
                             config.step_ns) == material.statistics


def test_a_clock_knows_that_a_finished_drive_stands_still(recordings):
    short = replace(recordings[0], actions=recordings[0].actions[:2],
                    stamps_ns=recordings[0].stamps_ns[:2])
    space = recorded.config().action.space
    table = action_statistics([short, recordings[1]], space, recorded.STEP_NS)['by_step']
    np.testing.assert_allclose(table[5], recordings[1].actions[5] / 2, atol=1e-4)


def test_labels_in_other_units_are_refused(recordings):
    space = recorded.config(action={'limits': {'linear_x': 0.05, 'angular_z': 1.5},
                                    'chunk': 3}).action.space
    with pytest.raises(TrainingError, match=r'linear_x: 100% .*action\.limits\.linear_x=0\.40'):
        check_limits(recordings, space)


def test_an_empty_text_is_a_lint_error(tmp_path):
    recorded.write(tmp_path, 3)
    write_episode(EpisodeRef(tmp_path / 'blank.h5'), replace(recorded.drive(9), instruction=' '))
    with pytest.raises(TrainingError, match=r'blank\.h5: instruction: is empty'):
        refuse_lint([tmp_path], lambda line: None)
