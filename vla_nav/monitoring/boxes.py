"""Detections as boxes: out of a detector, out of its messages, and as text between the two.

The text (``detector/boxes``) says what ``vision_msgs/Detection2DArray`` does, for machines without
that package; it is no part of what can be installed from PyPI.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from vla_nav.detection.contracts import Detections


class Box(NamedTuple):
    """A box in a picture: its corners in pixels, and what it is."""

    left: float
    top: float
    right: float
    bottom: float
    label: str


def labelled(found: Detections, classes: Sequence[str], scale: float = 1.0) -> list[Box]:
    """Return what a detector found, with names and scores, in a picture scaled by ``scale``."""
    return [Box(left, top, right, bottom, f'{classes[number]} {score:.2f}')
            for (left, top, right, bottom), number, score in zip(
                (found.boxes * scale).tolist(), found.classes.tolist(), found.scores.tolist())]


def boxes_text(found: Detections, classes: Sequence[str], stamp_ns: int) -> str:
    """Return what was found in the picture of ``stamp_ns`` as JSON, in that picture's pixels."""
    return json.dumps({'stamp_ns': stamp_ns, 'boxes': [
        {'class': classes[number], 'score': round(score, 3),
         'box': [round(side, 1) for side in box]}
        for box, number, score in zip(found.boxes.tolist(), found.classes.tolist(),
                                      found.scores.tolist())]}, ensure_ascii=False)


def boxes_in(text: str) -> list[Box]:
    """Return the boxes of :func:`boxes_text`; raise ValueError for any other text."""
    try:
        boxes = []
        for one in json.loads(text)['boxes']:
            left, top, right, bottom = map(float, one['box'])
            boxes.append(Box(left, top, right, bottom, f'{one["class"]} {one["score"]:.2f}'))
        return boxes
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'boxes: "{text[:60]}" is not what a detector publishes on '
                         f'detector/boxes: {error!r}') from error


def boxes_of(detections: Any) -> list[Box]:
    """Return the boxes of a ``vision_msgs/Detection2DArray``, each with its best hypothesis."""
    return [_box(one) for one in detections.detections]


def _box(detection: Any) -> Box:
    centre, bbox = detection.bbox.center.position, detection.bbox
    best = max((result.hypothesis for result in detection.results),
               key=lambda hypothesis: hypothesis.score, default=None)
    label = f'{best.class_id} {best.score:.2f}' if best is not None else ''
    half_x, half_y = bbox.size_x / 2, bbox.size_y / 2
    return Box(centre.x - half_x, centre.y - half_y, centre.x + half_x, centre.y + half_y, label)
