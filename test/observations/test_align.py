"""Alignment takes the newest sample that is not too old and never one from the future."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.observations.align import nearest_previous

_TIMES = st.lists(st.integers(0, 1000), max_size=20)


@given(stamps=_TIMES, at=_TIMES, tolerance=st.integers(0, 500))
def test_agrees_with_the_definition(stamps, at, tolerance):
    stamps = sorted(stamps)
    for time, index in zip(at, nearest_previous(stamps, at, tolerance)):
        fitting = [i for i, s in enumerate(stamps) if time - tolerance <= s <= time]
        assert index == (fitting[-1] if fitting else -1)


def test_stamps_of_this_century_keep_their_nanoseconds():
    base = 1_795_000_000_000_000_001
    found = nearest_previous([base, base + 1], [base, base + 1, base + 2], 1)
    np.testing.assert_array_equal(found, [0, 1, 1])


def test_unsorted_stamps_are_refused():
    with pytest.raises(ValueError, match='sort'):
        nearest_previous([2, 1], [3], 10)
