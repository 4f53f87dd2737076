"""Rows of a recording at given times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest(stamps: NDArray[np.int64], wanted: NDArray[np.integer] | NDArray[np.floating],
            tolerance: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the rows of increasing ``stamps`` nearest to ``wanted``, and which are near enough.

    Both results have ``wanted``'s shape; of two equally near rows the earlier is taken.
    """
    after = np.clip(np.searchsorted(stamps, wanted), 1, max(len(stamps) - 1, 1))
    after = np.minimum(after, len(stamps) - 1)
    before = np.maximum(after - 1, 0)
    rows = np.where(wanted - stamps[before] <= stamps[after] - wanted, before, after)
    return rows, np.abs(stamps[rows] - wanted) <= tolerance
