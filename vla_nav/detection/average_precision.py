"""Mean average precision as COCO counts it: 101 points of recall, IoU of 0.50 to 0.95.

Lin et al., "Microsoft COCO: common objects in context", 2014, and its evaluation code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.detection.contracts import Detections

THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_RESAMPLES = 200
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Matched:
    """What was found in one picture beside what is in it.

    ``correct`` [N, 10]: whether a detection is right at each of ``THRESHOLDS``; ``scores`` and
    ``classes`` [N] are the detections', ``present`` [M] the classes of the labelled boxes.
    """

    correct: NDArray[np.bool_]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    present: NDArray[np.int64]


def overlaps(first: NDArray[np.floating], second: NDArray[np.floating]) -> Floats:
    """Return intersection over union [N, M] of boxes [N, 4] and [M, 4] (left, top, right, bottom).

    Two boxes without area do not overlap.
    """
    a, b = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.prod(np.maximum(sides, 0), axis=-1)
    union = np.prod(a[..., 2:] - a[..., :2], -1) + np.prod(b[..., 2:] - b[..., :2], -1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def match(found: Detections, boxes: NDArray[np.floating], classes: NDArray[np.int64]) -> Matched:
    """Match detections of one picture with its labelled ``boxes`` [M, 4] and ``classes`` [M].

    At each threshold the best detection comes first and takes the labelled box of its class that
    it covers best; what is left over is wrong.
    """
    order = np.argsort(-found.scores, kind='stable')
    same = found.classes[order][:, None] == classes[None]
    covered = np.where(same, overlaps(found.boxes[order], boxes), 0.0)
    correct = np.zeros((len(order), len(THRESHOLDS)), bool)
    taken = np.zeros((len(classes), len(THRESHOLDS)), bool)
    columns = np.arange(len(THRESHOLDS))
    for row in np.flatnonzero((covered >= THRESHOLDS[0]).any(axis=1)):
        free = np.where(taken, 0.0, covered[row][:, None])
        best = free.argmax(axis=0)
        correct[row] = free[best, columns] >= THRESHOLDS
        taken[best, columns] |= correct[row]
    return Matched(correct, found.scores[order], found.classes[order], classes)


def average_precision(correct: NDArray[np.floating] | NDArray[np.bool_], instances: float,
                      weights: NDArray[np.floating] | None = None) -> Floats:
    """Return the AP [T] of one class from ``correct`` [N, T], best detection first.

    ``instances`` is how many there were to find; with ``weights`` [N] a detection counts that
    often. None found is 0.
    """
    if not len(correct) or instances <= 0:
        return np.zeros(correct.shape[1])
    count = np.ones(len(correct)) if weights is None else weights
    right = np.cumsum(correct * count[:, None], axis=0)
    shown = np.cumsum(count)[:, None]
    recall = right / instances
    precision = np.divide(right, shown, out=np.zeros_like(right), where=shown > 0)
    # The best precision at this recall or above; beyond the last recall there is none.
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    result = np.empty(correct.shape[1])
    for t in range(correct.shape[1]):
        at = np.concatenate(([0.0], recall[:, t], [recall[-1, t], 1.0]))
        values = np.concatenate(([max(1.0, envelope[0, t])], envelope[:, t], [0.0, 0.0]))
        points = np.interp(_RECALLS, at, values)
        result[t] = np.sum((points[1:] + points[:-1]) / 2) * (_RECALLS[1] - _RECALLS[0])
    return result


def figures(matched: Sequence[Matched], names: Sequence[str], score_threshold: float
            ) -> dict[str, Any]:
    """Return mAP50, mAP50-95, precision and recall, over all and by class.

    Precision and recall are at IoU 0.5 of what scores ``score_threshold`` and more: what drives.
    The means are over the classes that are present. A mean is None where no class is.
    """
    table = _Table(matched, len(names))
    rows: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(names):
        correct, scores, _ = table.of(number)
        instances = int(table.present[:, number].sum())
        kept = correct[scores >= score_threshold, 0]
        ap = average_precision(correct, instances)
        rows[name] = {
            'instances': instances, 'found': len(kept), 'right': int(kept.sum()),
            'precision': _ratio(kept.sum(), len(kept)), 'recall': _ratio(kept.sum(), instances),
            'ap50': float(ap[0]) if instances else None,
            'ap50_95': float(ap.mean()) if instances else None}
    seen = [row for row in rows.values() if row['instances']]
    right, found, instances = (sum(row[key] for row in rows.values())
                               for key in ('right', 'found', 'instances'))
    return {'pictures': len(matched), 'instances': instances,
            'map50': _mean([row['ap50'] for row in seen]),
            'map50_95': _mean([row['ap50_95'] for row in seen]),
            'precision': _ratio(right, found), 'recall': _ratio(right, instances),
            'score_threshold': score_threshold, 'classes': rows}


def map50_draws(matched: Sequence[Matched], classes: int, seed: int = 0) -> Floats:
    """Return the mAP50 of pictures drawn again with replacement, 200 times.

    The same seed draws the same pictures, so that two detectors' draws can be subtracted
    (percentile bootstrap, Efron and Tibshirani 1993, chapter 13).
    """
    table, rng = _Table(matched, classes), np.random.default_rng(seed)
    parts = [table.of(number) for number in range(classes)]
    draws = np.zeros(_RESAMPLES)
    for draw in range(_RESAMPLES):
        often = rng.multinomial(len(matched), np.full(len(matched), 1 / len(matched)))
        instances = often @ table.present
        ap = [average_precision(correct[:, :1], float(instances[number]),
                                often[pictures].astype(float))[0]
              for number, (correct, _, pictures) in enumerate(parts) if instances[number]]
        draws[draw] = float(np.mean(ap)) if ap else 0.0
    return draws


class _Table:
    """All detections, best first, with their pictures; ``present`` [P, C] counts the labelled."""

    def __init__(self, matched: Sequence[Matched], classes: int) -> None:
        empty = [Matched(np.zeros((0, len(THRESHOLDS)), bool), np.zeros(0, np.float32),
                         np.zeros(0, np.int64), np.zeros(0, np.int64))]
        parts = [*matched] or empty
        scores = np.concatenate([one.scores for one in parts])
        order = np.argsort(-scores, kind='stable')
        self._scores = scores[order]
        self._correct = np.concatenate([one.correct for one in parts])[order]
        self._classes = np.concatenate([one.classes for one in parts])[order]
        counts = [len(one.scores) for one in parts]
        self._pictures = np.repeat(np.arange(len(parts)), counts)[order]
        self.present = np.array([np.bincount(one.present, minlength=classes) for one in parts])

    def of(self, number: int) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.int64]]:
        """Return correctness [N, 10], scores [N] and pictures [N] of one class's detections."""
        mine = self._classes == number
        return self._correct[mine], self._scores[mine], self._pictures[mine]


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
