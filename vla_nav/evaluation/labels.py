"""Predictions against what was driven at the same time: errors along chunks, and intervals.

A label is NaN along an axis that the robot lacks, and does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.episodes.timing import nearest
from vla_nav.evaluation.bootstrap import mean_error, paired_difference


class ChunkErrors:
    """Mean absolute errors of each row of chunks, against the label of the row's time.

    Only sums are kept: a recording of hours has more errors than pictures.
    """

    def __init__(self, rows: int) -> None:
        """Begin with none of ``rows`` rows."""
        self._sums: NDArray[np.float64] = np.zeros(rows)
        self._counts: NDArray[np.int64] = np.zeros(rows, np.int64)

    def add(self, chunks: NDArray[Any], wanted: NDArray[np.float32], stamps: NDArray[np.int64],
            step_ns: int) -> None:
        """Add chunks [T, K, A] of the pictures with the labels ``wanted`` [T, A]."""
        gap = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
        for row in range(len(self._sums)):
            due, there = nearest(stamps, stamps + row * step_ns, 0.55 * max(gap, step_ns))
            labels = wanted[due[there]]
            found = np.abs(chunks[there, row] - labels)[~np.isnan(labels)]
            self._sums[row] += found.sum(dtype=np.float64)
            self._counts[row] += found.size

    def means(self) -> list[float]:
        """Return the mean of each row that had a label."""
        return [float(total / count) for total, count in zip(self._sums, self._counts) if count]


def intervals(predicted: Mapping[str, Sequence[NDArray[Any]]],
              labels: Sequence[NDArray[np.float32]],
              groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return joint mean absolute errors with intervals: whole, against each other, by group.

    ``groups`` are ways to sort the episodes, each with the group of every episode.
    """
    counts = np.array([np.isfinite(label).sum() for label in labels])
    # By the labels: a prediction that is no number must not count as one without an error.
    sums = {name: np.array([np.abs(got - label)[np.isfinite(label)].sum()
                            for got, label in zip(rows, labels)])
            for name, rows in predicted.items()}

    def errors(those: Any = slice(None)) -> dict[str, Any]:
        return {name: mean_error(values[those], counts[those])._asdict()
                for name, values in sums.items()}

    def sorted_by(names: Sequence[str]) -> dict[str, Any]:
        found = {group: np.array([name == group for name in names])
                 for group in sorted({*names})}
        return {group: {'episodes': int(those.sum()), **errors(those)}
                for group, those in found.items()}
    return {
        'mae': errors(),
        'policy_minus': {name: paired_difference(sums['policy'], values, counts)._asdict()
                         for name, values in sums.items() if name != 'policy'},
        **{kind: sorted_by(names) for kind, names in groups.items()},
    }


def earlier(wanted: NDArray[np.float32], stamps: NDArray[np.int64],
            step_ns: int) -> NDArray[np.float32]:
    """Return what was driven a step before each picture; standstill before the first."""
    # Half a step leaves room for a camera's jitter.
    rows = np.searchsorted(stamps, stamps - step_ns // 2, 'right') - 1
    return np.where(rows[:, None] < 0, 0, wanted[np.maximum(rows, 0)]).astype(np.float32)
