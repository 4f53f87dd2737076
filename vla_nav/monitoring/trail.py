"""Where a robot has been."""

from __future__ import annotations

import math
from collections import deque

# A shorter way is noise, a longer one a robot that was put elsewhere.
_STEP_M, _JUMP_M = 0.02, 1.0


class Trail:
    """The newest ``size`` positions (x, y), at least 2 cm apart."""

    def __init__(self, size: int) -> None:
        """Start where the first position will be."""
        self.points: deque[tuple[float, float]] = deque(maxlen=size)

    def add(self, x: float, y: float) -> bool:
        """Take a position; return whether the trail has grown, or begun anew, by it."""
        moved = math.dist(self.points[-1], (x, y)) if self.points else math.inf
        if moved < _STEP_M:
            return False
        if moved > _JUMP_M:
            self.points.clear()
        self.points.append((x, y))
        return True
