import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_nav.control.guard import Guard, GuardSettings, Limit, Reason
from vla_nav.control.limits import ZERO, Velocity

MS = 1_000_000
S = 1_000_000_000
axis = st.floats(-3, 3)
velocities = st.builds(Velocity, axis, axis, axis)


def make(**changes):
    return Guard(GuardSettings(**changes))


AHEAD = Velocity(0.3)


def drive(guard, velocity=AHEAD, start=S, seconds=1.0, period=20 * MS, age=30 * MS):
    """Feed a healthy camera and policy; return the last decision and its time."""
    steady = start
    while steady <= start + seconds * 1e9:
        guard.see_camera(steady)
        guard.take_policy(velocity, steady - age, steady, steady)
        decision = guard.decide(steady)
        steady += period
    return decision, steady - period


def test_it_stands_before_anything_is_heard():
    decision = make().decide(S)
    assert decision.velocity == ZERO and decision.reason is Reason.NO_COMMAND and decision.idle


def test_a_healthy_policy_is_followed():
    decision, _ = drive(make())
    assert decision.velocity == Velocity(0.3) and decision.reason is Reason.POLICY


@pytest.mark.parametrize(('heard', 'speed'), [
    (0.0, 0.3), (0.1, 0.15), (0.2, 0.0), (5.0, 0.0), (math.nan, 0.0), (-1.0, 0.0), (None, 0.0)])
def test_an_unsure_policy_is_slowed_down(heard, speed):
    guard = make(uncertainty_limit=0.2)
    if heard is not None:
        guard.take_uncertainty(heard, 2 * S - 100 * MS)
    decision, _ = drive(guard)
    assert decision.velocity.linear_x == pytest.approx(speed)
    assert (decision.limit is Limit.UNCERTAIN) == (speed < 0.3)
    if speed == 0.15:
        assert decision.why == 'policy, uncertain'


def test_uncertainty_that_is_not_heard_of_any_more_counts_as_total():
    guard = make(uncertainty_limit=0.2)
    guard.take_uncertainty(0.0, S)
    decision, _ = drive(guard, seconds=1.0)
    assert decision.velocity == ZERO and decision.limit is Limit.UNCERTAIN


def test_a_policy_that_does_not_tell_its_uncertainty_is_known_by_it():
    guard = make(uncertainty_limit=0.2)
    _, now = drive(guard)
    assert guard.misses_uncertainty(now)
    drive(guard, ZERO)
    assert not guard.misses_uncertainty(now)  # nobody is held back
    guard.take_uncertainty(9.0, now)
    drive(guard)
    assert not guard.misses_uncertainty(now)  # and this one has told
    unlimited = make()
    drive(unlimited)
    assert not unlimited.misses_uncertainty(now)


def test_uncertainty_stops_no_person_and_nobody_who_ignores_it():
    guard = make()
    guard.take_uncertainty(9.0, S)
    assert drive(guard)[0].velocity == AHEAD
    guard = make(uncertainty_limit=0.2)
    for step in range(20):
        guard.take_teleop(AHEAD, S + step * 20 * MS)
        decision = guard.decide(S + step * 20 * MS)
    assert decision.velocity == AHEAD and decision.reason is Reason.TELEOP


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(['policy', 'teleop', 'camera', 'wait']),
                          velocities, st.integers(0, 150)), max_size=40),
       st.floats(0.0, 1.0))
def test_limits_hold_whatever_comes(events, cap):
    guard = make(speed_cap=cap)
    s = guard.settings
    steady, last = S, guard.decide(S)
    for kind, velocity, wait in events:
        before = steady
        steady += wait * MS
        if kind == 'policy':
            guard.take_policy(velocity, steady, steady, steady)
        elif kind == 'teleop':
            guard.take_teleop(velocity, steady)
        elif kind == 'camera':
            guard.see_camera(steady)
        new = guard.decide(steady)
        assert new.velocity.speed <= cap + 1e-9
        for value, low, high in zip(new.velocity, s.min_velocity, s.max_velocity):
            assert low - 1e-9 <= value <= high + 1e-9
        stopped_for_cause = new.reason not in (Reason.POLICY, Reason.TELEOP)
        assert not stopped_for_cause or new.velocity == ZERO
        for a, b, limit in zip(last.velocity, new.velocity, s.max_acceleration):
            within = abs(b - a) <= limit * (steady - before) / 1e9 + 1e-9
            assert within or stopped_for_cause
        last = new


@given(velocities)
def test_the_direction_is_kept(velocity):
    decision, _ = drive(make(max_acceleration=(50, 50, 50)), velocity)
    got = decision.velocity
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert math.isclose(got[a] * velocity[b], got[b] * velocity[a], abs_tol=1e-6)
    assert all(g * v >= 0 for g, v in zip(got, velocity))


def test_the_most_restrictive_limit_is_the_one_named():
    decision, _ = drive(make(speed_cap=0.1), Velocity(0.5, 0.0, 1.0))
    assert decision.velocity == pytest.approx((0.1, 0.0, 0.2))
    assert decision.limit is Limit.SPEED_CAP
    assert drive(make(), Velocity(5.0))[0].limit is Limit.VELOCITY


def test_an_older_observation_limit_lowers_the_speed_cap():
    quick, _ = drive(make(max_observation_age=0.5, blind_distance=0.2), Velocity(0.6))
    slow, _ = drive(make(max_observation_age=2.0, blind_distance=0.2), Velocity(0.6))
    assert quick.velocity.linear_x == pytest.approx(0.4)
    assert slow.velocity.linear_x == pytest.approx(0.1) and slow.limit is Limit.BLIND


@pytest.mark.parametrize('timeout', [0.2, 0.35])
def test_a_silent_camera_stops_the_robot_at_once_though_the_policy_goes_on(timeout):
    guard = make(camera_timeout=timeout)
    _, seen = drive(guard)
    for steady in range(seen, seen + S, 10 * MS):
        guard.take_policy(Velocity(0.3), steady, steady, steady)
        decision = guard.decide(steady)
        if steady - seen < timeout * 1e9:
            assert decision.reason is Reason.POLICY
        else:
            assert decision.velocity == ZERO and decision.reason is Reason.CAMERA_LOST


def test_a_picture_that_is_too_old_stops_the_robot_though_the_camera_is_alive():
    guard = make(max_observation_age=0.3)
    _, steady = drive(guard)
    stamp = steady - 30 * MS
    while guard.decide(steady).reason is Reason.POLICY:
        steady += 10 * MS
        guard.see_camera(steady)
        guard.take_policy(Velocity(0.3), stamp, steady, steady)
    assert guard.decide(steady).reason is Reason.OBSERVATION_OLD
    assert steady - stamp == 300 * MS


def test_a_dead_policy_stops_the_robot_within_the_observation_limit_even_if_ros_time_stands():
    guard = make(max_observation_age=0.3)
    _, last = drive(guard, age=30 * MS)
    steady = last
    while guard.decide(steady).velocity != ZERO:
        steady += 10 * MS
        guard.see_camera(steady)
    assert steady - last == 270 * MS
    guard.see_camera(last + 2 * S)
    assert guard.decide(last + 2 * S).reason is Reason.NO_COMMAND


def test_a_stamp_from_the_future_is_not_trusted():
    decision, _ = drive(make(), age=-500 * MS)
    assert decision.velocity == ZERO and decision.reason is Reason.STAMP_AHEAD


def test_a_command_without_a_picture_is_an_immediate_stop():
    guard = make()
    _, steady = drive(guard, Velocity(0.6))
    guard.take_policy(Velocity(0.6), 0, steady, steady)
    decision = guard.decide(steady + MS)
    assert decision.velocity == ZERO and decision.reason is Reason.POLICY_STOPPED


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('where', [0, 1, 2])
def test_non_finite_commands_stop_at_once(bad, where):
    guard = make()
    _, steady = drive(guard, Velocity(0.6))
    velocity = Velocity(*(bad if k == where else 0.1 for k in range(3)))
    guard.take_policy(velocity, steady, steady, steady)
    decision = guard.decide(steady)
    assert decision.velocity == ZERO and decision.reason is Reason.NOT_FINITE
    guard.take_teleop(velocity, steady)
    assert guard.decide(steady).reason is Reason.NOT_FINITE


def test_the_policys_own_zero_is_smoothed_but_the_e_stop_is_not():
    guard = make(max_acceleration=(1.0, 1.0, 1.0))
    _, steady = drive(guard, Velocity(0.5))
    guard.take_policy(ZERO, steady, steady, steady)
    assert guard.decide(steady + 20 * MS).velocity.linear_x == pytest.approx(0.48)
    guard.set_e_stop(True)
    assert guard.decide(steady + 21 * MS).velocity == ZERO


def test_the_e_stop_latches_until_it_is_released_by_hand():
    guard = make()
    guard.set_e_stop(True)
    assert not guard.release()
    guard.set_e_stop(False)
    assert drive(guard)[0].reason is Reason.E_STOP
    guard.take_teleop(Velocity(0.1), 3 * S)
    assert guard.decide(3 * S).reason is Reason.E_STOP
    assert guard.release()
    assert drive(guard, start=5 * S)[0].reason is Reason.POLICY


def test_hold_on_start_waits_for_release():
    guard = make(hold_on_start=True)
    assert drive(guard)[0].reason is Reason.HELD
    assert guard.release()
    assert drive(guard, start=5 * S)[0].reason is Reason.POLICY


def test_a_person_has_priority_without_a_camera_and_gives_it_back():
    guard = make(teleop_timeout=0.5)
    _, steady = drive(guard)
    guard.take_teleop(Velocity(0.0, 0.2), steady)
    for later in range(0, 500, 20):
        decision = guard.decide(steady + later * MS)
        assert decision.reason is Reason.TELEOP
    assert decision.velocity == pytest.approx((0.0, 0.2, 0.0))
    assert guard.decide(steady + 500 * MS).reason is not Reason.TELEOP


def test_a_dry_run_computes_everything_and_sends_zeros():
    decision, _ = drive(make(dry_run=True))
    assert decision.velocity == ZERO
    assert decision.intended == Velocity(0.3) and decision.reason is Reason.POLICY


def test_a_pause_in_deciding_is_no_leap():
    guard = make(max_acceleration=(1.0, 1.0, 1.0))
    guard.decide(S)
    guard.take_teleop(Velocity(0.6), 9 * S)
    assert guard.decide(9 * S).velocity.linear_x <= 0.1 + 1e-9


@pytest.mark.parametrize(('key', 'value', 'match'), [
    ('min_velocity', (0.1, -1, -1), 'must contain 0'),
    ('max_acceleration', (1, 0, 1), 'max_acceleration'),
    ('camera_timeout', -1, 'camera_timeout'),
    ('speed_cap', math.nan, 'speed_cap'),
])
def test_settings_that_make_no_sense_are_refused_by_name(key, value, match):
    with pytest.raises(ValueError, match=match):
        GuardSettings(**{key: value})
