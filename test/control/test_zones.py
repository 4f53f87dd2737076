"""Zones: where obstacles slow a robot down and stop it, and where they leave it alone."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_nav.control.guard import Guard, GuardSettings, Limit, Reason
from vla_nav.control.limits import ZERO, Velocity
from vla_nav.control.reckoning import Reckoning, arc, into, out_of
from vla_nav.control.zones import (
    ZoneSettings,
    allowed_speed,
    stopping_m,
    swept,
    way_ahead,
    zone_lengths,
)

MS, S = 1_000_000, 1_000_000_000
STEP = 20 * MS
RADIUS = ZoneSettings().robot_radius
AHEAD = Velocity(0.5)
axis = st.floats(-0.6, 0.6)
velocities = st.builds(Velocity, axis, axis, st.floats(-1.2, 1.2))


class Course:
    """A guard on a base that obeys late, among points that a detector sees ten times a second."""

    def __init__(self, points, *, base_delay=5, dropped=(), **changes):
        self.guard = Guard(GuardSettings(**changes))
        self.points = np.reshape(points, (-1, 2)).astype(float)  # in the world
        self.dropped = dropped
        self.pose, self.steady = (0.0, 0.0, 0.0), S
        self.sent = [ZERO] * base_delay  # each lasts 20 ms
        self.nearest = math.inf
        self.pictures = 0
        self.decision = self.guard.decide(self.steady)

    def look(self, seen=None):
        if self.pictures not in self.dropped:
            here = into(self.points if seen is None else np.reshape(seen, (-1, 2)), self.pose)
            self.guard.take_obstacles(here, self.steady, self.steady, self.steady)
        self.pictures += 1

    def drive(self, velocity, seconds, look=True):
        """Drive on; return the decisions."""
        decisions = []
        for step in range(round(seconds * S / STEP)):
            if look and step % 5 == 0:
                self.look()
            self.guard.see_camera(self.steady)
            self.guard.take_policy(velocity, self.steady, self.steady, self.steady)
            self.decision = self.guard.decide(self.steady)
            decisions.append(self.decision)
            self.sent.append(self.decision.velocity)
            self._move(self.sent.pop(0))
        return decisions

    def _move(self, velocity):
        way = arc(velocity, np.array([STEP * 1e-9]))
        (x, y), = out_of(way, self.pose)
        self.pose = x, y, self.pose[2] + velocity.angular_z * STEP * 1e-9
        self.steady += STEP
        if len(self.points):
            self.nearest = min(self.nearest,
                               np.hypot(*(self.points - self.pose[:2]).T).min())


@settings(max_examples=25, deadline=None)
@given(st.floats(0.45, 1.2), st.floats(-0.09, 0.09), st.floats(0.05, 0.6),
       st.sets(st.integers(2, 30), max_size=3))
def test_a_point_straight_ahead_is_never_touched(distance, aside, speed, dropped):
    course = Course([distance, aside], dropped=dropped)
    course.drive(Velocity(speed), distance / speed + 1.5)
    assert course.nearest > RADIUS
    assert course.decision.velocity == ZERO and course.decision.reason is Reason.OBSTACLE
    assert course.nearest < 0.25 + 0.05  # and no further away than it must be


@pytest.mark.parametrize(('speed', 'period'), [(1.7, 5), (0.9, 10), (2.0, 5)])
def test_whoever_walks_at_the_robot_is_not_debounced_away(speed, period):
    """``speed`` in m/s, seen every ``period`` steps."""
    course = Course([])
    for step in range(100):
        if step % period == 0:
            course.points = np.array([[2.5 - speed * step * 0.02, 0.0]])
            course.look()
        course.drive(AHEAD, 0.02, look=False)
        if course.decision.reason is Reason.OBSTACLE:
            break
    assert course.decision.velocity == ZERO and course.decision.reason is Reason.OBSTACLE


@pytest.mark.parametrize(('aside', 'rim', 'passes'), [
    (0.15, 0.1, True), (-0.15, 0.1, True), (0.08, 0.1, False), (0.15, 0.0, False),
    (0.08, 5.0, False)])
def test_what_only_the_rim_would_touch_slows_it_down(aside, rim, passes):
    course = Course([0.9, aside], obstacle_rim=rim)
    decisions = course.drive(AHEAD, 6.0)
    assert 'policy, slow_for_obstacle' in {one.why for one in decisions}
    assert (course.pose[0] > 1.2) == passes
    slowest = min(one.velocity.linear_x for one in decisions[30:])
    assert slowest == pytest.approx(ZoneSettings().passing_speed if passes else 0.0)


@settings(max_examples=25, deadline=None)
@given(velocities, st.floats(0.5, 1.0), st.floats(0.0, 1.0))
def test_on_a_curve_no_point_of_it_is_touched(velocity, distance, share):
    if velocity.speed < 0.05:
        return
    spot = swept(velocity, distance)[-1]
    if np.hypot(*spot) < RADIUS + 0.15:
        return
    course = Course(spot + share * np.array([0.1, -0.1]))
    course.drive(velocity, 4.0)
    assert course.nearest > RADIUS - 1e-3


@settings(max_examples=50, deadline=None)
@given(velocities, st.lists(st.tuples(axis, axis), max_size=5))
def test_the_curve_is_kept(velocity, points):
    course = Course(points, max_acceleration=(500, 500, 500))
    for decision in course.drive(velocity, 0.3):
        got = decision.velocity
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert math.isclose(got[a] * velocity[b], got[b] * velocity[a], abs_tol=1e-9)
        assert all(g * v >= 0 and abs(g) <= abs(v) + 1e-9 for g, v in zip(got, velocity))


@pytest.mark.parametrize('points', [[], [[0.6, 0.21]], [[-0.4, 0.0]], [[0.0, 0.3], [0.0, -0.3]]])
def test_what_is_not_in_the_way_changes_nothing(points):
    alone, among = Course([], obstacle_timeout=9.0), Course(points)
    expected = alone.drive(AHEAD, 0.8, look=False)
    assert among.drive(AHEAD, 0.8) == expected


def test_it_slows_down_first_and_says_so():
    course = Course([0.8, 0.0])
    whys = list(dict.fromkeys(one.why for one in course.drive(AHEAD, 3.0)))
    assert whys == ['policy', 'policy, slow_for_obstacle', 'obstacle']
    assert Reason.OBSTACLE.is_stop
    speeds = [one.velocity.linear_x for one in course.drive(AHEAD, 0.2)]
    assert set(speeds) == {0.0}


def test_at_rest_it_stops_within_a_quarter_of_a_metre_and_lets_a_goal_be_reached():
    assert RADIUS + zone_lengths(ZERO, GuardSettings().max_acceleration, ZoneSettings())[0] <= 0.25
    # A cup of 0.1 m, 0.45 m away: within the success radius, and not in the way of resting there.
    course = Course([0.35, 0.0])
    course.drive(Velocity(0.2), 3.0)
    assert 0.45 - course.pose[0] < 0.5 and course.pose[0] > 0.05


def test_zones_grow_with_the_speed():
    limits = GuardSettings().max_acceleration
    lengths = [zone_lengths(Velocity(speed), limits, ZoneSettings()) for speed in (0, 0.3, 0.6)]
    assert lengths[0] == (0.05, 0.05)
    assert all(stop < slow for stop, slow in lengths[1:]) and lengths == sorted(lengths)


@pytest.mark.parametrize('away', [
    Velocity(-0.3), Velocity(0.0, 0.3), Velocity(0.0, 0.0, 1.0), Velocity(-0.2, 0.1, 0.5)])
def test_before_an_obstacle_it_may_turn_and_leave(away):
    course = Course([0.6, 0.0])
    course.drive(AHEAD, 2.5)
    assert course.decision.reason is Reason.OBSTACLE
    decisions = course.drive(away, 0.3)
    assert decisions[0].reason is Reason.POLICY
    assert decisions[-1].velocity == pytest.approx(away)


def test_even_a_point_within_the_footprint_can_be_left():
    course = Course([0.1, 0.0])
    assert course.drive(AHEAD, 0.3)[-1].velocity == ZERO
    assert course.drive(Velocity(-0.3), 0.3)[-1].velocity == pytest.approx((-0.3, 0.0, 0.0))


def test_what_appears_within_the_braking_way_stops_the_robot_at_once():
    course = Course([], obstacle_hits=1)
    course.drive(AHEAD, 0.5)
    course.points = np.array([[course.pose[0] + 0.28, 0.0]])
    decision = course.drive(AHEAD, 0.02)[0]
    assert decision.velocity == ZERO and decision.reason is Reason.OBSTACLE


def test_one_false_box_stops_nobody():
    course = Course([])
    course.drive(AHEAD, 0.5)
    course.look(np.add(course.pose[:2], [0.3, 0.0]))
    assert all(one.velocity == AHEAD for one in course.drive(AHEAD, 0.5))


def test_a_stop_does_not_flicker_where_the_detector_does():
    course = Course([0.6, 0.0])
    course.drive(AHEAD, 2.5)
    for frame in range(20):
        course.look([] if frame % 3 else course.points + 0.01 * (-1) ** frame)
        assert {one.reason for one in course.drive(AHEAD, 0.1, look=False)} == {Reason.OBSTACLE}


def test_it_goes_on_when_the_way_has_been_free_for_a_while():
    course = Course([0.6, 0.0], obstacle_hold=0.5)
    course.drive(AHEAD, 2.5)
    course.points = np.empty((0, 2))
    decisions = course.drive(AHEAD, 1.0)
    stood = [one.reason is Reason.OBSTACLE for one in decisions]
    assert all(stood[:20]) and not any(stood[-20:]) and stood == sorted(stood, reverse=True)
    assert decisions[-1].velocity == AHEAD


def test_pictures_are_old_and_the_robot_has_moved_on():
    late, prompt = Course([2.0, 0.0]), Course([2.0, 0.0])
    for course, age in ((late, 200 * MS), (prompt, 0)):
        course.drive(AHEAD, 1.0, look=False)
        for _ in range(3):
            course.drive(AHEAD, 0.1, look=False)
            seen_from = course.guard._zones._reckoning.at(course.steady - age)
            points = into(course.points, seen_from)
            course.guard.take_obstacles(points, course.steady - age, course.steady, course.steady)
    both = [course.guard.obstacles(course.steady) for course in (late, prompt)]
    assert both[0] == pytest.approx(both[1], abs=1e-6)


@pytest.mark.parametrize('age', [-S, 600 * MS])
def test_without_fresh_obstacles_it_stands_or_goes_on_as_told(age):
    for required in (True, False):
        course = Course([0.5, 0.0], obstacles_required=required)
        course.guard.take_obstacles([], course.steady - age, course.steady, course.steady)
        decision = course.drive(AHEAD, 0.4, look=False)[-1]
        if required:
            assert decision.reason is Reason.OBSTACLES_LOST and decision.velocity == ZERO
        else:
            assert decision.reason is Reason.POLICY and decision.velocity == AHEAD
    course = Course([], obstacles_required=True)
    course.drive(AHEAD, 0.4)
    assert course.decision.reason is Reason.POLICY  # an empty answer is an answer
    course.drive(AHEAD, 0.7, look=False)
    assert course.decision.reason is Reason.OBSTACLES_LOST


def test_a_person_at_the_controls_needs_no_detector_but_hits_nothing_either():
    guard = Guard(GuardSettings(obstacles_required=True))
    steady = S
    for step in range(60):
        steady = S + step * STEP
        if step >= 30:
            guard.take_obstacles([[0.24, 0.0]], steady, steady, steady)
        guard.take_teleop(AHEAD, steady)
        decision = guard.decide(steady)
        if step == 29:
            assert decision.velocity == AHEAD
    assert decision.reason is Reason.OBSTACLE
    guard.take_teleop(Velocity(-0.2), steady)
    assert guard.decide(steady).reason is Reason.TELEOP


def test_numbers_that_are_none_are_no_points():
    course = Course([], obstacle_hits=1)
    points = [[math.nan, 0.3], [0.3, math.inf], [1e300, 0.0], [0.24, 0.0]]
    course.guard.take_obstacles(points, course.steady, course.steady, course.steady)
    assert course.guard.obstacles(course.steady) == pytest.approx(np.array([[0.24, 0.0]]))


def test_of_a_thousand_points_the_nearest_count():
    course = Course([], obstacle_hits=1)
    x, y = np.meshgrid(np.linspace(0.3, 5.0, 100), np.linspace(-2.0, 2.0, 80))
    course.look(np.stack([x, y], -1))
    kept = course.guard.obstacles(course.steady)
    assert len(kept) <= 300 and np.hypot(*kept.T).min() == pytest.approx(0.3, abs=0.05)


@given(st.floats(0.0, 5.0), st.floats(0.1, 5.0), st.floats(0.0, 1.0))
def test_the_allowed_speed_just_stops_in_time(way, brake, latency):
    assert stopping_m(allowed_speed(way, brake, latency), brake, latency) == pytest.approx(
        way, abs=1e-9)


@given(velocities, st.floats(0.3, 2.0))
def test_a_way_is_never_said_to_be_longer_than_it_is(velocity, distance):
    point = np.array([[distance, 0.1]])
    way = way_ahead(point, velocity, RADIUS, 1.0)
    free = swept(velocity, min(way, 1.0))
    assert velocity.speed == 0 or np.hypot(*(free - point).T).min() > RADIUS - 1e-3


@given(velocities, velocities)
def test_reckoning_is_the_same_in_one_step_and_in_many(first, second):
    whole, fine = Reckoning(), Reckoning()
    for number, velocity in enumerate((first, second)):
        whole.send(velocity, number * S)
        for part in range(10):
            fine.send(velocity, number * S + part * S // 10)
    assert whole.at(2 * S) == pytest.approx(fine.at(2 * S), abs=1e-9)
    assert fine.at(S) == pytest.approx(whole.at(S), abs=1e-9)
    there = np.array([[1.0, 2.0]])
    assert out_of(into(there, whole.at(2 * S)), whole.at(2 * S)) == pytest.approx(there)


def test_limits_that_make_no_sense_are_refused_by_name():
    with pytest.raises(ValueError, match='robot_radius'):
        GuardSettings(robot_radius=0.0)
    assert Limit.OBSTACLE.value == 'slow_for_obstacle'
