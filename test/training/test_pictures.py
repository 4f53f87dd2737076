"""Pictures come back as they were, each by itself."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.training.pictures import Pictures, save_pictures


@given(st.integers(0, 2 ** 32 - 1), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))
def test_nothing_is_lost(tmp_path_factory, seed, count, height, width):
    name = tmp_path_factory.mktemp('shard') / '0000000'
    made = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)
    save_pictures(name, list(made))
    there = Pictures(name)
    assert len(there) == count
    for index in reversed(range(count)):
        np.testing.assert_array_equal(there[index], made[index])
