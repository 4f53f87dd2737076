"""Execution of action chunks by stamp: elapsed steps are dropped, overlaps are blended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import ActionChunk


@dataclass(frozen=True)
class Command:
    """A velocity [A] in SI units, and the stamp of the newest picture behind it."""

    velocity: NDArray[np.float32]
    stamp_ns: int


class ChunkExecutor:
    """Gives the velocity that is due at a time, from all chunks that still speak of it.

    A chunk stamped s has row k due from s + k * step_ns on. Where chunks overlap, chunk j counts
    with the weight ``exp(-decay * (s_newest - s_j) / step_ns)``, and the weights are normalised:
    a large ``decay`` follows the newest chunk, 0 is the plain mean. Weighing by stamp rather
    than by rank makes the blend independent of the camera's rate.
    """

    def __init__(self, decay: float = 1.0) -> None:
        """Start empty; ``decay`` is per step of the chunks."""
        if not decay >= 0.0:
            raise ValueError(f'decay must be 0 or more, got {decay}')
        self.decay = decay
        self._chunks: list[ActionChunk] = []  # oldest first

    @property
    def reach_s(self) -> float:
        """Return how far the newest chunk reaches from its picture, s; 0 without one."""
        if not self._chunks:
            return 0.0
        return (end_ns(self._chunks[-1]) - self._chunks[-1].stamp_ns) * 1e-9

    def reset(self) -> None:
        """Forget all chunks."""
        self._chunks.clear()

    def put(self, chunk: ActionChunk) -> None:
        """Take a new chunk; raise ValueError when it holds anything but finite numbers."""
        if not np.isfinite(chunk.velocities).all():
            raise ValueError('the action chunk holds NaN or infinite velocities')
        if chunk.step_ns <= 0:
            raise ValueError(f'the chunk step must be positive, got {chunk.step_ns} ns')
        # A stamp that goes back means that the clock was set back or the simulation restarted:
        # older chunks then lie in a future that will not come.
        self._chunks = [old for old in self._chunks if old.stamp_ns < chunk.stamp_ns
                        and end_ns(old) > chunk.stamp_ns]
        self._chunks.append(chunk)

    def command(self, now_ns: int) -> Command | None:
        """Return what is due at ``now_ns``, or None when no chunk reaches that far."""
        due = [(chunk, row) for chunk in self._chunks
               if (row := _row(chunk, now_ns)) is not None]
        if not due:
            return None
        newest = due[-1][0]
        weights = np.exp([-self.decay * (newest.stamp_ns - chunk.stamp_ns) / newest.step_ns
                          for chunk, _ in due])
        rows = np.stack([chunk.velocities[row] for chunk, row in due])
        blend = (weights / weights.sum()) @ rows
        return Command(blend.astype(np.float32), newest.stamp_ns)


def end_ns(chunk: ActionChunk) -> int:
    """Return when the last row of a chunk has been driven."""
    return chunk.stamp_ns + len(chunk.velocities) * chunk.step_ns


def _row(chunk: ActionChunk, now_ns: int) -> int | None:
    # A camera clock slightly ahead of ours must not read as "nothing due yet".
    row = max((now_ns - chunk.stamp_ns) // chunk.step_ns, -1)
    if now_ns < chunk.stamp_ns - chunk.step_ns or row >= len(chunk.velocities):
        return None
    return max(row, 0)
