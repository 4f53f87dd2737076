"""The numbers of docs/field-test.md are those of the code that they describe."""

from __future__ import annotations

import math
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from vla_nav.control.guard import GuardSettings, Reason
from vla_nav.evaluation.metrics import wilson_interval
from vla_nav.evaluation.safety_trials import ALLOWANCE_S
from vla_nav.simulation.scenario import sample
from vla_nav.simulation.world import CAMERA_X_M

_PROTOCOL = (Path(__file__).parents[2] / 'docs' / 'field-test.md').read_text('utf-8')
_WIDE = 4 / 3


def _numbers(text):
    return [float(number) for number in re.findall(r'\d+(?:\.\d+)?', text)]


def _table(heading):
    """Return the first cell and the numbers of the others, for each row below ``heading``."""
    lines = _PROTOCOL[_PROTOCOL.index(heading):].partition('\n\n')[0].splitlines()[2:]
    return [(first.strip(), [_numbers(cell) for cell in cells])
            for first, *cells in (line.strip('|').split('|') for line in lines)]


@pytest.fixture(scope='module')
def mount():
    """Return (low, high, aim) of height (m), pitch and vertical angle (rad), as on the page."""
    rows = dict(_table('| | trained range |'))
    values = [[*cells[0], *cells[1]] for name, cells in rows.items()
              if name.startswith(('height', 'pitch', 'vertical'))]
    return np.array([values[0], *np.radians(values[1:])])


def test_the_mount_is_the_one_that_was_trained(mount):
    looks = [sample(seed).look for seed in range(200)]
    trained = np.array([(look.camera_height, look.camera_pitch,
                         math.radians(look.camera_fovy_deg)) for look in looks])
    np.testing.assert_allclose(mount[:, 0], trained.min(0), atol=0.006)
    np.testing.assert_allclose(mount[:, 1], trained.max(0), atol=0.006)
    assert ((mount[:, 0] < mount[:, 2]) & (mount[:, 2] < mount[:, 1])).all()
    assert f'{-CAMERA_X_M:.2f} m behind the centre' in _PROTOCOL


def test_a_level_floor_looks_as_the_page_says():
    corners = list(product((0.56, 0.64), (0.30, 0.40), map(math.radians, (78, 83))))
    aim = 0.6, 0.35, math.radians(80.5)
    for distance, (rows, row, columns, column) in _table('| strip at, m'):
        d = float(distance)

        def place(height, pitch, vertical, d=d):
            deep = d * math.cos(pitch) + height * math.sin(pitch)
            half = math.tan(vertical / 2)
            return (50 + 50 * math.tan(math.atan2(height, d) - pitch) / half,
                    50 * 0.5 / deep / (half * _WIDE))
        seen = np.array([place(*corner) for corner in corners])
        np.testing.assert_allclose([*rows, *columns], [seen[:, 0].min(), seen[:, 0].max(),
                                                       seen[:, 1].min(), seen[:, 1].max()],
                                   atol=0.06)
        np.testing.assert_allclose([*row, *column], place(*aim), atol=0.06)


def test_the_horizontal_angle_follows_from_the_vertical_one(mount):
    horizontal = np.degrees(2 * np.arctan(_WIDE * np.tan(mount[2] / 2)))
    stated = dict(_table('| | trained range |'))['horizontal field of view, of the 4:3 part']
    np.testing.assert_allclose([*stated[0], *stated[1]], horizontal, atol=1)
    focal = 0.5 / np.tan(mount[2, :2] / 2)
    assert f'{focal[1]:.3f} to {focal[0]:.3f}' in _PROTOCOL


def test_the_way_until_the_first_zero_is_that_of_the_guards_limits():
    guard = GuardSettings()
    for speed, (energy, lost, hangs) in _table('| speed, m/s'):
        v = float(speed)
        assert energy[0] == pytest.approx(25 * v ** 2, abs=0.06)
        assert lost[0] == pytest.approx(v * (guard.camera_timeout + ALLOWANCE_S), abs=0.006)
        assert hangs[0] == pytest.approx(v * (guard.max_observation_age + ALLOWANCE_S), abs=0.006)


def test_obstacles_stop_and_are_lost_as_the_guard_does_it():
    guard = GuardSettings()
    stop = f'{guard.robot_radius + guard.obstacle_clearance:.2f} m from the base'
    assert _PROTOCOL.count(stop) == 2, 'the wheels off the ground, and the dry run'
    assert f'free for {guard.obstacle_hold:.1f} s' in _PROTOCOL
    row = next(line for line in _PROTOCOL.splitlines() if "`kill -9` the detector's" in line)
    assert guard.obstacle_timeout + ALLOWANCE_S <= _numbers(row)[1]  # the first is the 9 of kill
    assert {str(reason.value) for reason in (Reason.OBSTACLE, Reason.OBSTACLES_LOST)} <= set(
        re.findall(r'`(\w+)`', _PROTOCOL))


def test_a_degree_of_pitch_shifts_the_floor_as_the_page_says():
    said = re.search(r'at (\S+) m, one degree of pitch shifts the floor by (\S+) m at (\d) m '
                     r'and by (\S+) m at (\d) m', ' '.join(_PROTOCOL.split()))
    height, *pairs = map(float, said.groups())
    for shift, distance in zip(pairs[::2], pairs[1::2]):
        down = math.atan2(height, distance)
        near, far = (height / math.tan(down + math.radians(turn)) for turn in (1, -1))
        assert shift == pytest.approx((far - near) / 2, abs=0.006)


def test_the_intervals_are_wilsons():
    for count, (whole, one, nine_tenths, half) in _table('| n | all succeed'):
        n = int(count)
        for stated, successes in ((whole, n), (one, n - 1), (nine_tenths, n * 9 // 10),
                                  (half, n // 2)):
            np.testing.assert_allclose(stated, wilson_interval(successes, n), atol=0.0051)
