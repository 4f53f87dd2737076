"""Trivial drivers: what succeeds without looking, reading, or either.

Each figure of a policy stands beside these. All are tables of velocities against time, drawn
from the expert's drives on training seeds, so that they are as good as such a driver can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import ActionChunk, Frame, PolicySpec
from vla_nav.spaces import OMNI_3D, ActionSpace

STEP_NS = 100_000_000
# A drive that went at least this far to the left went round something on the left.
_SWING_M = 0.4
OPEN_LOOP = ('constant', 'straight', 'always-left', 'step-index')


@dataclass(frozen=True)
class Drive:
    """One drive of the expert at 10 Hz: commands [T, 3] in SI units, and the way [T, 2].

    ``way`` is (ahead, left) in metres from the start, along the axes of the room.
    """

    velocities: NDArray[np.float64]
    way: NDArray[np.float64]


@dataclass(frozen=True)
class DriveStatistics:
    """What the open-loop drivers know of the expert.

    ``mean`` and ``median`` [3]; ``by_step`` [T, 3]: mean over all drives at each step, a
    finished drive counting as standstill. ``reach_m``: mean distance ahead at the end;
    ``swing_m``: mean largest offset to the left of the drives that swing left; ``speed``: mean
    speed in m/s while moving.
    """

    mean: NDArray[np.float64]
    median: NDArray[np.float64]
    by_step: NDArray[np.float64]
    reach_m: float
    swing_m: float
    speed: float

    @classmethod
    def of(cls, drives: Sequence[Drive]) -> DriveStatistics:
        """Reduce drives; raise ValueError without any."""
        if not drives:
            raise ValueError('no drives to learn a baseline from')
        steps = max(len(drive.velocities) for drive in drives)
        padded = np.stack([np.pad(d.velocities, ((0, steps - len(d.velocities)), (0, 0)))
                           for d in drives])
        every = np.concatenate([drive.velocities for drive in drives])
        speeds = np.hypot(every[:, 0], every[:, 1])
        moving = speeds[speeds > 0.05]
        swings = [float(drive.way[:, 1].max()) for drive in drives]
        return cls(
            mean=every.mean(axis=0), median=np.median(every, axis=0), by_step=padded.mean(axis=0),
            reach_m=float(np.mean([drive.way[-1, 0] for drive in drives])),
            swing_m=float(np.mean([swing for swing in swings if swing > _SWING_M] or [0.0])),
            speed=float(moving.mean()) if moving.size else 0.0)


class OpenLoopPolicy:
    """Drive a table of velocities [T, A] by the clock, then hold its last row."""

    def __init__(self, name: str, velocities: NDArray[np.float64],
                 space: ActionSpace = OMNI_3D, chunk: int = 4) -> None:
        """Take at least one row of SI velocities; the limits of ``space`` clip them."""
        table = space.clip(np.atleast_2d(velocities))
        self._table = np.concatenate([table, np.repeat(table[-1:], chunk, axis=0)])
        self._last = len(table) - 1
        self._start_ns: int | None = None
        self.spec = PolicySpec(name, space, 1, 1, STEP_NS, chunk, max_observation_age_s=0.5)

    def reset(self) -> None:
        """Start the clock again at the next frame."""
        self._start_ns = None

    def set_instruction(self, text: str) -> str:
        """Ignore the text: that is the point of such a driver."""
        return 'not read'

    def act(self, frame: Frame) -> ActionChunk:
        """Return the rows that belong to the frame's time."""
        if self._start_ns is None:
            self._start_ns = frame.stamp_ns
        step = (frame.stamp_ns - self._start_ns + STEP_NS // 2) // STEP_NS
        first = min(max(step, 0), self._last)
        rows = self._table[first:first + self.spec.chunk]
        return ActionChunk(rows, STEP_NS, frame.stamp_ns)


def open_loop_policy(name: str, statistics: DriveStatistics) -> OpenLoopPolicy:
    """Build the baseline called ``name``, one of :data:`OPEN_LOOP`."""
    full = OMNI_3D.high[0]
    if name == 'constant':
        return OpenLoopPolicy(name, statistics.mean)
    if name == 'step-index':
        return OpenLoopPolicy(name, statistics.by_step)
    if name == 'straight':
        # It stops where the mean drive ends, the best place that it could know of.
        return OpenLoopPolicy(name, _legs([(statistics.reach_m, 0.0)], full))
    if name == 'always-left':
        reach, swing = statistics.reach_m, statistics.swing_m
        # Out early, before the nearest boxes, and back late, behind the deepest ones.
        legs = [(reach / 5, swing), (3 * reach / 5, 0.0), (reach / 5, -swing)]
        return OpenLoopPolicy(name, _legs(legs, statistics.speed or full))
    raise ValueError(f'unknown baseline {name!r}; known are {list(OPEN_LOOP)}')


def _legs(legs: Sequence[tuple[float, float]], speed: float) -> NDArray[np.float64]:
    """Return velocities [T, 3] that drive displacements (forward, left) in turn and then stop."""
    rows = []
    for forward, left in legs:
        length = float(np.hypot(forward, left))
        steps = max(1, round(length / speed / (STEP_NS * 1e-9)))
        velocity = np.array([forward, left, 0.0]) / (steps * STEP_NS * 1e-9)
        rows.append(np.repeat(velocity[None], steps, axis=0))
    return np.concatenate([*rows, np.zeros((1, 3))])
