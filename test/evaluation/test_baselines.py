"""Open-loop drivers: they follow the clock, and know of the expert what they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.contracts import Frame
from vla_nav.evaluation.baselines import (
    OPEN_LOOP,
    STEP_NS,
    Drive,
    DriveStatistics,
    OpenLoopPolicy,
    open_loop_policy,
)
from vla_nav.spaces import OMNI_3D

PICTURE = np.zeros((1, 1, 3), np.uint8)


def drives():
    """Return two drives: 1 s at 0.4 m/s with a swing of 1 m to the left, 2 s at 0.2 m/s."""
    ahead = np.array([[0.4, 0.0, 0.0]] * 10), np.array([[0.2, 0.0, 0.3]] * 20)
    ways = np.linspace((0, 0), (3, 1), 10), np.linspace((0, 0), (2, -1), 20)
    return [Drive(velocities, way) for velocities, way in zip(ahead, ways)]


def distance_of(policy, steps=400):
    rows = [policy.act(Frame(PICTURE, STEP_NS * (7 + i))).velocities[0] for i in range(steps)]
    assert not rows[-1].any(), 'the driver never stops'
    return np.sum(rows, axis=0) * STEP_NS * 1e-9


def test_statistics_by_hand():
    known = DriveStatistics.of(drives())
    assert known.mean == pytest.approx([8 / 30, 0, 0.2])
    assert known.median == pytest.approx([0.2, 0, 0.3])
    assert known.by_step[0] == pytest.approx([0.3, 0, 0.15])
    assert known.by_step[15] == pytest.approx([0.1, 0, 0.15]), 'a finished drive stands still'
    assert (known.reach_m, known.swing_m) == pytest.approx((2.5, 1.0))
    with pytest.raises(ValueError, match='no drives'):
        DriveStatistics.of([])


@given(st.integers(1, 30), st.integers(0, 60), st.integers(-4 * 10**7, 4 * 10**7))
def test_rows_follow_the_stamp_not_the_number_of_calls(length, step, jitter_ns):
    table = np.linspace((0, 0, 0), (0.5, -0.5, 1.0), length)
    policy = OpenLoopPolicy('table', table)
    start = 5 * STEP_NS
    policy.act(Frame(PICTURE, start))
    chunk = policy.act(Frame(PICTURE, start + step * STEP_NS + jitter_ns))
    for k, row in enumerate(chunk.velocities):
        assert row == pytest.approx(table[min(step + k, length - 1)], abs=1e-6)
    policy.reset()
    again = policy.act(Frame(PICTURE, start + 10**12))
    assert again.velocities[0] == pytest.approx(table[0], abs=1e-6)


def test_drivers_go_where_they_say():
    known = DriveStatistics.of(drives())
    assert distance_of(open_loop_policy('straight', known)) == pytest.approx([2.5, 0, 0])
    left = distance_of(open_loop_policy('always-left', known))
    assert left == pytest.approx([2.5, 0, 0], abs=1e-4), 'it comes back to the middle'
    assert max(open_loop_policy('always-left', known)._table[:, 1]) > 0.1
    for name in OPEN_LOOP:
        policy = open_loop_policy(name, known)
        rows = policy.act(Frame(PICTURE, 1)).velocities
        assert (np.abs(rows) <= np.float32(OMNI_3D.high)).all()
    with pytest.raises(ValueError, match='unknown baseline'):
        open_loop_policy('zigzag', known)
