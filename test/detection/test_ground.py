"""From boxes to the ground: against a camera's geometry worked out on its own."""

from __future__ import annotations

import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vla_nav.detection.ground import Ground, mount_pose
from vla_nav.detection.lens import Lens, lens_of

# The simulated robot's: 256x192, 80 degrees high, 0.6 m up, 0.1 m behind the centre, 20 degrees
# down.
_HEIGHT, _WIDTH, _UP, _BACK, _PITCH = 192, 256, 0.6, -0.1, math.radians(20)
_FOCAL = _HEIGHT / 2 / math.tan(math.radians(40))


def _info(**changes):
    return SimpleNamespace(**{
        'k': [_FOCAL, 0, _WIDTH / 2, 0, _FOCAL, _HEIGHT / 2, 0, 0, 1], 'd': [0.0] * 5,
        'distortion_model': 'plumb_bob', 'height': _HEIGHT, 'width': _WIDTH, **changes})


def _ground(**changes):
    return Ground(lens_of(_info(**changes), _HEIGHT, _WIDTH),
                  mount_pose(_BACK, 0, _UP, 0, _PITCH, 0))


def _pixel(x, y, z=0.0):
    """Return where a point of the base frame is in the picture, by trigonometry alone."""
    ahead, up = x - _BACK, z - _UP
    depth = ahead * math.cos(_PITCH) - up * math.sin(_PITCH)
    down = -ahead * math.sin(_PITCH) - up * math.cos(_PITCH)
    return _WIDTH / 2 - _FOCAL * y / depth, _HEIGHT / 2 + _FOCAL * down / depth


def _box(corners, height):
    """Return the box of what the picture shows of an upright wall through the corners."""
    ways = np.linspace(0, len(corners) - 1, 101 * (len(corners) - 1))
    xs, ys = (np.interp(ways, range(len(corners)), values) for values in zip(*corners))
    seen = np.array([_pixel(x, y, z) for x, y in zip(xs, ys) for z in np.linspace(0, height, 5)])
    seen = seen[((seen >= 0) & (seen <= (_WIDTH, _HEIGHT))).all(axis=1)]
    return [*seen.min(0), *seen.max(0)]


@settings(max_examples=100, deadline=None)
@given(st.floats(0.4, 5), st.floats(-1, 1))
def test_a_foot_is_where_it_stands(x, share):
    y = share * 0.9 * (x - _BACK)
    np.testing.assert_allclose(_ground().points([_pixel(x, y)]), [[x, y]], atol=1e-6)
    np.testing.assert_allclose(_ground().pixels([[x, y]]), [_pixel(x, y)], atol=1e-6)


def test_above_the_horizon_is_no_ground():
    ground = _ground()
    horizon = _HEIGHT / 2 - _FOCAL * math.tan(_PITCH)
    boxes = [[100, 0, 140, horizon - 1], [100, 0, 140, horizon + 1], [100, 0, 140, 150]]
    found = ground.place(boxes)
    assert set(found.boxes.tolist()) == {2}  # the second is on the ground, beyond the range
    assert np.isnan(ground.points([[128, horizon - 1]])).all()
    assert np.isfinite(ground.points([[128, horizon + 1]])).all()


def test_no_boxes_no_points():
    found = _ground().place(np.zeros((0, 4)))
    assert len(found) == 0 and found.points.shape == (0, 2)


def test_the_face_of_a_wide_box_is_laid_out_without_gaps():
    box = _box([(1.3, -0.6), (1.0, -0.6), (1.0, 0.6), (1.3, 0.6)], 0.4)
    found = _ground().place([box])
    ys = np.sort(found.points[:, 1])
    np.testing.assert_allclose(found.points[:, 0], 1.0, atol=1e-6)
    assert np.diff(ys).max() <= 0.1 + 1e-9 and not found.cut.any()
    # Its top is nearer to the camera than its foot, and so wider in the picture, by an eighth.
    assert 0.6 <= ys[-1] <= 0.6 * 1.13 and -0.6 * 1.13 <= ys[0] <= -0.6


@settings(max_examples=100, deadline=None)
@given(st.floats(0.8, 2.5), st.floats(-0.6, 0.6), st.floats(0.3, 2.0), st.floats(-1.5, 1.5))
def test_a_long_barrier_seen_obliquely_is_nowhere_nearer_than_it_can_be(x, y, length, yaw):
    # A thin barrier from a corner on; some of it may be beside the picture.
    along = np.array([math.cos(yaw), math.sin(yaw)]) * length
    feet = np.array([x, y]) + np.linspace(0, 1, 101)[:, None] * along
    ground = _ground()
    feet = feet[ground.shows(feet)]
    assume(len(feet) > 1)
    found = ground.place([_box([(x, y), (x + along[0], y + along[1])], 0.4)])
    # All of it is as far ahead as the nearest foot, and that one is among them.
    nearest = feet[feet[:, 0].argmin()]
    np.testing.assert_allclose(found.points[:, 0], nearest[0], atol=0.025)
    assert np.linalg.norm(found.points - nearest, axis=1).min() < 0.08
    # The barrier hides behind no free ground: in its directions, an edge is before it.
    bearings, ways = _by_bearing(found.points)
    seen, true = _by_bearing(feet)
    assert (np.interp(seen, bearings, ways) <= true + 0.025).all()


def _by_bearing(points):
    ahead = points - [_BACK, 0]
    order = np.argsort(ahead[:, 1] / ahead[:, 0])
    return (ahead[:, 1] / ahead[:, 0])[order], np.linalg.norm(ahead, axis=1)[order]


def test_a_box_cut_off_below_is_marked_and_no_other():
    cut = _box([(0.2, -0.1), (0.2, 0.1), (0.4, 0.1)], 0.4)
    whole = _box([(0.5, -0.1), (0.5, 0.1), (0.8, 0.1)], 0.3)
    assert cut[3] > 0.99 * _HEIGHT
    found = _ground().place([cut, whole])
    assert found.cut.tolist() == (found.boxes == 0).tolist()
    # The ray of the lowest row, at 60 degrees.
    np.testing.assert_allclose(found.points[found.cut][:, 0],
                               _BACK + _UP / math.tan(math.radians(60)), atol=0.02)


def test_a_tilted_camera_sees_the_same_ground():
    lens = lens_of(_info(), _HEIGHT, _WIDTH)
    ground = Ground(lens, mount_pose(0.2, 0.1, 0.5, 0.1, 0.3, -0.4))
    points = np.array([[1.0, -0.3], [1.6, 0.0], [0.9, -0.6]])
    assert ground.shows(points).all()
    np.testing.assert_allclose(ground.points(ground.pixels(points)), points, atol=1e-9)


def test_what_the_picture_shows():
    ground = _ground()
    points = [[1, 0], [-1, 0], [0.2, 0], [1, 5], [0.255, 0]]
    assert ground.shows(points).tolist() == [True, False, False, False, True]
    assert ground.shows(points, 0.05).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize('model, distortion', [
    ('plumb_bob', [-0.28, 0.07, 0.001, -0.0005, 0.0]),
    ('rational_polynomial', [-0.1, 0.02, 0.0005, 0.0, 0.001, 0.05, 0.01, 0.0]),
    ('equidistant', [0.02, -0.01, 0.003, -0.001]),
])
def test_a_real_lens_and_back(model, distortion):
    lens = lens_of(_info(d=distortion, distortion_model=model), _HEIGHT, _WIDTH)
    pixels = np.stack(np.meshgrid(np.linspace(40, 216, 7), np.linspace(30, 162, 7)), -1)
    directions = lens.directions(pixels.reshape(-1, 2))
    straight = Lens(_HEIGHT, _WIDTH, lens.matrix).directions(pixels.reshape(-1, 2))
    assert np.abs(directions - straight).max() > 0.01  # the lens does bend
    np.testing.assert_allclose(lens.pixels(directions), pixels.reshape(-1, 2), atol=1e-3)
    # OpenCV itself, the other way round.
    ahead = np.column_stack((directions, np.ones(len(directions))))[:, None]
    project = cv2.fisheye.projectPoints if model == 'equidistant' else cv2.projectPoints
    seen = project(ahead, np.zeros(3), np.zeros(3), lens.matrix, np.array(distortion))[0]
    np.testing.assert_allclose(seen.reshape(-1, 2), pixels.reshape(-1, 2), atol=1e-3)


def test_where_a_lens_model_ends_there_is_no_direction():
    # This polynomial turns back at 1.1 of the focal length.
    lens = lens_of(_info(d=[-0.28, 0, 0, 0], distortion_model='plumb_bob'), _HEIGHT, _WIDTH)
    assert np.isnan(lens.directions([[600, 96]])).all()
    assert np.isnan(lens.pixels([[3.0, 0.0]])).all()
    assert np.isfinite(lens.directions([[200, 96]])).all()


def test_a_smaller_picture_of_the_same_camera_gives_the_same_ground():
    half = Ground(lens_of(_info(), _HEIGHT // 2, _WIDTH // 2), mount_pose(_BACK, 0, _UP, 0,
                                                                          _PITCH, 0))
    box = np.array([[100, 40, 140, 150]])
    np.testing.assert_allclose(half.place(box / 2).points, _ground().place(box).points)


@pytest.mark.parametrize('changes, told', [
    ({'k': [0.0] * 9}, 'no focal length'),
    ({'k': [math.nan] * 9}, 'no focal length'),
    ({'distortion_model': 'fancy'}, "distortion model 'fancy'"),
    ({'d': [0.1] * 3}, '3 distortion coefficients'),
    ({'d': [math.inf] * 5}, 'finite'),
    ({'width': 640}, 'another shape'),
])
def test_a_camera_info_that_cannot_be_used_is_told(changes, told):
    with pytest.raises(ValueError, match=told):
        lens_of(_info(**changes), _HEIGHT, _WIDTH)


def test_a_camera_in_the_ground_is_refused():
    with pytest.raises(ValueError, match='height above the ground'):
        Ground(lens_of(_info(), _HEIGHT, _WIDTH), mount_pose(0, 0, 0, 0, 0, 0))
