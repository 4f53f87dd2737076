"""The figures that results are made of, and the intervals that say how sure they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z95 = 1.959963984540054


def wilson_interval(successes: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Return Wilson's interval of a proportion; (0, 1) without any trial."""
    if not 0 <= successes <= n:
        raise ValueError(f'successes must lie in [0, n], got {successes} of {n}')
    if n == 0:
        return 0.0, 1.0
    share, z2n = successes / n, z * z / n
    middle = (share + z2n / 2) / (1 + z2n)
    half = z * math.sqrt(share * (1 - share) / n + z2n / (4 * n)) / (1 + z2n)
    # Rounding must not push the observed share out of its own interval.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def mean_interval(values: ArrayLike, z: float = Z95) -> tuple[float, float]:
    """Return the normal-theory interval of the mean of ``values`` [N]; (nan, nan) below two."""
    array = np.asarray(values, np.float64)
    if array.size < 2:
        return math.nan, math.nan
    half = z * float(array.std(ddof=1)) / math.sqrt(array.size)
    return float(array.mean()) - half, float(array.mean()) + half


def spl(success: bool, shortest_m: float, driven_m: float) -> float:
    """Return success weighted by path length, in [0, 1] (Anderson et al., 2018)."""
    if not success:
        return 0.0
    return shortest_m / max(shortest_m, driven_m) if shortest_m > 0 else 1.0


def rms_jerk(velocities: ArrayLike, step_s: float) -> NDArray[np.float64]:
    """Return the root mean square jerk [A] of velocities [T, A] driven ``step_s`` s apart.

    The unit is that of the velocity over s²: m/s³ for a linear axis, rad/s³ for yaw.
    """
    array = np.atleast_2d(np.asarray(velocities, np.float64))
    if len(array) < 3:
        return np.zeros(array.shape[1])
    jerk = np.diff(array, n=2, axis=0) / step_s ** 2
    return np.sqrt(np.mean(jerk ** 2, axis=0))


def error_table(
    predicted: ArrayLike, expected: ArrayLike, names: Sequence[str],
    tolerance: float = 0.05, dead_band: float = 0.05, known: NDArray[np.bool_] | None = None,
) -> dict[str, dict[str, float | None]]:
    """Compare velocities [N, A] in SI units, per axis and over all axes ('joint').

    ``within`` is the share of samples off by at most ``tolerance`` (joint: on every axis), and
    ``sign`` the share of the right sign among samples that are expected to move more than
    ``dead_band`` (None where none does). Joint MAE and RMSE are means over the axes' entries.
    Entries that are not ``known`` [N, A], of axes that a robot lacks, do not count; all figures
    of an axis without any are None.
    """
    got, want = np.asarray(predicted, np.float64), np.asarray(expected, np.float64)
    if got.shape != want.shape or got.ndim != 2 or got.shape[1] != len(names):
        raise ValueError(f'expected two arrays [N, {len(names)}], got {got.shape}, {want.shape}')
    if not len(got):
        raise ValueError('no samples to compare')
    known = np.ones(want.shape, np.bool_) if known is None else known
    got, want = np.where(known, got, 0.0), np.where(known, want, 0.0)
    error = np.abs(got - want)
    moving = np.abs(want) > dead_band
    right = np.sign(got) == np.sign(want)
    columns: list[tuple[str, slice]] = [(name, slice(i, i + 1)) for i, name in enumerate(names)]
    table: dict[str, dict[str, float | None]] = {}
    for name, axis in [*columns, ('joint', slice(None))]:
        there = known[:, axis]
        if not there.any():
            table[name] = dict.fromkeys(('mae', 'rmse', 'within', 'sign'))
            continue
        counted, errors = right[:, axis][moving[:, axis]], error[:, axis][there]
        near = error[:, axis] <= tolerance
        table[name] = {
            'mae': float(errors.mean()),
            'rmse': float(np.sqrt((errors ** 2).mean())),
            'within': float(near[there.any(axis=1)].all(axis=1).mean()),
            'sign': float(counted.mean()) if counted.size else None,
        }
    return table


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Return McNemar's exact two-sided p-value of two methods on the same seeds."""
    only_first, only_second = _discordant(first, second)
    n, few = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(few + 1)) / 2 ** n
    return min(1.0, 2 * tail)


def paired_difference(
    first: Sequence[bool], second: Sequence[bool], z: float = Z95,
) -> tuple[float, float, float]:
    """Return the difference of two rates on the same seeds, first - second, and its interval.

    The interval is Bonett and Price's (2012), which keeps its level when few pairs differ.
    """
    only_first, only_second = _discordant(first, second)
    n = len(first)
    if n == 0:
        raise ValueError('no pairs to compare')
    p, q = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = z * math.sqrt((p + q - (p - q) ** 2) / (n + 2))
    return (only_first - only_second) / n, max(-1.0, p - q - half), min(1.0, p - q + half)


def _discordant(first: Sequence[bool], second: Sequence[bool]) -> tuple[int, int]:
    if len(first) != len(second):
        raise ValueError(f'pairs need equal lengths, got {len(first)} and {len(second)}')
    pairs = [(bool(a), bool(b)) for a, b in zip(first, second)]
    return pairs.count((True, False)), pairs.count((False, True))
