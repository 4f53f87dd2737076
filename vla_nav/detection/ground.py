"""From boxes in the picture to where their objects stand on the ground.

Of all points of an object on the ground, the nearest is lowest in the picture of an upright
camera: it is on the lower edge of the object's box. In every other column the object stands there
or farther away. Which column the nearest point is in, a box does not tell; so the whole edge is
laid out on the ground, in points so close that no footprint passes between them.

That is exact for the face of an object across the view, but that a camera which looks down sees
its top wider; and wrong by a radius at the ends of a round one. Of a long object seen obliquely
the near end is exact and the rest too near, by the object's depth at most: since each column has
a ray of its own, no point is nearer than the object can be in that direction. Nothing in one box
refutes the rest, and without it the end of a barrier that does stand across the way would be
missing; what earlier pictures say of it is the matter of :mod:`vla_nav.detection.free_ground`.

The foot of a box that the picture's lower edge cuts off is below the picture. Its points are where
the picture ends; the object may be nearer. They are marked ``cut``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_nav.detection.lens import Lens
from vla_nav.monitoring.camera_view import rotation

# From a body's axes (x ahead, y left, z up) to those of a camera (z ahead, x right, y down).
_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
# A box's regressed edge ends about this share of the picture before the picture's own.
CUT_SHARE = 0.03
_MOST_POINTS = 60
# A ray that sinks less than this per metre meets the ground too far away to mean anything.
_HORIZON = 1e-3

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GroundPoints:
    """Where boxes stand: ``points`` [N, 2] in m in the base frame (REP 103, z = 0).

    ``boxes`` [N] is each point's number among the boxes, ``cut`` [N] whether the picture's lower
    edge cuts that box off, so that the object may be nearer than the point.
    """

    points: Array
    boxes: NDArray[np.int64]
    cut: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.points)


class Ground:
    """The ground as one camera sees it.

    ``mount`` [4, 4] is the pose of the camera's optical frame in the base frame, whose z = 0 is
    the ground: :func:`mount_pose`, or ``camera_mount`` of a URDF.
    """

    def __init__(self, lens: Lens, mount: Array, spacing_m: float = 0.1,
                 max_range_m: float = 6.0) -> None:
        """Raise ValueError for a camera that is not above the ground.

        Points of one edge are at most ``spacing_m`` apart; farther than ``max_range_m`` from the
        camera there are none, since a pixel is worth too many metres there.
        """
        if not np.isfinite(mount).all() or mount[2, 3] <= 0:
            raise ValueError(f'the camera is mounted at a height of {mount[2, 3]} m: give its '
                             'height above the ground')
        self.lens = lens
        self._turn, self._at = mount[:3, :3], mount[:3, 3]
        self._spacing_m, self._max_range_m = spacing_m, max_range_m

    @property
    def stands_at(self) -> Array:
        """Return the point [2] of the ground under the camera."""
        return self._at[:2]

    def place(self, boxes: ArrayLike) -> GroundPoints:
        """Return where boxes [N, 4] (left, top, right, bottom; pixels) stand.

        A box that ends above the horizon, beyond the range or where the lens is not calibrated
        has no points.
        """
        edges = np.asarray(boxes, np.float64).reshape(-1, 4)
        left, right, bottom = edges[:, 0], edges[:, 2], edges[:, 3]
        ends = [self.points(np.stack((column, bottom), 1)) for column in (left, right)]
        widths = np.linalg.norm(ends[1] - ends[0], axis=1)
        # Where an end has no point, because the horizon is aslant, the middle may have some.
        counts = 1 + np.clip(np.ceil(np.nan_to_num(widths, nan=np.inf) / self._spacing_m), 1,
                             _MOST_POINTS - 1).astype(np.int64)
        numbers = np.repeat(np.arange(len(edges)), counts)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        shares = (np.arange(len(numbers)) - first) / (counts[numbers] - 1)
        columns = left[numbers] + shares * (right - left)[numbers]
        points = self.points(np.stack((columns, bottom[numbers]), 1))
        cut = bottom >= self.lens.height * (1 - CUT_SHARE)
        near = np.linalg.norm(points - self._at[:2], axis=1) <= self._max_range_m  # false for NaN
        return GroundPoints(points[near], numbers[near], cut[numbers][near])

    def points(self, pixels: ArrayLike) -> Array:
        """Return the points of the ground [N, 2] in pixels [N, 2]; NaN where there is none."""
        directions = self.lens.directions(pixels)
        rays = np.column_stack((directions, np.ones(len(directions)))) @ self._turn.T
        sinks = rays[:, 2] < -_HORIZON * np.linalg.norm(rays[:, :2], axis=1)
        ways = np.where(sinks, -self._at[2] / np.where(sinks, rays[:, 2], -1.0), np.nan)
        return np.asarray(self._at[:2] + ways[:, None] * rays[:, :2])

    def pixels(self, points: ArrayLike) -> Array:
        """Return the pixels [N, 2] of points [N, 2] of the ground; NaN for those behind."""
        flat = np.asarray(points, np.float64).reshape(-1, 2)
        seen = (np.column_stack((flat, np.zeros(len(flat)))) - self._at) @ self._turn
        ahead = seen[:, 2:] > 1e-3
        return self.lens.pixels(np.where(ahead, seen[:, :2] / np.where(ahead, seen[:, 2:], 1.0),
                                         np.nan))

    def shows(self, points: ArrayLike, margin: float = 0.0) -> NDArray[np.bool_]:
        """Tell which points [N, 2] are in the picture, ``margin`` (share of its side) inside."""
        size = np.array([self.lens.width, self.lens.height])
        shares = self.pixels(points) / size
        return np.asarray(((shares >= margin) & (shares <= 1 - margin)).all(axis=1))


def mount_pose(x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> Array:
    """Return the pose [4, 4] of the optical frame of a camera mounted so on the base.

    Metres and radians in the base frame; all angles 0 looks straight ahead, ``pitch`` > 0 down
    (REP 103).
    """
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation(roll, pitch, yaw) @ _OPTICAL, (x, y, z)
    return pose
