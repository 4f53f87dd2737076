"""Intervals by resampling whole episodes: pictures of one drive are no independent samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

_RESAMPLES = 2000
# Numbers that are drawn at a time: 8 MB, twice.
_BLOCK = 2 ** 20


class Interval(NamedTuple):
    """A value and its 95 % bounds; no bounds below two episodes."""

    value: float
    low: float | None
    high: float | None


def bounds_text(interval: Mapping[str, Any]) -> str:
    """Return the bounds of an :class:`Interval` that was read from JSON as text; '' for none."""
    if interval['low'] is None:
        return ''
    return f'{interval["low"]:.4f} to {interval["high"]:.4f}'


def mean_error(sums: ArrayLike, counts: ArrayLike, seed: int = 0) -> Interval:
    """Return the mean of errors given as ``sums`` [E] over ``counts`` [E] values an episode.

    Percentile bootstrap over the episodes (Efron and Tibshirani 1993, chapter 13).
    """
    total, n = np.asarray(sums, np.float64), np.asarray(counts, np.float64)
    value = float(total.sum() / n.sum())
    if len(total) < 2:
        return Interval(value, None, None)
    means = [drawn @ total / (drawn @ n) for drawn in _draws(len(total), seed)]
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Interval(value, float(low), float(high))


def paired_difference(first: ArrayLike, second: ArrayLike, counts: ArrayLike,
                      seed: int = 0) -> Interval:
    """Return first - second of two mean errors on the same episodes, drawn together."""
    return mean_error(np.asarray(first, np.float64) - np.asarray(second, np.float64), counts, seed)


def _draws(episodes: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each episode is drawn, [resamples, E] in blocks that fit into memory.

    They are those of one draw of all resamples.
    """
    rng, share = np.random.default_rng(seed), np.full(episodes, 1 / episodes)
    block = max(1, _BLOCK // episodes)
    for first in range(0, _RESAMPLES, block):
        yield rng.multinomial(episodes, share, min(block, _RESAMPLES - first)).astype(float)
