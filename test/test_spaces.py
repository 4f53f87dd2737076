"""Laws of the map between SI velocities and normalised actions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vla_nav.spaces import AXES, DIFFERENTIAL_2D, OMNI_2D, OMNI_3D, ActionSpace

_LIMIT = st.just(0.0) | st.floats(0.01, 10)


@st.composite
def spaces(draw) -> ActionSpace:
    names = draw(st.permutations(AXES))[:draw(st.integers(1, 3))]
    limits = [draw(st.tuples(_LIMIT, _LIMIT)) for _ in names]
    assume(all(low + high > 0 for low, high in limits))
    return ActionSpace(tuple(names), tuple(-low for low, _ in limits),
                       tuple(high for _, high in limits))


def _vectors(size: int, reach: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(-reach, reach, width=32), min_size=size, max_size=size)


@given(st.data(), spaces())
def test_inside_the_limits_the_map_goes_there_and_back(data, space):
    actions = np.array(data.draw(_vectors(space.size, 1.0)), np.float32)
    velocities = space.denormalise(actions)
    # An axis without reverse has one velocity, 0, for all negative actions, and 0 for that.
    one_way = np.where(actions < 0, np.array(space.low), np.array(space.high)) == 0
    np.testing.assert_allclose(space.normalise(velocities), np.where(one_way, 0, actions),
                               atol=1e-6)


@given(st.data(), spaces())
def test_no_action_leaves_the_limits(data, space):
    actions = np.array(data.draw(_vectors(space.size, 100.0)))
    velocities = space.denormalise(actions)
    assert np.all(velocities >= np.float32(space.low))
    assert np.all(velocities <= np.float32(space.high))


@given(st.data(), spaces())
def test_normalised_is_within_one_and_keeps_the_sign(data, space):
    velocities = np.array(data.draw(_vectors(space.size, 50.0)), np.float32)
    actions = space.normalise(velocities)
    assert np.all(np.abs(actions) <= 1)
    assert np.all(actions * velocities >= 0)


@given(spaces())
def test_zero_is_zero_both_ways_and_the_stored_form_is_whole(space):
    zero = np.zeros(space.size)
    assert not space.normalise(zero).any() and not space.denormalise(zero).any()
    assert ActionSpace.from_dict(space.to_dict()) == space


def test_denormalise_works_on_chunks():
    chunk = np.tile(np.float32([1, -1, 0.5]), (2, 8, 1))
    np.testing.assert_allclose(OMNI_3D.denormalise(chunk), np.tile([0.6, -0.6, 0.6], (2, 8, 1)))


@pytest.mark.parametrize('space, velocity, twist', [
    (OMNI_3D, [0.1, 0.2, 0.3], (0.1, 0.2, 0.3)), (OMNI_2D, [0.1, 0.2], (0.1, 0.2, 0.0)),
    (DIFFERENTIAL_2D, [0.1, 0.3], (0.1, 0.0, 0.3)),
    (ActionSpace.symmetric(angular_z=1, linear_x=1), [0.3, 0.1], (0.1, 0.0, 0.3)),
])
def test_twist_puts_each_axis_in_its_place(space, velocity, twist):
    assert space.to_twist(velocity) == pytest.approx(twist)


@pytest.mark.parametrize('names, low, high, told', [
    ((), (), (), 'non-empty'), (('linear_x', 'linear_x'), (-1, -1), (1, 1), 'unique'),
    (('yaw',), (-1,), (1,), 'unknown'), (('linear_x',), (-1, -1), (1,), 'same length'),
    (('linear_x',), (0.1,), (1,), 'contain 0'), (('linear_x',), (0,), (0,), 'contain 0'),
    (('linear_x',), (-1,), (np.inf,), 'finite'), (('linear_x',), (np.nan,), (1,), 'finite'),
])
def test_spaces_that_make_no_sense_are_refused(names, low, high, told):
    with pytest.raises(ValueError, match=told):
        ActionSpace(names, low, high)
