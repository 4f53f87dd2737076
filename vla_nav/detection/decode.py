"""From the network's numbers to boxes: threshold, non-maximum suppression by class, and feet."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_nav.detection.average_precision import overlaps
from vla_nav.detection.contracts import Detections
from vla_nav.detection.letterbox import Letterbox

# The limits of ultralytics.
MAX_CANDIDATES = 30_000
MAX_DETECTIONS = 300
# A box that gave way to a better one says where the thing's foot may be if it scored this share.
_FOOT_SHARE = 0.5


def decode(output: NDArray[np.float32], place: Letterbox, score_threshold: float,
           iou_threshold: float) -> Detections:
    """Return what float32 [4 + C, N] says is in the picture, in its pixels, best first.

    Rows of ``output``: centre x and y, width, height (pixels of the letterboxed input), C class
    scores. Each column counts for its best class only. A box that lies in the grey margin alone
    is no detection.
    """
    best = output[4:].max(axis=0)
    columns = np.flatnonzero(best > score_threshold)
    candidates = output[:, columns]
    half = candidates[2:4] / 2
    boxes: Any = np.concatenate((candidates[:2] - half, candidates[:2] + half)).T
    scores, classes = best[columns], candidates[4:].argmax(axis=0)
    kept = suppress(boxes, scores, classes, iou_threshold)
    standing = boxes[kept]
    standing[:, 3] = lowest(boxes, scores, classes, kept, iou_threshold)
    boxes, feet = place.undo(boxes[kept]), place.undo(standing)[:, 3]
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    kept = kept[inside]
    return Detections(boxes[inside], scores[kept], classes[kept], feet[inside])


def suppress(boxes: NDArray[np.float32], scores: NDArray[np.float32],
             classes: NDArray[np.int64], iou_threshold: float) -> NDArray[np.int64]:
    """Return the numbers of the boxes [N, 4] to keep, best first, at most 300.

    One is left out where it overlaps a kept one of its class by more than ``iou_threshold``
    (intersection over union). Scores are positive.
    """
    if not len(boxes):
        return np.zeros(0, np.int64)
    # Classes side by side, where boxes of two never meet. OpenCV computes in double precision,
    # and in half the time of NumPy for 5 boxes as for 300.
    span = float(boxes[:, [0, 2]].max() - boxes[:, [0, 2]].min()) + 1
    rectangles = np.hstack((boxes[:, :2], boxes[:, 2:] - boxes[:, :2])).astype(np.float64)
    rectangles[:, 0] += classes * span
    suppress_boxes: Any = cv2.dnn.NMSBoxes  # whose stub knows lists only
    kept = suppress_boxes(rectangles, scores, 0.0, iou_threshold, top_k=MAX_CANDIDATES)
    # A column before OpenCV 4.5.4, and a tuple where nothing is left.
    return np.asarray(kept, np.int64).reshape(-1)[:MAX_DETECTIONS]


def lowest(boxes: NDArray[np.float32], scores: NDArray[np.float32], classes: NDArray[np.int64],
           kept: NDArray[np.int64], iou_threshold: float) -> NDArray[np.float32]:
    """Return the lowest lower edge [K] of each kept box and of those [N, 4] that gave way to it.

    The best box of a thing that hardly differs from the floor, or whose near corner reaches below
    its face, often ends too high, and the thing would seem farther away than it is. Of what
    overlaps it enough to have been left out, a box at least half as sure counts for the foot.
    """
    feet = boxes[kept, 3].copy()
    for number, best in enumerate(kept):  # one by one, so that 30,000 candidates take no gigabyte
        alike = ((overlaps(boxes[[best]], boxes)[0] > iou_threshold)
                 & (classes == classes[best]) & (scores >= _FOOT_SHARE * scores[best]))
        feet[number] = boxes[alike, 3].max(initial=feet[number])
    return feet
