"""Metrics against known values and laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.evaluation import metrics

COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
FLAGS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@pytest.mark.parametrize('k, n, low, high', [
    (0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (292, 300, 0.94827, 0.98643),
    (10, 10, 0.72247, 1.0),
])
def test_wilson_known_values(k, n, low, high):
    assert metrics.wilson_interval(k, n) == pytest.approx((low, high), abs=5e-5)


@given(COUNTS)
def test_wilson_contains_the_share_and_solves_its_equation(count):
    k, n = count
    low, high = metrics.wilson_interval(k, n)
    assert 0.0 <= low <= k / n <= high <= 1.0
    for bound in (low, high):
        if 0.0 < bound < 1.0:  # |share - p| = z * sqrt(p (1 - p) / n) defines the bounds
            distance = metrics.Z95 * math.sqrt(bound * (1 - bound) / n)
            assert abs(k / n - bound) == pytest.approx(distance, rel=1e-6, abs=1e-9)


@given(COUNTS)
def test_wilson_is_symmetric_and_narrows(count):
    k, n = count
    low, high = metrics.wilson_interval(k, n)
    assert metrics.wilson_interval(n - k, n) == pytest.approx((1 - high, 1 - low))
    wide = metrics.wilson_interval(4 * k, 4 * n)
    assert wide[1] - wide[0] < high - low


def test_wilson_without_trials_and_with_nonsense():
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match='3 of 2'):
        metrics.wilson_interval(3, 2)


@given(st.booleans(), st.floats(0.01, 50), st.floats(0, 50))
def test_spl_bounds(success, shortest, driven):
    value = metrics.spl(success, shortest, driven)
    assert 0.0 <= value <= float(success)
    if success and driven <= shortest:
        assert value == 1.0


def test_spl_halves_for_twice_the_way():
    assert metrics.spl(True, 2.0, 4.0) == 0.5


@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(3, 40))
def test_jerk_of_constant_acceleration_is_zero(slope, start, steps):
    time = np.arange(steps) * 0.1
    assert metrics.rms_jerk((start + slope * time)[:, None], 0.1) == pytest.approx(0, abs=1e-9)


def test_jerk_of_a_parabola_and_of_short_runs():
    time = np.arange(20) * 0.1
    velocities = np.stack([1.5 * time ** 2, 0 * time], axis=1)  # second derivative 3
    assert metrics.rms_jerk(velocities, 0.1) == pytest.approx([3.0, 0.0])
    assert metrics.rms_jerk(velocities[:2], 0.1).tolist() == [0.0, 0.0]


def test_error_table_by_hand():
    want = np.array([[0.4, 0.0], [0.2, -0.3]])
    got = np.array([[0.4, 0.1], [-0.2, -0.3]])
    table = metrics.error_table(got, want, ['linear_x', 'angular_z'])
    assert table['linear_x'] == pytest.approx(
        {'mae': 0.2, 'rmse': math.sqrt(0.08), 'within': 0.5, 'sign': 0.5})
    assert table['angular_z']['sign'] == 1.0  # the still sample is not counted
    assert table['joint']['within'] == 0.0  # each sample is off on one axis
    assert table['joint']['mae'] == pytest.approx(0.125)


def test_error_table_counts_only_what_is_known():
    want = np.array([[0.2, np.nan], [0.4, 0.0], [0.0, np.nan]])
    got = np.array([[0.2, 9.0], [0.3, 0.3], [0.1, 9.0]])
    table = metrics.error_table(got, want, ['linear_x', 'linear_y'], known=~np.isnan(want))
    assert table['linear_x']['mae'] == pytest.approx(0.2 / 3)
    assert table['linear_y']['mae'] == pytest.approx(0.3)
    assert table['joint']['mae'] == pytest.approx(0.5 / 4)
    assert table['joint']['within'] == pytest.approx(1 / 3)
    nowhere = metrics.error_table(got[::2], want[::2], ['linear_x', 'linear_y'],
                                  known=~np.isnan(want[::2]))
    assert {*nowhere['linear_y'].values()} == {None}
    assert nowhere['joint']['within'] == pytest.approx(0.5)


def test_error_table_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match=r'\(2, 3\)'):
        metrics.error_table(np.zeros((2, 3)), np.zeros((2, 2)), ['linear_x', 'linear_y'])
    with pytest.raises(ValueError, match='no samples'):
        metrics.error_table(np.zeros((0, 1)), np.zeros((0, 1)), ['linear_x'])


@given(st.floats(-1, 1), st.integers(1, 30))
def test_rmse_equals_mae_for_a_constant_error(offset, n):
    joint = metrics.error_table(np.full((n, 2), offset), np.zeros((n, 2)), ['a', 'b'])['joint']
    assert joint['mae'] == pytest.approx(abs(offset))
    assert joint['rmse'] == pytest.approx(abs(offset))
    assert joint['sign'] is None


@given(FLAGS)
def test_paired_laws(pairs):
    first, second = zip(*pairs)
    assert metrics.mcnemar(first, second) == metrics.mcnemar(second, first)
    assert metrics.mcnemar(first, first) == 1.0
    difference, low, high = metrics.paired_difference(first, second)
    assert difference == pytest.approx(np.mean(first) - np.mean(second))
    assert -1.0 <= low <= high <= 1.0
    back = metrics.paired_difference(second, first)
    assert back == pytest.approx((-difference, -high, -low))


def test_mcnemar_known_value():
    first = [True] * 8 + [False] * 2 + [True] * 50
    second = [False] * 8 + [True] * 2 + [True] * 50
    assert metrics.mcnemar(first, second) == pytest.approx(2 * (1 + 10 + 45) / 1024)


def test_mean_interval_covers_the_mean():
    low, high = metrics.mean_interval([1.0, 2.0, 3.0, 4.0])
    assert (low + high) / 2 == pytest.approx(2.5)
    assert high - low == pytest.approx(2 * metrics.Z95 * math.sqrt(5 / 3) / 2)
    assert all(map(math.isnan, metrics.mean_interval([1.0])))
