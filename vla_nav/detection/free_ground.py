"""Where the floor was seen free, which tells how much of a box's lower edge can be its foot.

The lower edge of a box lies at the depth of the nearest point of what it holds; the rest of a
long thing seen obliquely, such as the side of a box that the robot passes, stands farther away,
and its edge laid out on the ground reaches into the free passage. One picture cannot tell. But on
its way to the passage the robot has looked along that side, and has seen the floor up to it. In
its column of the picture, the thing stands where the edge is or farther away; so points of a wide
edge that lie where the floor was seen free are moved away from the camera to where that ends.
Where that would move all of them, the edge stays: then something has moved there. What the robot
could not see that way, because a box is no outline, the inner end of an edge beside its way, is
left out: see :func:`_outer`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_nav.control.reckoning import into, out_of
from vla_nav.detection.ground import CUT_SHARE, Ground, GroundPoints

# Farther away a pixel of a box's edge is worth too much of the floor.
_REACH_M = 1.8
_CELL_M = 0.05
# A field of this size round the place where it was begun; beyond, all begins anew.
_HALF_M = 10.0
# Boxes are taken to be this much larger (share of the picture's height): edges are not exact.
_MARGIN = 0.01
# Narrower things, if they are whole in the picture, have no depth to speak of, and may walk.
_WIDE_M = 0.3
# Where the free floor ends so close behind a point, the point is the near side of a thing.
_CLOSE_M = 0.12
# So far behind a lower edge things reach.
_DEEPEST_M = 1.5
# Of an edge beside the robot's way, the inner end is that of a side so deep, as a rule.
_DEPTH_M = 0.7
# An edge that comes so near to the way counts as one across it.
_ACROSS_M = 0.05

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
        """Return ``found`` with its points moved back, and learn from the picture of these boxes.

        ``boxes`` [N, 4] are in pixels; ``pose`` is (x, y, yaw) by odometry.
        """
        place = np.array(pose[:2])
        if self._origin is None or np.abs(place - self._origin).max() > _HALF_M - _REACH_M - 1.0:
            self.clear()
            self._origin = place
        edges = np.asarray(boxes, np.float64).reshape(-1, 4)
        side = CUT_SHARE * ground.lens.width
        cut = (edges[:, 0] <= side) | (edges[:, 2] >= ground.lens.width - side)
        points, keeps = found.points.copy(), np.ones(len(found), np.bool_)
        behind, moved = self._behind(points, ground.stands_at, pose, stamp_ns)
        for box in np.unique(found.boxes):
            mine = found.boxes == box
            first, last = found.points[mine][[0, -1]]
            wide = cut[box] or np.hypot(*(last - first)) > _WIDE_M
            if not wide:
                continue
            if not moved[mine].all():
                points[mine] = behind[mine]
            keeps[mine] = _outer(found.points[mine] - ground.stands_at)
        self._learn(edges, ground, pose, stamp_ns)
        return replace(found, points=points[keeps], boxes=found.boxes[keeps],
                       cut=found.cut[keeps])

    def _behind(self, points: Array, camera: Array, pose: Pose,
                stamp_ns: int) -> tuple[Array, NDArray[np.bool_]]:
        """Return where the free floor ends behind each point, and which points that moves."""
        rays = points - camera
        rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-9)
        ways = np.arange(0.0, _DEEPEST_M + _CELL_M, _CELL_M)
        along = points[:, None] + ways[:, None] * rays[:, None]
        free = self._free(along.reshape(-1, 2), pose, stamp_ns).reshape(along.shape[:2])
        free[:, -1] = False
        # Half a cell less: what is free of a cell's middle need not be free of its end.
        way = ways[free.argmin(axis=1)] - _CELL_M / 2
        moved = way > _CLOSE_M
        return np.where(moved[:, None], points + way[:, None] * rays, points), moved

    def _free(self, points: Array, pose: Pose, stamp_ns: int) -> NDArray[np.bool_]:
        cells, inside = self._cells(out_of(points, pose))
        free = ((self._seen[cells] >= self._times)
                & (np.abs(stamp_ns - self._seen_ns[cells]) <= self._lasts_ns))
        return np.asarray(free & inside)

    def _learn(self, boxes: Array, ground: Ground, pose: Pose, stamp_ns: int) -> None:
        near = self._around + pose[:2]
        here = into(near, pose)
        shown = ground.shows(here)
        margin = _MARGIN * ground.lens.height
        x, y = ground.pixels(here[shown]).T[..., None]
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
        inside = np.asarray(((index >= 0) & (index < size)).all(axis=1), np.bool_)
        whole = np.where(inside[:, None], index, 0).astype(np.int64)
        return (whole[:, 0], whole[:, 1]), inside


def _outer(edge: Array) -> NDArray[np.bool_]:
    """Tell which points [N, 2] of an edge (from the camera, x ahead) are not its inner end.

    A thing that is all on one side of the robot's way shows its inner side, and the column of the
    inner end is that of the far end of this side, not of the near one, which stands farther to
    the side by the ratio of their distances. At least the outer half of an edge stays; one that
    lies across the way shows no side, and stays whole.
    """
    ahead, aside = edge.T
    if (aside.min() < _ACROSS_M and aside.max() > -_ACROSS_M) or ahead.min() <= 0.0:
        return np.ones(len(edge), np.bool_)
    slope = np.abs(aside) / ahead
    inner, outer = slope.min(), slope.max()
    near_end = inner * (1.0 + _DEPTH_M / ahead.min())
    return np.asarray(slope >= min(near_end, (inner + outer) / 2) - 1e-9)
