import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.contracts import ActionChunk
from vla_nav.control.executor import ChunkExecutor

STEP = 100_000_000


def chunk(rows, stamp_ns=0, step_ns=STEP):
    return ActionChunk(np.asarray(rows, np.float32).reshape(len(rows), -1), step_ns, stamp_ns)


def test_each_row_is_due_for_one_step_and_then_nothing_is_left():
    executor = ChunkExecutor()
    executor.put(chunk([1, 2, 3], stamp_ns=1000))
    at = [executor.command(1000 + t) for t in (0, STEP - 1, STEP, 3 * STEP - 1, 3 * STEP)]
    assert [None if c is None else float(c.velocity[0]) for c in at] == [1, 1, 2, 3, None]
    assert at[0].stamp_ns == 1000


def test_a_late_chunk_starts_at_the_step_that_is_due_now():
    executor = ChunkExecutor()
    executor.put(chunk([1, 2, 3, 4], stamp_ns=0))
    assert executor.command(250_000_000).velocity[0] == 3


@given(st.lists(st.tuples(st.integers(0, 300_000_000), st.floats(-1, 1)), min_size=1, max_size=6,
                unique_by=lambda p: p[0]), st.floats(0, 5), st.integers(0, 200_000_000))
def test_overlapping_chunks_are_blended_by_the_closed_formula(stamps, decay, later):
    stamps.sort()
    executor = ChunkExecutor(decay)
    chunks = []
    for stamp, value in stamps:
        rows = [value + 0.01 * k for k in range(8)]
        chunks.append((stamp, rows))
        executor.put(chunk(rows, stamp))
    newest = stamps[-1][0]
    now = newest + later
    top = bottom = 0.0
    for stamp, rows in chunks:
        weight = math.exp(-decay * (newest - stamp) / STEP)
        top += weight * rows[(now - stamp) // STEP]
        bottom += weight
    command = executor.command(now)
    assert command.velocity[0] == pytest.approx(top / bottom, abs=1e-6)
    assert command.stamp_ns == newest


def test_the_newest_chunk_counts_most_and_an_ended_one_not_at_all():
    executor = ChunkExecutor(decay=1.0)
    executor.put(chunk([0, 0], stamp_ns=0))
    executor.put(chunk([1, 1, 1], stamp_ns=STEP))
    assert 0.5 < executor.command(STEP).velocity[0] < 1.0
    assert executor.command(2 * STEP).velocity[0] == 1.0


def test_a_stamp_that_goes_back_drops_the_chunks_of_the_other_clock():
    executor = ChunkExecutor()
    executor.put(chunk([5, 5], stamp_ns=10 * STEP))
    executor.put(chunk([1, 1], stamp_ns=0))
    assert executor.command(0).velocity[0] == 1
    assert executor.command(10 * STEP) is None


def test_a_camera_slightly_ahead_of_the_clock_is_executed_but_a_future_one_is_not():
    executor = ChunkExecutor()
    executor.put(chunk([7], stamp_ns=10 * STEP))
    assert executor.command(10 * STEP - 5_000_000).velocity[0] == 7
    assert executor.command(8 * STEP) is None


def test_memory_is_bounded_by_the_chunk_length():
    executor = ChunkExecutor()
    for k in range(100):
        executor.put(chunk([k] * 4, stamp_ns=k * STEP))
    assert len(executor._chunks) <= 4


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_chunks_with_anything_but_finite_numbers_are_refused(bad):
    executor = ChunkExecutor()
    with pytest.raises(ValueError, match='NaN'):
        executor.put(chunk([1, bad]))
    assert executor.command(0) is None


def test_reset_leaves_nothing():
    executor = ChunkExecutor()
    executor.put(chunk([1]))
    executor.reset()
    assert executor.command(0) is None
