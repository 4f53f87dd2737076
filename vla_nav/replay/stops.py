"""When the guard followed what, and when it stopped the robot, out of what it said on change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vla_nav.control.guard import Reason

# What another version's guard may have said besides counts as a stop.
_NO_STOP = tuple(reason.value for reason in Reason if not reason.is_stop)


def stretches(changes: Sequence[tuple[int, str]], began_ns: int,
              ended_ns: int) -> list[dict[str, Any]]:
    """Return each stretch of one reason, out of the times and reasons of its changes."""
    ends = [at for at, _ in changes[1:]] + [ended_ns]
    return [{'reason': reason, 'at_s': round((at - began_ns) / 1e9, 3),
             'seconds': round((end - at) / 1e9, 3)}
            for (at, reason), end in zip(changes, ends)]


def stops(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the stretches in which the guard stopped the robot.

    What holds the robot before it was ever let drive is a start, not a stop.
    """
    found = list(found)
    first = next((number for number, one in enumerate(found)
                  if one['reason'] == Reason.POLICY.value), 0)
    return [one for one in found[first:] if one['reason'] not in _NO_STOP]
