"""Where a robot is by what it was sent: dead reckoning over the seconds before now."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from vla_nav.control.limits import ZERO, Velocity

Pose = tuple[float, float, float]  # x, y in m, yaw in rad


class Reckoning:
    """Integrates the velocities that a robot was sent, in a frame of its own.

    All times are integer nanoseconds of a clock that never goes back.
    """

    def __init__(self, kept_ns: int = 3_000_000_000) -> None:
        """Stand at the origin; nobody will ask about what is older than ``kept_ns``."""
        self._kept_ns = kept_ns
        self._velocity = ZERO
        self._trail: deque[tuple[int, float, float, float]] = deque()

    def send(self, velocity: Velocity, steady_ns: int) -> None:
        """Note what the robot is sent from now on."""
        x, y, yaw = self.at(steady_ns)
        self._trail.append((steady_ns, x, y, yaw))
        self._velocity = velocity
        while steady_ns - self._trail[0][0] > self._kept_ns and len(self._trail) > 1:
            self._trail.popleft()

    def at(self, steady_ns: int) -> Pose:
        """Return (x, y, yaw); of times before what is kept, the oldest that is."""
        if not self._trail:
            return 0.0, 0.0, 0.0
        last_ns, x, y, yaw = self._trail[-1]
        if steady_ns < last_ns:
            times, *pose = zip(*self._trail)
            return tuple(  # type: ignore[return-value]
                float(np.interp(steady_ns - last_ns, np.subtract(times, last_ns), values))
                for values in pose)
        seconds = (steady_ns - last_ns) * 1e-9
        (dx, dy), = arc(self._velocity, np.array([seconds]))
        c, s = math.cos(yaw), math.sin(yaw)
        return (x + c * dx - s * dy, y + s * dx + c * dy,
                yaw + self._velocity.angular_z * seconds)


def arc(velocity: Velocity, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where a constant ``velocity`` leads, [N, 2] in the frame of its beginning."""
    vx, vy, wz = velocity
    angle = wz * seconds
    # sin(x) / x and (1 - cos(x)) / x, which also hold where the way is straight.
    along = seconds * np.sinc(angle / np.pi)
    aside = seconds * np.sin(angle / 2) * np.sinc(angle / (2 * np.pi))
    return np.stack([along * vx - aside * vy, aside * vx + along * vy], axis=-1)


def into(points: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    """Return points [N, 2] of a frame as seen from ``pose`` (x, y, yaw) in it."""
    c, s = math.cos(pose[2]), math.sin(pose[2])
    return (points - pose[:2]) @ np.array([[c, -s], [s, c]])


def out_of(points: NDArray[np.float64], pose: Pose) -> NDArray[np.float64]:
    """Return points [N, 2] seen from ``pose`` in the frame that it is in."""
    c, s = math.cos(pose[2]), math.sin(pose[2])
    return points @ np.array([[c, s], [-s, c]]) + pose[:2]
