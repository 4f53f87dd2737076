"""What is drawn into pictures and on the floor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_nav.control.guard import Reason
from vla_nav.monitoring.boxes import Box
from vla_nav.monitoring.overlay import overlay
from vla_nav.monitoring.trail import Trail
from vla_nav.monitoring.zones import colour, reach


def test_the_overlay_draws_path_boxes_and_words_and_leaves_the_picture_alone():
    picture = np.full((240, 320, 3), 90, np.uint8)
    drawn = overlay(picture, [(160, 239), (160, 100)], [Box(40, 60, 80, 120, 'cup 0.90')],
                    'driving')
    assert (picture == 90).all() and drawn.shape == picture.shape
    np.testing.assert_allclose(drawn[150, 160], (255, 170, 0), atol=12)
    assert drawn[90, 40, 1] > 200 > drawn[90, 60, 1]  # the edge, not the inside
    assert (drawn[225:, 4:60] != 90).any() and (drawn[:30] == 90).all()


@settings(max_examples=30)
@given(st.lists(st.tuples(*[st.floats(-1e12, 1e12)] * 2), max_size=5), st.text(max_size=20))
def test_nothing_that_a_camera_can_project_or_a_person_say_breaks_the_overlay(path, words):
    picture = np.zeros((24, 32, 3), np.uint8)
    assert overlay(picture, path, (), words).shape == picture.shape


def test_the_reach_follows_the_curve_that_a_velocity_drives():
    straight = reach((0.6, 0.0, 0.0), 0.5)
    np.testing.assert_allclose(straight[[0, -1]], [(0, 0), (0.3, 0)], atol=1e-6)
    turning = reach((0.6, 0.0, 1.2), 0.5)
    assert turning[-1, 1] > 0.05 and turning[-1, 0] < 0.3
    assert not reach((0.0, 0.0, 0.0), 0.5).any()


def test_each_state_of_the_guard_has_the_colour_of_its_gravity():
    green, amber = colour('policy'), colour('policy, speed_cap')
    assert green != amber and colour('teleop') == green
    assert colour('no_command') == colour('held')
    stops = {colour(reason.value) for reason in Reason} - {green, colour('held')}
    # Whatever stops the robot for cause looks alike, and so does a guard that is silent.
    assert stops == {colour('silent')} and colour('silent')[0] > 0.8


def test_a_trail_keeps_the_newest_positions_and_begins_anew_after_a_leap():
    trail = Trail(3)
    assert all(trail.add(0.1 * k, 0.0) for k in range(5))
    assert not trail.add(0.401, 0.0)
    assert list(trail.points) == [pytest.approx((0.1 * k, 0.0)) for k in (2, 3, 4)]
    assert trail.add(5.0, 5.0)
    assert list(trail.points) == [(5.0, 5.0)]
