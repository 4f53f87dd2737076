"""What stood on the ground where the camera no longer looks, for a short time.

A camera that looks ahead loses an obstacle below its picture, or to its side, just when it is
nearest. Its points are kept where they were, as odometry moves the robot on. What is back in the
picture and not detected there, in several pictures, is forgotten.

What is known from farther away is also better than what is seen from close by. The foot of a box
that is cut off is not seen at all, so that its thing would seem to retreat before the robot; and
of things that fill the picture boxes are inexact, or missing. So a cut box gives way to what is
known to stand under it, and what is near does not go away; but what was taken for a part of a
thing, and is no longer in the columns of its box, does. What was seen once is not remembered.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_nav.control.reckoning import into, out_of
from vla_nav.detection.ground import Ground, GroundPoints

# This near the picture's border, boxes are cut off and their feet uncertain: what is there and
# not detected may be there all the same.
_MARGIN = 0.05
# Points of two pictures are the same within this, and a share of the range for the pixels' worth.
_SAME_M, _SAME_SHARE = 0.15, 0.05
# What is so near fills the picture, so that a detector may miss it just then: it is forgotten only
# after as many pictures as it was seen in, at most so many.
_NEAR_M, _NEAR_MISSES = 1.2, 20
# A box that is cut when it first appears, where nothing was known, is often none.
_CUT_HITS = 4
# Columns of boxes are as exact as this on the ground; what lies this near to a box and in none of
# its columns was taken for a part of its thing, and is none.
_COLUMN_M, _BESIDE_M = 0.03, 0.5
# No base moves like this: odometry began anew.
_JUMP_M, _JUMP_M_PER_S = 0.5, 5.0

Array = NDArray[np.float64]
Pose = tuple[float, float, float]


class _Fates(NamedTuple):
    """What a picture says of each known point [N]."""

    renewed: NDArray[np.bool_]  # better than what is seen, which confirms it
    replaced: NDArray[np.bool_]  # seen again
    unseen: NDArray[np.bool_]
    beside: NDArray[np.bool_]  # next to a box, and in none of its columns


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
        self._hits = np.empty(0, np.int64)
        self._cut = np.empty(0, np.bool_)  # known from cut boxes alone
        self._misses = np.empty(0, np.int64)
        self._last: tuple[int, Pose] | None = None

    def update(self, seen: GroundPoints, ground: Ground, pose: Pose, stamp_ns: int) -> Array:
        """Take a picture's points, and return the points [N, 2] around the robot.

        What is seen comes first, what is remembered after it, in the base frame at ``stamp_ns``.
        ``pose`` is (x, y, yaw) by odometry then; everything is forgotten where odometry jumps or
        time goes back.
        """
        if self.jumps(pose, stamp_ns):
            self.clear()
        self._last = stamp_ns, pose
        known, camera = into(self._points, pose), ground.stands_at
        apart = np.linalg.norm(known[:, None] - seen.points[None], axis=-1)
        same = apart <= _SAME_M + _SAME_SHARE * np.linalg.norm(known, axis=-1)[:, None]
        covered = _covered(known, seen, camera)
        holds = self._holds(known, seen, same & covered, camera)
        # A cut box gives way as a whole.
        better = holds.any(axis=0)
        given_up = better | np.isin(seen.boxes, seen.boxes[better & seen.cut])
        renewed = np.asarray(holds.any(axis=1))
        stays = self._look_again(known, ground, _Fates(
            renewed, (same & ~given_up[None]).any(axis=1) & ~renewed,
            ~same.any(axis=1) & ~renewed,
            (apart <= _BESIDE_M).any(axis=1) & ~covered.any(axis=1)), stamp_ns)
        hits = 1 + np.where(same, self._hits[:, None], 0).max(axis=0, initial=0)
        new = ~given_up
        self._points = np.concatenate((out_of(seen.points[new], pose), self._points[stays]))
        self._seen_ns = np.concatenate((np.full(new.sum(), stamp_ns), self._seen_ns[stays]))
        self._hits = np.concatenate((hits[new], self._hits[stays]))
        self._cut = np.concatenate((seen.cut[new], self._cut[stays]))
        self._misses = np.concatenate((np.zeros(new.sum(), np.int64), self._misses[stays]))
        return np.concatenate((seen.points[new], known[stays]))

    def _holds(self, known: Array, seen: GroundPoints, same: NDArray[np.bool_],
               camera: Array) -> NDArray[np.bool_]:
        """Tell which known points are better than which seen ones: [known, seen].

        The foot of a cut box is below the picture: what is known to stand there is better. And
        boxes of things that fill the picture are inexact: what is near does not go away.
        """
        away, ways = (np.linalg.norm(points - camera, axis=1) for points in (known, seen.points))
        nearer = away[:, None] <= ways[None]
        near = (away <= _NEAR_M) & (self._hits > 1)
        under = _below(known, seen.points, camera) & seen.cut[None]
        return np.asarray((same & nearer & near[:, None]) | under)

    def _look_again(self, known: Array, ground: Ground, fates: _Fates,
                    stamp_ns: int) -> NDArray[np.bool_]:
        """Count how often each known point was seen and missed; tell which ones stay."""
        self._seen_ns[fates.renewed] = stamp_ns
        self._hits[fates.renewed] += 1
        missing = ground.shows(known, _MARGIN) & fates.unseen
        self._misses = np.where(missing, self._misses + 1, 0)
        near = (np.linalg.norm(known - ground.stands_at, axis=1) <= _NEAR_M) & ~fates.beside
        patience = np.minimum(self._hits, np.where(near, _NEAR_MISSES, self._forget_after))
        confirmed = fates.renewed | (self._hits > np.where(self._cut, _CUT_HITS, 1))
        return np.asarray(~fates.replaced & (stamp_ns - self._seen_ns <= self._keep_ns)
                          & (self._misses < patience) & confirmed)

    def jumps(self, pose: Pose, stamp_ns: int) -> bool:
        """Tell whether odometry, or time, has begun anew since the last picture."""
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


def _covered(known: Array, seen: GroundPoints, camera: Array) -> NDArray[np.bool_]:
    """Tell which known points are in the columns of the picture of a seen point's box."""
    (ahead, aside), (x, y) = (points.T for points in (known - camera, seen.points - camera))
    columns, directions = np.arctan2(aside, ahead), np.arctan2(y, x)
    same_box = seen.boxes[:, None] == seen.boxes[None]
    low = np.where(same_box, directions[None], np.inf).min(axis=1, initial=np.inf)
    high = np.where(same_box, directions[None], -np.inf).max(axis=1, initial=-np.inf)
    slack = _COLUMN_M / np.maximum(np.hypot(ahead, aside), 1e-9)
    return np.asarray((columns[:, None] >= low[None] - slack[:, None])
                      & (columns[:, None] <= high[None] + slack[:, None]))
