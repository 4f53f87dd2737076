"""What a graph may hold."""

from __future__ import annotations

import numpy as np
import pytest

from vla_nav.runtimes.graph import is_broken

_INF = np.inf


@pytest.mark.parametrize(('values', 'broken'), [
    ([1.0, -2.0], False), ([], False), ([0.0, -_INF], False), ([-_INF], False),
    ([0.5, -_INF], True), ([0.0, _INF], True), ([0.0, np.nan], True), ([np.nan, -_INF], True)])
def test_only_a_mask_may_be_infinite(values, broken):
    assert is_broken(np.array(values, np.float32)) == broken
