"""Embodiment profiles: units and signs, and several robots in one model's space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vla_nav.embodiments import EMBODIMENTS, Embodiment, load_embodiment, project
from vla_nav.spaces import DIFFERENTIAL_2D, OMNI_3D

_EXAMPLE = Path(__file__).parents[1] / 'config' / 'embodiments' / 'example.yaml'


def test_a_key_held_down_is_full_speed_whatever_the_axis():
    keys = [[1.15, 0.0, -1.15], [0.0, -1.15, 0.0]]
    np.testing.assert_allclose(EMBODIMENTS['keyboard'].to_si(keys),
                               [[0.6, 0, -1.2], [0, -0.6, 0]], atol=1e-6)


def test_a_donkeycar_that_steers_right_turns_clockwise():
    speed, turn = EMBODIMENTS['donkeycar'].to_si([0.5, 1.0])
    assert speed == pytest.approx(0.3) and turn == pytest.approx(-1.2)


def test_recordings_in_si_units_stay_as_they_are_also_beyond_the_limits():
    np.testing.assert_array_equal(EMBODIMENTS['omni'].to_si([[0.7, -0.1, 0.2]]),
                                  np.float32([[0.7, -0.1, 0.2]]))


@pytest.mark.parametrize('name', [*EMBODIMENTS, str(_EXAMPLE)])
@given(data=st.data())
def test_inside_the_limits_nothing_is_lost_there_and_back(name, data):
    profile = load_embodiment(name)
    space = profile.space()
    unit = st.floats(-1, 1, width=32)
    normalised = data.draw(arrays(np.float32, (4, space.size), elements=unit))
    velocities = space.denormalise(normalised)
    np.testing.assert_allclose(profile.to_si(profile.from_si(velocities)), velocities, atol=1e-5)


def test_the_example_file_is_read_with_its_signs_and_limits():
    profile = load_embodiment(str(_EXAMPLE))
    assert profile.recorded_names == ('linear_x', 'steering')
    np.testing.assert_allclose(profile.to_si([-0.1, -0.5]), [-0.1, 0.75])


def test_two_robots_share_one_space_and_each_says_what_it_lacks():
    omni, everything = project([[0.3, 0.3, 0.6]], OMNI_3D.names, OMNI_3D)
    car, present = project([[0.6, -0.6]], DIFFERENTIAL_2D.names, OMNI_3D)
    np.testing.assert_allclose(omni, [[0.5, 0.5, 0.5]])
    np.testing.assert_allclose(car, [[1.0, 0.0, -0.5]])
    assert everything.all() and present.tolist() == [True, False, True]


def test_a_motion_that_the_model_could_not_make_is_refused():
    with pytest.raises(ValueError, match='linear_y'):
        project([[0.1, 0.2, 0.0]], OMNI_3D.names, DIFFERENTIAL_2D)
    project([[0.1, 0.0, 0.0]], OMNI_3D.names, DIFFERENTIAL_2D)  # it never moves sideways


@pytest.mark.parametrize(('text', 'said'), [
    ('name: x\nchannels: [{axis: linear_z, low: -1, high: 1}]', 'linear_z'),
    ('name: x\nchannels: [{axis: linear_x, low: 0.1, high: 1}]', 'low'),
    ('name: x\nchannels: [{axis: linear_x, low: -1, high: 1, full: 0}]', 'full'),
    ('name: x\nchannels: [{axis: linear_x, low: -1, high: 1, unit: m}]', 'unit'),
    ('name: [', 'cannot be read')])
def test_a_wrong_profile_names_file_and_key(tmp_path, text, said):
    path = tmp_path / 'robot.yaml'
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        load_embodiment(str(path))
    assert 'robot.yaml' in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match='donkeycar'):
        load_embodiment('tank')


def test_repeated_names_are_refused():
    with pytest.raises(ValueError, match='repeat'):
        Embodiment.model_validate({'name': 'x', 'channels': [
            {'axis': 'linear_x', 'low': -1, 'high': 1, 'name': 'a'},
            {'axis': 'linear_y', 'low': -1, 'high': 1, 'name': 'a'}]})
