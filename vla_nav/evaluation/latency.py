"""From the publication of a picture to the receipt of the velocity that it caused."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from vla_nav.control.diagnostics import percentiles_ms

Twist = tuple[float, float, float]
MUST_P99_MS = 20.0


def latencies(published: Mapping[int, int], proposed: Mapping[int, Twist],
              sent: Sequence[tuple[int, Twist]]) -> tuple[list[int], int]:
    """Return the latency in ns of each picture that can be told apart, and how many cannot.

    ``published`` maps a picture's stamp to the time of its publication, ``proposed`` the stamp
    to the velocity that the policy proposed for it, and ``sent`` lists (time of receipt,
    velocity) of ``cmd_vel`` in order. ``cmd_vel`` carries no stamp of a picture, so it is known
    by its exact velocity; a picture whose velocity was already being sent is left out.
    """
    times = [at for at, _ in sent]
    found, untold = [], 0
    for stamp, began in published.items():
        velocity = proposed.get(stamp)
        first = bisect_right(times, began)
        before = sent[first - 1][1] if first else None
        received = None if velocity is None or velocity == before else next(
            (at for at, what in sent[first:] if what == velocity), None)
        if received is None:
            untold += 1
        else:
            found.append(received - began)
    return found, untold


def latency_summary(found: Sequence[int], untold: int, settings: Mapping[str, Any]
                    ) -> dict[str, Any]:
    """Return the figures of a run, against what they must be."""
    figures = percentiles_ms(found)
    return {'picture_to_cmd_vel_ms': figures, 'measured': len(found), 'untold': untold,
            'must_p99_ms': MUST_P99_MS, 'passed': bool(figures) and figures['p99'] <= MUST_P99_MS,
            'settings': dict(settings)}
