import math

from hypothesis import given
from hypothesis import strategies as st

from vla_nav.control.limits import ZERO, Velocity, approach, box_factor, speed_factor

axis = st.floats(-20, 20, allow_nan=False)
velocities = st.builds(Velocity, axis, axis, axis)
bounds = st.tuples(*[st.floats(0, 5) for _ in range(3)])
positive = st.tuples(*[st.floats(0.01, 10) for _ in range(3)])


def inside(velocity, low, high, slack=1e-9):
    return all(a - slack <= v <= b + slack for v, a, b in zip(velocity, low, high))


@given(velocities, bounds, bounds)
def test_box_factor_brings_every_axis_inside_and_keeps_the_direction(velocity, below, above):
    low = tuple(-b for b in below)
    factor = box_factor(velocity, low, above)
    assert 0.0 <= factor <= 1.0
    assert inside(velocity.scaled(factor), low, above)
    if inside(velocity, low, above, slack=0.0):
        assert factor == 1.0


def test_an_axis_that_may_not_move_means_standstill():
    assert box_factor(Velocity(0.3, 0.2, 0.1), (-1, 0, -1), (1, 0, 1)) == 0.0
    assert box_factor(Velocity(0.3, 0.0, 0.1), (-1, 0, -1), (1, 0, 1)) == 1.0


@given(velocities, st.floats(0, 5))
def test_speed_factor_caps_the_planar_speed_and_scales_the_turn_with_it(velocity, cap):
    slowed = velocity.scaled(speed_factor(velocity, cap))
    assert slowed.speed <= cap + 1e-9
    assert math.isclose(slowed.linear_x * velocity.angular_z,
                        slowed.angular_z * velocity.linear_x, abs_tol=1e-6)


@given(velocities, velocities, positive, st.floats(0, 1))
def test_approach_never_accelerates_more_than_allowed_and_stays_between(last, target, limit, dt):
    new = approach(last, target, limit, dt)
    for before, after, goal, a in zip(last, new, target, limit):
        assert abs(after - before) <= a * dt + 1e-9
        assert min(before, goal) - 1e-9 <= after <= max(before, goal) + 1e-9


@given(velocities, positive)
def test_approach_arrives(target, limit):
    velocity, longest = ZERO, max(abs(t) / a for t, a in zip(target, limit))
    for _ in range(math.ceil(longest / 0.1) + 1):
        velocity = approach(velocity, target, limit, 0.1)
    assert velocity == target
