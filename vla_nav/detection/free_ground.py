"""Where the floor was seen free, which tells how much of a box's lower edge can be its foot.

The lower edge of a box lies at the depth of the nearest point of what it holds; the rest of a
long thing seen obliquely, such as the side of a box that the robot passes, stands farther away,
and its edge laid out on the ground reaches into the free passage. One picture cannot tell. But on
its way to the passage the robot has looked along that side, and has seen the floor up to it. So
points of a wide edge that lie where the floor was seen free are left out, unless that would leave
nothing: then something has moved there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_nav.control.reckoning import into, out_of
from vla_nav.detection.ground import Ground, GroundPoints

# Farther away a pixel of a box's edge is worth too much of the floor.
_REACH_M = 1.8
_CELL_M = 0.05
# A field of this size round the place where it was begun; beyond, all begins anew.
_HALF_M = 10.0
# Boxes are taken to be this much larger (share of the picture's height): edges are not exact.
_MARGIN = 0.01
# Narrower things have no depth to speak of, and may walk.
_WIDE_M = 0.5
# The floor must be free also this far behind a point, or the point is the near side of a thing.
_BEHIND_M = 0.12

Array = NDArray[np.float64]
Pose = tuple[float, float, float]


class FreeGround:
    """The floor around the robot in the frame of odometry, and when it was seen free."""

    def __init__(self, times: int = 3, lasts_s: float = 8.0) -> None:
        """Know of nothing. A place is free once it was so ``times``, for ``lasts_s`` seconds."""
        self._times, self._lasts_ns = times, round(lasts_s * 1e9)
        side = np.arange(-_REACH_M, _REACH_M, _CELL_M)
        self._around = np.stack(np.meshgrid(side, side, indexing='ij'), -1).reshape(-1, 2)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        size = round(2 * _HALF_M / _CELL_M)
        self._seen = np.zeros((size, size), np.int64)
        self._seen_ns = np.zeros((size, size), np.int64)
        self._origin: Array | None = None

    def sift(self, found: GroundPoints, boxes: ArrayLike, ground: Ground, pose: Pose,
             stamp_ns: int) -> GroundPoints:
        """Return what of ``found`` can be a foot, and learn from the picture of these boxes.

        ``boxes`` [N, 4] are in pixels; ``pose`` is (x, y, yaw) by odometry.
        """
        place = np.array(pose[:2])
        if self._origin is None or np.abs(place - self._origin).max() > _HALF_M - _REACH_M - 1.0:
            self.clear()
            self._origin = place
        keeps = np.ones(len(found), np.bool_)
        refuted = self._refuted(found.points, ground, pose, stamp_ns)
        for box in np.unique(found.boxes):
            mine = found.boxes == box
            ends = found.points[mine][[0, -1]]
            if np.linalg.norm(ends[1] - ends[0]) > _WIDE_M and not refuted[mine].all():
                keeps[mine] = ~refuted[mine]
        self._learn(np.asarray(boxes, np.float64).reshape(-1, 4), ground, pose, stamp_ns)
        return replace(found, points=found.points[keeps], boxes=found.boxes[keeps],
                       cut=found.cut[keeps])

    def _refuted(self, points: Array, ground: Ground, pose: Pose,
                 stamp_ns: int) -> NDArray[np.bool_]:
        ways = points - ground.stands_at
        lengths = np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-9)
        behind = points + _BEHIND_M * ways / lengths
        return self._free(points, pose, stamp_ns) & self._free(behind, pose, stamp_ns)

    def _free(self, points: Array, pose: Pose, stamp_ns: int) -> NDArray[np.bool_]:
        cells, inside = self._cells(out_of(points, pose))
        free = ((self._seen[cells] >= self._times)
                & (np.abs(stamp_ns - self._seen_ns[cells]) <= self._lasts_ns))
        return np.asarray(free & inside)

    def _learn(self, boxes: Array, ground: Ground, pose: Pose, stamp_ns: int) -> None:
        near = self._around + pose[:2]
        pixels = ground.pixels(into(near, pose))
        size = np.array([ground.lens.width, ground.lens.height])
        margin = _MARGIN * ground.lens.height
        shown = ((pixels >= 0) & (pixels < size)).all(axis=1)  # false for NaN
        x, y = pixels[shown].T[..., None]
        left, top, right, bottom = boxes.T
        hidden = ((x >= left - margin) & (x <= right + margin)
                  & (y >= top - margin) & (y <= bottom + margin)).any(axis=1)
        cells, inside = self._cells(near[shown])
        free = np.unique(np.stack(cells, 1)[inside & ~hidden], axis=0)
        at = free[:, 0], free[:, 1]
        old = stamp_ns - self._seen_ns[at] > self._lasts_ns
        self._seen[at] = np.where(old, 1, self._seen[at] + 1)
        self._seen_ns[at] = stamp_ns

    def _cells(self, points: Array) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]],
                                             NDArray[np.bool_]]:
        assert self._origin is not None
        size = len(self._seen)
        index = np.floor((points - self._origin + _HALF_M) / _CELL_M)
        inside = ((index >= 0) & (index < size)).all(axis=1)
        whole = np.where(inside[:, None], index, 0).astype(np.int64)
        return (whole[:, 0], whole[:, 1]), inside
