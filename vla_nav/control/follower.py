"""Execution of chunks that come late: the robot keeps to their way from where it really is.

While a slow model thinks, the robot drives on with the chunk before. What that one and the new
chunk say of this time differs, and so do what was asked for and what the guard let through; rows
that are simply played from now on lead beside the way that was meant.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import ActionChunk
from vla_nav.control.executor import ChunkExecutor, Command, end_ns
from vla_nav.control.limits import Velocity, speed_factor
from vla_nav.control.reckoning import Pose, Reckoning, into, out_of
from vla_nav.spaces import AXES, ActionSpace

# How quickly the robot gets back to the way, and over what distance one that cannot go sideways
# does. Shorter, and it swerves at each new chunk; longer, and the next chunk comes first.
REJOIN_S = 0.4
_REJOIN_M = 0.4
# No chunk reaches further, not even one that is driven at a tenth of its speed.
_KEPT_NS = 10_000_000_000
# Without news of what the robot was sent for so long, nothing is known of where it is.
_UNHEARD_NS = 500_000_000


class ChunkFollower(ChunkExecutor):
    """A :class:`ChunkExecutor` for models that think for long.

    A chunk that asks for more than ``speed_cap`` (m/s) is driven along the same way, slower. From
    what :meth:`drove` is told it knows how far the robot is from where the newest chunk wants it
    now, and adds what takes it there: in proportion on the axes that the ``space`` has, after
    Kanayama et al. 1990 (doi:10.1109/ROBOT.1990.126006) for a base that cannot go sideways. It
    adds no more than was asked for, so that a stop is one.
    """

    def __init__(self, space: ActionSpace, speed_cap: float, decay: float = 1.0) -> None:
        """Start empty."""
        super().__init__(decay)
        self._space, self._cap = space, speed_cap
        self._reckoning = Reckoning(_KEPT_NS)
        self._heard_ns: int | None = None

    def drove(self, velocity: Velocity, now_ns: int) -> None:
        """Note what the robot is sent from now on, whoever decided it."""
        if self._heard_ns is not None and now_ns < self._heard_ns:
            self._reckoning = Reckoning(_KEPT_NS)  # the clock was set back
        self._reckoning.send(velocity, now_ns)
        self._heard_ns = now_ns

    def hears(self, now_ns: int) -> bool:
        """Return whether there has lately been news of what the robot was sent."""
        return self._heard_ns is not None and now_ns - self._heard_ns <= _UNHEARD_NS

    def put(self, chunk: ActionChunk) -> None:
        """Take a new chunk; raise ValueError when it holds anything but finite numbers."""
        super().put(paced(chunk, self._space, self._cap))

    def command(self, now_ns: int) -> Command | None:
        """Return what is due at ``now_ns``, or None when no chunk reaches that far."""
        due = super().command(now_ns)
        if due is None or now_ns >= end_ns(self._chunks[-1]):
            return None  # an older chunk, being driven slower, may reach further
        if not self.hears(now_ns):
            return due
        chunk = self._chunks[-1]
        meant = _pose_on(chunk, self._space, now_ns)
        seen_from, here = (self._reckoning.at(ns) for ns in (chunk.stamp_ns, now_ns))
        wanted = towards(_within(meant, seen_from, here), due.velocity, self._space)
        return Command(wanted, due.stamp_ns)


def paced(chunk: ActionChunk, space: ActionSpace, speed_cap: float) -> ActionChunk:
    """Return a chunk that drives the same way at ``speed_cap`` m/s at most, for longer."""
    if not np.isfinite(chunk.velocities).all():
        return chunk  # the executor refuses it
    factor = min(speed_factor(Velocity(*space.to_twist(row)), speed_cap)
                 for row in chunk.velocities)
    if factor <= 0.0:
        return replace(chunk, velocities=np.zeros_like(chunk.velocities))
    return replace(chunk, velocities=chunk.velocities * np.float32(factor),
                   step_ns=round(chunk.step_ns / factor))


def towards(error: Pose, velocity: NDArray[np.float32], space: ActionSpace) -> NDArray[np.float32]:
    """Return the velocity [A] that drives on and rejoins the way, within the space's limits.

    ``error`` is where the robot should be (x, y in m, yaw in rad) as seen from where it is, and
    ``velocity`` [A] what should be driven there. What is added is no faster than that, and does
    not lead backwards, where no camera looks, unless the velocity itself does.
    """
    x, y, yaw = error
    vx, vy, wz = space.to_twist(velocity)
    speed, c, s = math.hypot(vx, vy), math.cos(yaw), math.sin(yaw)
    if 'linear_y' in space.names:
        share = min(1.0, speed * REJOIN_S / max(math.hypot(x, y), 1e-9)) / REJOIN_S
        most = abs(wz) + speed / _REJOIN_M
        ahead, aside = c * vx - s * vy + share * x, s * vx + c * vy + share * y
        turn = wz + min(max(yaw / REJOIN_S, -most), most)
    else:
        ahead, aside = c * vx + min(max(x / REJOIN_S, -speed), speed), 0.0
        turn = wz + vx * (y / _REJOIN_M ** 2 + 2 * s / _REJOIN_M)
    wanted = dict(zip(AXES, (max(ahead, min(vx, 0.0)), aside, turn)))
    return space.clip([wanted[name] for name in space.names])


def _pose_on(chunk: ActionChunk, space: ActionSpace, now_ns: int) -> Pose:
    """Return where the chunk wants the robot at ``now_ns``, in the frame of its picture."""
    pose, left = Reckoning(_KEPT_NS), max(now_ns - chunk.stamp_ns, 0)
    for row, velocity in enumerate(chunk.velocities):
        if row * chunk.step_ns > left:
            break
        pose.send(Velocity(*space.to_twist(velocity)), row * chunk.step_ns)
    return pose.at(min(left, len(chunk.velocities) * chunk.step_ns))


def _within(meant: Pose, seen_from: Pose, here: Pose) -> Pose:
    """Return a pose of the frame of ``seen_from`` as seen from ``here``."""
    there = out_of(np.array([meant[:2]]), seen_from)
    (x, y), = into(there, here)
    turn = meant[2] + seen_from[2] - here[2]
    return float(x), float(y), math.remainder(turn, math.tau)
