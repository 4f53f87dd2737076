"""The robot's own body in its camera's picture, which hides the ground just before it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_nav.detection.ground import Ground, GroundPoints
from vla_nav.detection.lens import Lens

Array = NDArray[np.float64]

# A foot seen this share of its distance behind what the body hides may be hidden too.
_INEXACT = 0.1


@dataclass(frozen=True)
class Body:
    """A cylinder on the ground about the base's centre, m."""

    radius: float
    height: float

    def hides(self, points: Array, camera: Array) -> NDArray[np.bool_]:
        """Tell which points [N, 2] of the ground a camera at x, y, z does not see for it."""
        # Of the line from a point to the camera, the part that is as low as the body.
        low = min(self.height / camera[2], 1.0) * (camera[:2] - points)
        nearest = -np.sum(points * low, axis=1) / np.maximum(np.sum(low ** 2, axis=1), 1e-12)
        closest = points + np.clip(nearest, 0.0, 1.0)[:, None] * low
        return np.asarray(np.hypot(*closest.T) < self.radius)


class GroundBeyond(Ground):
    """The ground as a camera sees it that looks over the robot's body."""

    def __init__(self, lens: Lens, mount: Array, body: Body) -> None:
        """Raise ValueError for a camera that is not above the ground."""
        super().__init__(lens, mount)
        self._body, self._camera = body, mount[:3, 3]

    def place(self, boxes: ArrayLike) -> GroundPoints:
        """Return where boxes [N, 4] stand; what the body may hide the foot of counts as cut.

        That is the whole of a box: its lower edge may be as low as the body lets it be seen.
        """
        found = super().place(boxes)
        under = self._camera[:2]
        hidden = self._body.hides(under + (1 - _INEXACT) * (found.points - under), self._camera)
        return replace(found, cut=found.cut | np.isin(found.boxes, found.boxes[hidden]))

    def shows(self, points: ArrayLike, margin: float = 0.0) -> NDArray[np.bool_]:
        """Tell which points [N, 2] are in the picture and not behind the body."""
        flat = np.asarray(points, np.float64).reshape(-1, 2)
        return super().shows(flat, margin) & ~self._body.hides(flat, self._camera)
