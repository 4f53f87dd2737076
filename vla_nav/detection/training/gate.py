"""The gate that an exported detector must pass: the same boxes, the same mean precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.detection.average_precision import Matched, figures, match, overlaps
from vla_nav.detection.contracts import Detections, Detector
from vla_nav.detection.dataset.yolo import label_file, read_labels
from vla_nav.detection.picture_file import read_picture

# What a trained bundle starts with. Curves of precision need the unlikely boxes too.
SCORE_THRESHOLD, IOU_THRESHOLD, CURVE_SCORE = 0.25, 0.7, 0.001
# Of a network that is sure of nothing yet, the best guesses in each picture are compared.
_GUESSES = 5
Note = Callable[[], None]


@dataclass(frozen=True)
class Bounds:
    """How far an export may be from its source.

    At least ``share`` of the source's boxes must be in the export, and of the export's in the
    source, one for one: with the same class, an IoU of ``iou`` or more and a score that differs by
    ``score`` or less. One box may always differ; mAP50 may fall by ``map50``.
    """

    iou: float
    score: float
    share: float
    map50: float


BOUNDS = {
    # Single boxes may fall differently where two that overlap have nearly the same score.
    'fp32': Bounds(iou=0.99, score=1e-3, share=0.995, map50=0.001),
    'fp16': Bounds(iou=0.95, score=1e-2, share=0.98, map50=0.005),
    'int8': Bounds(iou=0.75, score=0.2, share=0.80, map50=0.01),
}


@dataclass(frozen=True)
class Looked:
    """What a detector found in some pictures, and how right it is."""

    found: tuple[Detections, ...]
    matched: tuple[Matched, ...]


def look(detector: Detector, pictures: Sequence[Path], classes: int,
         note: Note = lambda: None) -> Looked:
    """Run a detector, whose threshold is CURVE_SCORE, over labelled pictures."""
    found: list[Detections] = []
    matched: list[Matched] = []
    for picture in pictures:
        image = read_picture(picture)
        found.append(detector.detect(image))
        rows = read_labels(label_file(picture), classes)
        matched.append(match(found[-1], _corners(rows, image.shape), rows[:, 0].astype(np.int64)))
        note()
    return Looked(tuple(found), tuple(matched))


def compare(source: Looked, export: Looked, classes: Sequence[str], score_threshold: float,
            bounds: Bounds) -> dict[str, Any]:
    """Return how far an export is from its source, and its ``figures``."""
    sure = any((one.scores >= score_threshold).any() for one in source.found)

    def kept(found: Detections) -> NDArray[np.bool_]:
        return found.scores >= score_threshold if sure else np.arange(len(found)) < _GUESSES

    counts = np.zeros(4, np.int64)
    for before, after in zip(source.found, export.found):
        # Those below the threshold too: a score may cross it and still be nearly the same.
        there, here = agreement(before, after, bounds)
        ours, theirs = kept(before), kept(after)
        counts += ours.sum(), (there & ours).sum(), theirs.sum(), (here & theirs).sum()
    boxes, same, others, others_same = counts.tolist()
    accuracy = figures(export.matched, classes, score_threshold)
    reference = figures(source.matched, classes, score_threshold)
    return {'pictures': len(source.found), 'boxes': boxes, 'same': same,
            'export_boxes': others, 'export_same': others_same,
            'share': min(same / boxes, others_same / others if others else 1.0) if boxes else None,
            'iou': bounds.iou, 'score': bounds.score,
            'map50_source': reference['map50'], 'figures': accuracy,
            'map50_change': (accuracy['map50'] or 0.0) - (reference['map50'] or 0.0)}


def agreement(source: Detections, export: Detections, bounds: Bounds
              ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which boxes of ``source`` [N] ``export`` has too, and which of ``export`` [M] those.

    Each box counts for one of the other side: the best score comes first and takes the box that it
    covers best.
    """
    alike = ((source.classes[:, None] == export.classes)
             & (np.abs(source.scores[:, None] - export.scores) <= bounds.score))
    covered = np.where(alike, overlaps(source.boxes, export.boxes), -1.0)
    there, here = np.zeros(len(source), bool), np.zeros(len(export), bool)
    if not len(export):
        return there, here
    for row in np.argsort(-source.scores, kind='stable'):
        best = np.where(here, -1.0, covered[row]).argmax()
        if not here[best] and covered[row, best] >= bounds.iou:
            there[row] = here[best] = True
    return there, here


def problems(parity: dict[str, Any], bounds: Bounds) -> list[str]:
    """Return which bounds an export exceeds."""
    if not parity['boxes']:
        return [f'no box scores above {CURVE_SCORE} in any of them; train it for longer']
    found = []
    for key, whose in (('', 'network'), ('export_', 'graph')):
        boxes, same = parity[f'{key}boxes'], parity[f'{key}same']
        # A share of few boxes would allow none to differ.
        if same < bounds.share * boxes and boxes - same > 1:
            found.append(f'{same} of {boxes} boxes of the {whose} are the same (IoU '
                         f'{bounds.iou}, score ± {bounds.score}); the bound is {bounds.share:.1%}')
    if parity['map50_change'] < -bounds.map50:
        found.append(f'mAP50 changes by {parity["map50_change"]:+.4f}; the bound is '
                     f'-{bounds.map50}')
    return found


def _corners(rows: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the labelled boxes [M, 4] in pixels from centres and sizes as shares."""
    centres, halves = rows[:, 1:3], rows[:, 3:] / 2
    scale = np.array([shape[1], shape[0]] * 2)
    return np.concatenate((centres - halves, centres + halves), axis=1) * scale
