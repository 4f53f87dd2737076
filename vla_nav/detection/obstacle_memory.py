"""What stood on the ground where the camera no longer looks, for a short time.

A camera that looks ahead loses an obstacle below its picture, or to its side, just when it is
nearest. Its points are kept where they were, as odometry moves the robot on. What is back in the
picture and not detected there, in several pictures, is forgotten.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_nav.control.reckoning import into, out_of
from vla_nav.detection.ground import Ground, GroundPoints

# This near the picture's border, boxes are cut off and their feet uncertain: what is there and
# not detected may be there all the same.
_MARGIN = 0.05
# Points of two pictures are the same within this, and a share of the range for the pixels' worth.
_SAME_M, _SAME_SHARE = 0.15, 0.05
# No base moves like this: odometry began anew.
_JUMP_M, _JUMP_M_PER_S = 0.5, 5.0

Array = NDArray[np.float64]
Pose = tuple[float, float, float]


class ObstacleMemory:
    """Points on the ground, kept in the frame of odometry. It reads no clock."""

    def __init__(self, keep_s: float = 3.0, forget_after: int = 3) -> None:
        """Know of nothing.

        A point is kept for ``keep_s`` seconds after it was seen last; one that is in the
        picture, for ``forget_after`` pictures without it.
        """
        self._keep_ns, self._forget_after = round(keep_s * 1e9), forget_after
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._points: Array = np.empty((0, 2))
        self._seen_ns = np.empty(0, np.int64)
        self._misses = np.empty(0, np.int64)
        self._cut = np.empty(0, np.bool_)
        self._last: tuple[int, Pose] | None = None

    def update(self, seen: GroundPoints, ground: Ground, pose: Pose, stamp_ns: int) -> Array:
        """Take a picture's points, and return the points [N, 2] around the robot.

        What is seen comes first, what is remembered after it, in the base frame at ``stamp_ns``.
        ``pose`` is (x, y, yaw) by odometry then; everything is forgotten where odometry jumps or
        time goes back.
        """
        if self._jumps(pose, stamp_ns):
            self.clear()
        self._last = stamp_ns, pose
        known = into(self._points, pose)
        stays = self._look_again(known, seen, ground, stamp_ns)
        self._points = np.concatenate((out_of(seen.points, pose), self._points[stays]))
        self._seen_ns = np.concatenate((np.full(len(seen), stamp_ns), self._seen_ns[stays]))
        self._misses = np.concatenate((np.zeros(len(seen), np.int64), self._misses[stays]))
        self._cut = np.concatenate((seen.cut, self._cut[stays]))
        return np.concatenate((seen.points, known[stays]))

    def _look_again(self, known: Array, seen: GroundPoints, ground: Ground,
                    stamp_ns: int) -> NDArray[np.bool_]:
        """Count what is missing, renew what is still under a cut box; tell which points stay."""
        shown = ground.shows(known, _MARGIN)
        apart = np.linalg.norm(known[:, None] - seen.points[None], axis=-1)
        same = apart <= _SAME_M + _SAME_SHARE * np.linalg.norm(known, axis=-1)[:, None]
        # A cut box's foot is below the picture: a foot seen before is known better.
        worse = seen.cut & ~(shown | self._cut)[:, None]
        replaced = (same & ~worse).any(axis=1)
        under = ~shown & _below(known, seen.points[seen.cut], ground.stands_at).any(axis=1)
        self._seen_ns[under] = stamp_ns
        self._misses = np.where(shown & ~same.any(axis=1), self._misses + 1, 0)
        return np.asarray(~replaced & (stamp_ns - self._seen_ns <= self._keep_ns)
                          & (self._misses < self._forget_after))

    def _jumps(self, pose: Pose, stamp_ns: int) -> bool:
        if self._last is None:
            return False
        seconds = (stamp_ns - self._last[0]) * 1e-9
        way = float(np.hypot(pose[0] - self._last[1][0], pose[1] - self._last[1][1]))
        return seconds < 0 or way > _JUMP_M + _JUMP_M_PER_S * seconds


def _below(known: Array, cut: Array, camera: Array) -> NDArray[np.bool_]:
    """Tell which points [N, 2] lie between the camera and which of the points [M, 2]."""
    ways = cut - camera
    lengths = np.linalg.norm(ways, axis=1)
    ahead = ways / np.maximum(lengths, 1e-9)[:, None]
    offsets = known - camera
    along = offsets @ ahead.T
    aside = np.abs(offsets @ np.stack((-ahead[:, 1], ahead[:, 0])))
    return np.asarray((along >= 0) & (along <= lengths + _SAME_M) & (aside <= _SAME_M))
