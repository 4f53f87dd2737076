"""Detections as boxes."""

from __future__ import annotations

from typing import Any, NamedTuple


class Box(NamedTuple):
    """A box in a picture: its corners in pixels, and what it is."""

    left: float
    top: float
    right: float
    bottom: float
    label: str


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
