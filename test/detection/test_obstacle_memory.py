"""What stands where the camera no longer looks is remembered, moved along, and forgotten."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_nav.control.reckoning import into
from vla_nav.detection.ground import Ground, GroundPoints, mount_pose
from vla_nav.detection.lens import Lens
from vla_nav.detection.obstacle_memory import ObstacleMemory

# Sees the ground from about 0.6 m on, 45 degrees to each side.
_LENS = Lens(192, 256, np.array([[128.0, 0, 128], [0, 128, 96], [0, 0, 1]]))
_GROUND = Ground(_LENS, mount_pose(0, 0, 0.6, 0, 0.15, 0))
_STEP_NS = 100_000_000
_NONE = GroundPoints(np.empty((0, 2)), np.empty(0, np.int64), np.empty(0, bool))


def _points(points, cut=False):
    flat = np.asarray(points, np.float64).reshape(-1, 2)
    return GroundPoints(flat, np.arange(len(flat)), np.full(len(flat), cut))


def _sees(world, pose):
    """Return what an ideal detector sees of points of the world."""
    here = into(np.asarray(world, np.float64).reshape(-1, 2), pose)
    return _points(here[_GROUND.shows(here)])


def _known(memory, points, times=2, cut=False):
    """Let a memory see points until it remembers them, the last time at stamp 0."""
    for step in range(1 - times, 1):
        memory.update(_points(points, cut), _GROUND, (0, 0, 0), step * _STEP_NS)


_MOVE = st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(-0.3, 0.3))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(-2, 4), st.floats(-2, 2)), min_size=1, max_size=6),
       st.lists(_MOVE, min_size=1, max_size=25))
def test_in_a_still_world_every_point_is_where_something_stands(world, moves):
    memory, pose, seen = ObstacleMemory(keep_s=10), (0.0, 0.0, 0.0), np.zeros(len(world), bool)
    for step, (dx, dy, turn) in enumerate([(0.0, 0.0, 0.0), *moves]):
        pose = (pose[0] + dx, pose[1] + dy, pose[2] + turn)
        here = into(np.array(world), pose)
        seen |= _GROUND.shows(here)
        for half in (0, 1):  # what is seen only once is not remembered
            points = memory.update(_sees(world, pose), _GROUND, pose,
                                   (2 * step + half) * _STEP_NS // 2)
        apart = np.linalg.norm(points[:, None] - here[None], axis=-1)
        assert len(points) == 0 or apart.min(axis=1).max() < 1e-9
        # Nothing that was ever seen is lost, but for another point that stands for it.
        limits = 0.15 + 0.05 * np.linalg.norm(here, axis=1)
        if len(points):
            assert (apart.min(axis=0)[seen] <= 3 * limits[seen]).all()
        else:
            assert not seen.any()


@settings(max_examples=40, deadline=None)
@given(st.floats(0.2, 5), st.lists(st.integers(1, 8), min_size=1, max_size=30))
def test_nothing_out_of_sight_is_kept_longer_than_said(keep_s, gaps):
    memory, stamp = ObstacleMemory(keep_s=keep_s), 0
    _known(memory, [[0.8, 0.0]])
    for gap in gaps:
        stamp += gap * _STEP_NS
        points = memory.update(_NONE, _GROUND, (0.5, 0.0, 0.0), stamp)
        # Driven 0.5 m on, it is at 0.3 m, below the picture.
        expected = [[0.3, 0.0]] if stamp <= round(keep_s * 1e9) else np.empty((0, 2))
        np.testing.assert_allclose(points, expected, atol=1e-12)


@pytest.mark.parametrize('forget_after', [1, 3])
def test_what_is_in_the_picture_and_not_detected_is_forgotten_after_some_pictures(forget_after):
    memory = ObstacleMemory(forget_after=forget_after)
    _known(memory, [[1.5, 0.2]], times=3)
    left = [len(memory.update(_NONE, _GROUND, (0, 0, 0), i * _STEP_NS)) for i in range(1, 5)]
    assert left == [1 if i < forget_after else 0 for i in range(1, 5)]


def test_one_picture_without_it_does_not_count_towards_the_next_time():
    memory = ObstacleMemory(forget_after=2)
    for step in range(10):
        seen = _NONE if step > 1 and step % 2 else _points([[1.5, 0.2]])
        assert len(memory.update(seen, _GROUND, (0, 0, 0), step * _STEP_NS)) == 1


def test_what_is_remembered_is_forgotten_when_it_comes_back_into_the_picture_and_is_gone():
    memory = ObstacleMemory(forget_after=2)
    _known(memory, [[0.8, 0.0]])
    assert len(memory.update(_NONE, _GROUND, (0.5, 0, 0), _STEP_NS)) == 1
    for step, left in ((2, 1), (3, 0)):  # backed off again
        assert len(memory.update(_NONE, _GROUND, (-0.5, 0, 0), step * _STEP_NS)) == left


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0.5, 4), st.floats(-1, 1)), max_size=20), st.integers(1, 10))
def test_the_same_picture_again_adds_nothing(points, times):
    memory = ObstacleMemory()
    for step in range(times):
        found = memory.update(_points(points), _GROUND, (0, 0, 0), step * _STEP_NS)
    flat = np.reshape(points, (-1, 2))
    apart = np.linalg.norm(found[:, None] - flat[None], axis=-1)
    assert len(found) <= len(flat) and (apart.min(axis=1, initial=np.inf) < 1e-9).all()
    # Of two that are the same, the nearer stands for both.
    assert (apart.min(axis=0, initial=np.inf) <= 0.15 + 0.05 * np.linalg.norm(flat, axis=1)).all()


def test_what_is_seen_again_is_where_it_is_seen_now():
    memory = ObstacleMemory()
    memory.update(_points([[2.0, 0.0]]), _GROUND, (0, 0, 0), 0)
    found = memory.update(_points([[2.1, 0.05]]), _GROUND, (0, 0, 0), _STEP_NS)
    np.testing.assert_allclose(found, [[2.1, 0.05]])


def test_a_foot_below_the_picture_is_kept_while_its_cut_box_is_seen():
    memory, pose = ObstacleMemory(keep_s=1.0), (0.5, 0.0, 0.0)
    _known(memory, [[0.8, 0.0]])
    for step in range(1, 40):  # 4 seconds, longer than anything is kept unseen
        found = memory.update(_points([[0.65, 0.05]], cut=True), _GROUND, pose, step * _STEP_NS)
        np.testing.assert_allclose(found, [[0.3, 0.0]], atol=1e-12)
    # One that stands elsewhere renews nothing.
    for step in range(40, 55):
        found = memory.update(_points([[0.65, 0.5]], cut=True), _GROUND, pose, step * _STEP_NS)
    assert [0.3, 0.0] not in np.round(found, 6).tolist()


def test_a_cut_box_does_not_push_away_what_is_known_to_be_nearer():
    memory = ObstacleMemory()
    _known(memory, [[0.7, 0.0]])
    found = memory.update(_points([[0.62, 0.0]], cut=True), _GROUND, (0.2, 0, 0), _STEP_NS)
    np.testing.assert_allclose(found, [[0.5, 0.0]], atol=1e-12)


def test_a_wide_cut_box_gives_way_as_a_whole_to_the_foot_that_is_known():
    memory = ObstacleMemory()
    _known(memory, [[0.8, -0.1]])
    edge = np.column_stack((np.full(7, 0.6), np.linspace(-0.4, 0.4, 7)))
    box = GroundPoints(edge, np.zeros(7, np.int64), np.ones(7, bool))
    found = memory.update(box, _GROUND, (0.3, 0, 0), _STEP_NS)
    np.testing.assert_allclose(found, [[0.5, -0.1]], atol=1e-12)


def test_what_is_near_does_not_go_away_with_its_box():
    memory = ObstacleMemory()
    _known(memory, [[1.0, 0.0]])
    for step in range(1, 4):
        found = memory.update(_points([[0.95, 0.01]]), _GROUND, (0.05 * step, 0, 0),
                              step * _STEP_NS)
        np.testing.assert_allclose(found, [[1.0 - 0.05 * step, 0.0]], atol=1e-12)


def test_a_detector_that_fails_close_to_a_thing_does_not_make_it_go():
    for times, others, kept in ((10, [], 9), (3, [], 2), (10, [[0.9, 0.35]], 2)):
        memory = ObstacleMemory(keep_s=10)
        _known(memory, [[0.9, 0.0]], times)
        # With its box still there, but no longer in this column, it is another matter.
        for step in range(1, 15):
            found = memory.update(_points(others), _GROUND, (0, 0, 0), step * _STEP_NS)
            assert ([0.9, 0.0] in found.tolist()) == (step <= kept)


@pytest.mark.parametrize(('cut', 'times', 'kept'), [
    (False, 1, False), (False, 2, True), (True, 4, False), (True, 5, True)])
def test_what_was_seen_too_rarely_is_not_remembered(cut, times, kept):
    memory = ObstacleMemory()
    _known(memory, [[0.7, 0.0]], times, cut)
    assert bool(len(memory.update(_NONE, _GROUND, (0.3, 0, 0), _STEP_NS))) == kept


@pytest.mark.parametrize('pose, stamp_ns', [
    ((30.0, 0.0, 0.0), _STEP_NS), ((0.0, 2.0, 0.0), _STEP_NS), ((0.0, 0.0, 0.0), -_STEP_NS)])
def test_all_is_forgotten_where_odometry_or_time_begins_anew(pose, stamp_ns):
    memory = ObstacleMemory()
    memory.update(_points([[0.3, 0.0]]), _GROUND, (0, 0, 0), 0)
    assert len(memory.update(_NONE, _GROUND, pose, stamp_ns)) == 0


def test_a_turn_on_the_spot_keeps_what_was_ahead_beside_the_robot():
    memory, step = ObstacleMemory(), 0
    memory.update(_points([[0.8, 0.0]]), _GROUND, (0, 0, 0), 0)
    for step in range(1, 16):
        found = memory.update(_NONE if step > 6 else _sees([[0.8, 0.0]], (0, 0, step * 0.1)),
                              _GROUND, (0, 0, step * 0.1), step * _STEP_NS)
    np.testing.assert_allclose(found, [[0.8 * math.cos(1.5), -0.8 * math.sin(1.5)]], atol=1e-9)
