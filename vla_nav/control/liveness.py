"""Whether pictures still come and still change, by their arrival on a steady clock."""

from __future__ import annotations

from enum import Enum


class Sight(str, Enum):
    """What can be said of the pictures."""

    WAITING = 'no picture yet'
    FRESH = 'fresh'
    FROZEN = 'picture frozen'
    LOST = 'no picture'


class PictureWatch:
    """Watches pictures: identical ones for ``frozen_after_ns`` count as no camera.

    A picture with the content of the one before it is no new observation, whatever its stamp.
    ``frozen_after_ns`` = 0 accepts identical pictures, for a simulator that renders without noise.
    """

    def __init__(self, frozen_after_ns: int) -> None:
        """Start with no picture seen."""
        self.frozen_after_ns = frozen_after_ns
        self._arrived_ns: int | None = None
        self._changed_ns: int | None = None

    def see(self, changed: bool, steady_ns: int) -> None:
        """Note a picture that arrived at ``steady_ns``; ``changed`` against the one before."""
        self._arrived_ns = steady_ns
        if changed or self._changed_ns is None or self.frozen_after_ns == 0:
            self._changed_ns = steady_ns

    def silence_ns(self, steady_ns: int) -> int | None:
        """Return the time since the newest picture arrived, None before the first."""
        return None if self._arrived_ns is None else steady_ns - self._arrived_ns

    def judge(self, steady_ns: int, lost_after_ns: int) -> Sight:
        """Return what the pictures are worth at ``steady_ns``."""
        if self._arrived_ns is None or self._changed_ns is None:
            return Sight.WAITING
        if steady_ns - self._arrived_ns >= lost_after_ns:
            return Sight.LOST
        if self.frozen_after_ns and steady_ns - self._changed_ns >= self.frozen_after_ns:
            return Sight.FROZEN
        return Sight.FRESH
