"""Driving by keyboard: from key presses to velocities, time as an argument."""

from __future__ import annotations

from enum import Enum

from vla_nav.control.limits import ZERO, Velocity

HELP = """\
  w / s   forward / back            q / e   sideways left / right
  a / d   turn left / right         space   stand, and keep control
  + / -   faster / slower           g       give control back to the policy
  x       e-stop                    r       release the e-stop
  Ctrl-C  end
"""
_DIRECTIONS = {
    'w': (1, 0, 0), 's': (-1, 0, 0), 'q': (0, 1, 0), 'e': (0, -1, 0),
    'a': (0, 0, 1), 'd': (0, 0, -1), ' ': (0, 0, 0),
}
# Terminals repeat a held key only after about half a second.
_HOLD_NS = 600_000_000
_FASTER = 1.25


class Wish(Enum):
    """What a key asks for beside a velocity."""

    NOTHING = 0
    E_STOP = 1
    RELEASE = 2


class Keyboard:
    """Has control from the first direction key until it is given back.

    Without a key for a while it asks for zero, so that letting go of the keyboard stops the
    robot rather than handing it to the policy.
    """

    def __init__(self, speed: float, turn: float) -> None:
        """Start without control; ``speed`` in m/s, ``turn`` in rad/s."""
        self.speed = speed
        self.turn = turn
        self.has_control = False
        self._direction = _DIRECTIONS[' ']
        self._pressed_ns = 0

    def press(self, key: str, steady_ns: int) -> Wish:
        """Take one key; unknown keys do nothing."""
        if key in _DIRECTIONS:
            self.has_control = True
            self._direction, self._pressed_ns = _DIRECTIONS[key], steady_ns
        elif key in '+-':
            factor = _FASTER if key == '+' else 1.0 / _FASTER
            self.speed, self.turn = self.speed * factor, self.turn * factor
        elif key == 'g':
            self.has_control = False
        elif key == 'x':
            return Wish.E_STOP
        elif key == 'r':
            return Wish.RELEASE
        return Wish.NOTHING

    def velocity(self, steady_ns: int) -> Velocity | None:
        """Return what to send now; None without control."""
        if not self.has_control:
            return None
        if steady_ns - self._pressed_ns >= _HOLD_NS:
            return ZERO
        forward, left, turn = self._direction
        return Velocity(forward * self.speed, left * self.speed, turn * self.turn)
