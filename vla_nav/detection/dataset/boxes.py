"""Boxes of a simulated picture: the full visible extent of each thing, within stated limits."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from vla_nav.detection.dataset.silhouette import View
from vla_nav.detection.dataset.things import labelled_things
from vla_nav.simulation.world import World


@dataclass(frozen=True)
class Limits:
    """What is too small or too hidden to be labelled.

    ``side_px`` is the least width and height of a box, in pixels of the picture as the detector
    takes it. ``visible`` is the least share of what the thing covers of the picture that nothing
    hides. Of what the picture's edge cuts off, at least ``inside`` of the thing must be within,
    or it must fill ``fills`` of the picture: a box before the wheels counts.
    """

    side_px: float = 6.0
    visible: float = 0.25
    inside: float = 0.15
    fills: float = 0.01

    def to_dict(self) -> dict[str, float]:
        """Return the form that the card and the JSON hold."""
        return asdict(self)


@dataclass(frozen=True)
class Box:
    """A labelled thing: left, top, right, bottom in pixels, right and bottom exclusive."""

    class_id: int
    left: int
    top: int
    right: int
    bottom: int

    def line(self, width: int, height: int) -> str:
        """Return its line in a YOLO label file: class, centre and size as shares."""
        x, y = (self.left + self.right) / 2 / width, (self.top + self.bottom) / 2 / height
        w, h = (self.right - self.left) / width, (self.bottom - self.top) / height
        return f'{self.class_id} {x:.6f} {y:.6f} {w:.6f} {h:.6f}'


def visible_boxes(world: World, size: int, limits: Limits) -> list[Box]:
    """Return the boxes in what ``world`` renders, for a detector that takes ``size`` pixels."""
    shown = world.segmentation()
    height, width = shown.shape
    least = limits.side_px * max(width, height) / size
    view, boxes = View(world), []
    for thing in labelled_things(world):
        mask = np.isin(shown, thing.geoms)
        box = _extent(mask, thing.class_id)
        if box is None or box.right - box.left < least or box.bottom - box.top < least:
            continue
        alone, seen = view.silhouette(thing.geoms), int(mask.sum())
        enough = alone.share_inside >= limits.inside or seen >= limits.fills * mask.size
        if enough and seen >= limits.visible * alone.inside:
            boxes.append(box)
    return boxes


def _extent(mask: NDArray[np.bool_], class_id: int) -> Box | None:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    return Box(class_id, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
