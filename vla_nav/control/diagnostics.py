"""Figures that a node reports of itself: rates, latencies, and what has changed.

Nothing here reads a clock; times are integer nanoseconds of any one steady clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np


class Rate:
    """Events per second over a sliding window."""

    def __init__(self, window_ns: int = 2_000_000_000) -> None:
        """Start without events."""
        self._window_ns = window_ns
        self._times: deque[int] = deque()

    def tick(self, steady_ns: int) -> None:
        """Count one event."""
        self._times.append(steady_ns)
        self._drop(steady_ns)

    def per_second(self, steady_ns: int) -> float:
        """Return the rate in Hz: intervals between the events that are in the window."""
        self._drop(steady_ns)
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) * 1e9 / max(self._times[-1] - self._times[0], 1)

    def _drop(self, steady_ns: int) -> None:
        while self._times and steady_ns - self._times[0] > self._window_ns:
            self._times.popleft()


class Latency:
    """Percentiles of the newest durations."""

    def __init__(self, size: int = 512) -> None:
        """Keep the newest ``size`` durations."""
        self._durations: deque[int] = deque(maxlen=size)

    def add(self, duration_ns: int) -> None:
        """Take one duration."""
        self._durations.append(duration_ns)

    def milliseconds(self) -> dict[str, float]:
        """Return p50, p95, p99 and max in ms; empty before the first duration."""
        return percentiles_ms(self._durations)


class OnChange:
    """Says whether a value differs from the one before, so that logs speak once."""

    def __init__(self) -> None:
        """Start with nothing seen; the first value is a change."""
        self._last: Any = object()

    def changed(self, value: Any) -> bool:
        """Return whether ``value`` is new."""
        if value == self._last:
            return False
        self._last = value
        return True


def percentiles_ms(durations_ns: Iterable[int]) -> dict[str, float]:
    """Return p50, p95, p99 and max of the durations in ms; empty for none."""
    values = np.fromiter(durations_ns, np.float64) / 1e6
    if not values.size:
        return {}
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {'p50': round(float(p50), 3), 'p95': round(float(p95), 3),
            'p99': round(float(p99), 3), 'max': round(float(values.max()), 3)}
