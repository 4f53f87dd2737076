"""Bring samples of different topics together by their stamps."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def nearest_previous(stamps_ns: ArrayLike, at_ns: ArrayLike,
                     tolerance_ns: int) -> NDArray[np.int64]:
    """Return for each time in ``at_ns`` [N] the index of the newest sample not after it.

    ``stamps_ns`` [M] are the samples' stamps, non-decreasing. Where there is no such sample, or
    it is more than ``tolerance_ns`` older, the index is -1: what is too old is missing. Samples
    from the future are never used, since a live robot does not have them either.
    """
    stamps, wanted = np.asarray(stamps_ns, np.int64), np.asarray(at_ns, np.int64)
    if stamps.ndim != 1 or wanted.ndim != 1:
        raise ValueError(f'stamps must be [M] and [N], got {stamps.shape} and {wanted.shape}')
    if np.any(np.diff(stamps) < 0):
        raise ValueError('stamps must not decrease: sort the samples by stamp first')
    if stamps.size == 0:
        return np.full(wanted.shape, -1, np.int64)
    index = np.searchsorted(stamps, wanted, side='right').astype(np.int64) - 1
    age = wanted - stamps[np.maximum(index, 0)]
    index[(index < 0) | (age > tolerance_ns)] = -1
    return index
