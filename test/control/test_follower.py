"""Chunks that come late: the same way at another speed, and the way back to it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.contracts import ActionChunk
from vla_nav.control.executor import ChunkExecutor
from vla_nav.control.follower import ChunkFollower, paced, towards
from vla_nav.control.limits import Velocity
from vla_nav.control.reckoning import Reckoning
from vla_nav.spaces import DIFFERENTIAL_2D, OMNI_2D, OMNI_3D, ActionSpace

STEP = 100_000_000
TICK = 20_000_000
RATES = st.floats(-0.5, 0.5)


def chunk(rows, stamp_ns=0):
    return ActionChunk(np.asarray(rows, np.float32), STEP, stamp_ns)


def way(rows, step_ns, space):
    """Return the poses at the ends of the rows."""
    pose, ends = Reckoning(), []
    for number, row in enumerate(rows):
        pose.send(Velocity(*space.to_twist(row)), number * step_ns)
        ends.append(pose.at((number + 1) * step_ns))
    return np.array(ends)


@given(st.lists(st.tuples(RATES, RATES, RATES), min_size=1, max_size=8), st.floats(0.05, 1.0))
def test_a_slower_chunk_leads_the_same_way(rows, cap):
    slow = paced(chunk(rows), OMNI_3D, cap)
    assert np.hypot(*slow.velocities[:, :2].T).max() <= cap + 1e-6
    assert slow.step_ns >= STEP and slow.stamp_ns == 0
    assert way(slow.velocities, slow.step_ns, OMNI_3D) == pytest.approx(
        way(rows, STEP, OMNI_3D), abs=1e-4)


def test_what_is_slow_enough_stays_as_it_is_and_a_cap_of_nothing_stands():
    rows = [[0.3, 0.0, 0.5]] * 4
    assert paced(chunk(rows), OMNI_3D, 0.31).step_ns == STEP
    assert not paced(chunk(rows), OMNI_3D, 0.0).velocities.any()


def follow(space, rows, moved):
    """Drive after a chunk, in whose first step the robot ``moved`` (x, y) instead.

    Returns how far it is from the way at the end of each row: metres and radians.
    """
    follower, robot = ChunkFollower(space, 10.0), Reckoning()
    meant, errors = way(rows, STEP, space), []
    follower.put(chunk(rows))
    velocity = Velocity(moved[0] * 10, moved[1] * 10)
    for now_ns in range(0, len(rows) * STEP, TICK):
        if now_ns and now_ns % STEP == 0:
            x, y, yaw = np.subtract(robot.at(now_ns), meant[now_ns // STEP - 1])
            errors.append((math.hypot(x, y), abs(math.remainder(yaw, math.tau))))
        if now_ns >= STEP:
            velocity = Velocity(*space.to_twist(follower.command(now_ns).velocity))
        follower.drove(velocity, now_ns)
        robot.send(velocity, now_ns)
    return np.array(errors)


@pytest.mark.parametrize(('space', 'row'), [
    (OMNI_3D, (0.3, 0.1, 0.4)), (OMNI_2D, (0.2, -0.2)), (DIFFERENTIAL_2D, (0.3, 0.3)),
    (DIFFERENTIAL_2D, (0.3, 0.0))])
@pytest.mark.parametrize('moved', [(0.1, 0.1), (-0.1, 0.0), (0.0, -0.12)])
def test_a_robot_beside_the_way_gets_back_to_it(space, row, moved):
    errors = follow(space, [row] * 50, moved)
    assert errors[0, 0] > 0.05 and errors[-1, 0] < 0.02
    assert errors[-1, 1] < 0.05


@given(RATES, RATES, RATES)
def test_without_an_error_the_velocity_is_as_asked_for(x, y, turn):
    asked = np.array([x, y, turn], np.float32)
    assert towards((0.0, 0.0, 0.0), asked, OMNI_3D) == pytest.approx(asked, abs=1e-6)


POSES = st.tuples(*[st.floats(-1.0, 1.0)] * 2, st.floats(-math.pi, math.pi))


@given(POSES, RATES, RATES, RATES, st.sampled_from([OMNI_3D, DIFFERENTIAL_2D]))
def test_a_stop_is_a_stop_and_nothing_leads_backwards_that_does_not_itself(error, x, y, turn,
                                                                         space):
    asked = np.array([x, y, turn] if space is OMNI_3D else [x, turn], np.float32)
    found = space.to_twist(towards(error, asked, space))
    assert found[0] >= min(x, 0.0) - 1e-6
    assert math.hypot(*found[:2]) <= 2 * math.hypot(*space.to_twist(asked)[:2]) + 1e-6
    assert not towards(error, np.zeros_like(asked), space).any()


def test_an_older_chunk_that_is_driven_slower_does_not_outlast_a_newer_stop():
    follower = ChunkFollower(OMNI_3D, 0.27)
    for now_ns in (0, 10 * STEP):
        follower.drove(Velocity(0.27), now_ns)
    follower.put(chunk([[0.6, 0.0, 0.0]] * 8, stamp_ns=10 * STEP))
    assert follower.reach_s == pytest.approx(0.8 * 0.6 / 0.27, rel=1e-3)
    follower.put(chunk(np.zeros((8, 3)), stamp_ns=15 * STEP))
    assert not follower.command(23 * STEP - TICK).velocity.round(2).any()
    assert follower.command(23 * STEP) is None


def test_limits_hold_and_one_that_may_not_reverse_waits_for_the_way():
    forward = ActionSpace(('linear_x', 'angular_z'), (0.0, -1.0), (0.5, 1.0))
    wanted = towards((-0.4, 0.0, 0.0), np.array([0.2, 0.3], np.float32), forward)
    assert wanted == pytest.approx([0.0, 0.3])
    assert towards((9, 9, 0), np.array([1, 1, 2]), OMNI_3D) == pytest.approx(OMNI_3D.high)


def test_without_news_of_what_was_driven_the_rows_are_played_as_they_are():
    plain, follower = ChunkExecutor(), ChunkFollower(OMNI_3D, 10.0)
    rows = np.linspace(0.1, 0.4, 8)[:, None] * np.ones(3)
    for executor in (plain, follower):
        executor.put(chunk(rows, stamp_ns=STEP))
    at = 4 * STEP
    assert follower.command(at).velocity == pytest.approx(plain.command(at).velocity)
    follower.drove(Velocity(), 3 * STEP)
    assert (follower.command(at).velocity > plain.command(at).velocity).any()
    late = 8 * STEP + 1  # of the clock: half a second after that news
    assert follower.command(late).velocity == pytest.approx(plain.command(late).velocity)
    assert follower.command(9 * STEP) is None


def test_a_clock_that_was_set_back_begins_anew():
    follower = ChunkFollower(OMNI_3D, 10.0)
    follower.drove(Velocity(0.5), 50 * STEP)
    follower.drove(Velocity(0.5), STEP)
    follower.put(chunk([[0.5, 0, 0]] * 8, stamp_ns=STEP))
    assert follower.command(3 * STEP).velocity == pytest.approx([0.5, 0, 0], abs=1e-5)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(ValueError, match='NaN'):
        ChunkFollower(OMNI_3D, 0.3).put(chunk([[math.nan, 0, 0]]))
