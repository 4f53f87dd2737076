"""Velocities and the laws that bound them; every law scales all axes together.

Scaling keeps the ratio of the axes, so that a bounded robot drives the same curve, slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Velocity(NamedTuple):
    """Velocity of the base in its own frame (REP 103): m/s, m/s, rad/s."""

    linear_x: float = 0.0
    linear_y: float = 0.0
    angular_z: float = 0.0

    @property
    def speed(self) -> float:
        """Return the linear speed in m/s."""
        return math.hypot(self.linear_x, self.linear_y)

    @property
    def is_finite(self) -> bool:
        """Return whether no axis is NaN or infinite."""
        return all(map(math.isfinite, self))

    def scaled(self, factor: float) -> Velocity:
        """Return the velocity with all axes multiplied by ``factor``."""
        return Velocity(*(factor * value for value in self))


ZERO = Velocity()


def box_factor(velocity: Velocity, low: Sequence[float], high: Sequence[float]) -> float:
    """Return the largest factor in [0, 1] that brings each axis into [low, high].

    An axis that is not allowed to move (a limit of 0) gives 0: the asked direction cannot be
    kept, so the robot stands.
    """
    factor = 1.0
    for value, below, above in zip(velocity, low, high):
        if value > above:
            factor = min(factor, above / value)
        elif value < below:
            factor = min(factor, below / value)
    return factor


def speed_factor(velocity: Velocity, cap: float) -> float:
    """Return the factor in [0, 1] that brings the linear speed to at most ``cap`` m/s."""
    speed = velocity.speed
    return cap / speed if speed > cap else 1.0


def approach(last: Velocity, target: Velocity, acceleration: Sequence[float],
             seconds: float) -> Velocity:
    """Return the velocity nearest to ``target`` on the straight line from ``last``.

    No axis changes by more than ``acceleration`` (m/s², m/s², rad/s²) times ``seconds``. A
    straight line between two velocities inside the limits never leaves them.
    """
    fraction = 1.0
    for before, after, limit in zip(last, target, acceleration):
        change, allowed = abs(after - before), limit * seconds
        if change > allowed:
            fraction = min(fraction, allowed / change)
    if fraction == 1.0:
        return target
    return Velocity(*(a + fraction * (b - a) for a, b in zip(last, target)))
