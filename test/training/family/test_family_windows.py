"""Windows over time: what a camera of any rate, with gaps, becomes."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import recorded
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.episodes.timing import nearest
from vla_nav.training.family.pictures import Pictures
from vla_nav.training.family.recordings import read_recordings
from vla_nav.training.family.windows import Shape, Track

STEP = recorded.STEP_NS


@pytest.fixture(scope='module')
def recording(tmp_path_factory):
    folder = recorded.write(tmp_path_factory.mktemp('data'), 1, frames=20)
    return read_recordings([folder], recorded.AXES)[0]


def stamped(recording, stamps):
    count = len(stamps)
    return replace(recording, stamps_ns=np.asarray(stamps, np.int64),
                   actions=np.resize(recording.actions, (count, 2)))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.lists(st.integers(-9, 900)))
def test_nearest_is_the_nearest(gaps, wanted):
    stamps = np.cumsum(gaps)
    rows, near = nearest(stamps, np.array(wanted, np.int64), 10)
    for time, row, ok in zip(wanted, rows, near):
        distances = np.abs(stamps - time)
        assert distances[row] == distances.min() and ok == (distances.min() <= 10)


@pytest.mark.parametrize('rate_hz', [5, 10, 30, 60])
def test_a_window_spans_the_same_time_at_any_rate(recording, rate_hz):
    gap = 10**9 // rate_hz
    track = Track.of(stamped(recording, np.arange(6 * rate_hz) * gap), Shape(8, 4, STEP))
    pictures, there = track.window(rate_hz)
    assert there.all()
    times = track.stamps_ns[pictures] - track.stamps_ns[rate_hz]
    assert np.abs(times - STEP * np.arange(8)).max() <= max(gap, STEP) / 2


def test_labels_are_the_actions_due_at_that_time(recording):
    track = Track.of(stamped(recording, np.arange(60) * (STEP // 3)), Shape(8, 4, STEP))
    assert (track.rows[10] == [10, 13, 16, 19]).all() and track.due[10].all()
    assert track.due[-1].tolist() == [True, False, False, False]
    assert track.due[-4].tolist() == [True, True, False, False]


def test_a_window_ends_at_the_end_and_at_a_gap(recording):
    stamps = np.delete(np.arange(20) * STEP, [8, 9, 10])
    track = Track.of(stamped(recording, stamps), Shape(6, 3, STEP))
    pictures, there = track.window(5)  # 0.5, 0.6, 0.7 s, then nothing until 1.1 s
    assert there.tolist() == [True] * 3 + [False] * 3
    assert (pictures[3:] == pictures[2]).all()
    assert track.due[6].tolist() == [True, True, False]
    assert track.window(len(stamps) - 1)[1].tolist() == [True] + [False] * 5


def test_a_camera_that_jitters_keeps_every_label(recording):
    rng = np.random.default_rng(0)
    stamps = np.arange(50) * STEP + rng.integers(-STEP // 10, STEP // 10, 50)
    track = Track.of(stamped(recording, stamps), Shape(8, 4, STEP))
    assert track.due[:-3].all()
    assert (track.rows[20] == np.arange(20, 24)).all()


@given(st.integers(1, 12), st.floats(0, 0.999))
def test_starts_cover_a_recording_whatever_the_shift(stride, shift):
    recording = recorded_track()
    starts, unmoved = recording.starts(stride, shift), recording.starts(stride, 0.0)
    assert starts[0] == 0 and len(starts) == len(unmoved) and starts.max() < 40
    assert np.diff(starts).min(initial=0) >= 0


def recorded_track():
    stamps = np.arange(40, dtype=np.int64) * STEP
    rows = np.zeros((40, 1), np.int64)
    return Track(stamps, rows, rows == 0, Shape(4, 1, STEP), STEP / 2)


def test_segments_follow_on_each_other(recording):
    track = Track.of(stamped(recording, np.arange(21) * STEP), Shape(8, 4, STEP))
    segments = track.segments()
    pictures = np.concatenate([rows[there] for rows, there in segments])
    assert (pictures == np.arange(21)).all() and {len(rows) for rows, _ in segments} == {8}


def test_pictures_survive_pickling_while_files_are_open(recording):
    pictures = Pictures([recording], 32, 32)
    there = pictures.window(0, np.array([3, 3, 5]))
    again = pickle.loads(pickle.dumps(pictures))  # as a reading process gets them
    assert (again.window(0, np.array([3, 3, 5])) == there).all()


def test_light_is_one_for_a_window(recording):
    pictures = Pictures([recording], 32, 32, augment=1.0)
    rows = np.array([2, 2, 2])
    lit = pictures.window(0, rows, np.random.default_rng(1))
    assert (lit[0] == lit[1]).all() and (lit[0] == lit[2]).all()
    assert not (lit[0] == pictures.window(0, rows)[0]).all()
