"""What a monitor that is left open costs, out of what was counted while it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MOST_GROWTH_MB, LEAST_RATE = 32.0, 0.98
OPEN, AROUND = 'open', ('before', 'after')


def summary(memory_mb: Sequence[float], arrivals: Mapping[str, Mapping[str, Sequence[int]]],
            settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a monitor that was watched at equal intervals.

    ``memory_mb`` is what it held each time; ``arrivals`` has by topic and stretch ('before',
    'open', 'after') the steady times of messages, ns. ``growth_mb`` is the most of the last
    quarter over the most of the quarter before: until then Rerun fills what it may keep.
    ``rate_kept`` is the rate with it open over the mean of those without.
    """
    quarters = np.array_split(np.asarray(memory_mb, float), 4)
    topics = {topic: {stretch: command_rate(times, f'{topic} {stretch}')
                      for stretch, times in stretches.items()}
              for topic, stretches in arrivals.items()}
    kept = {topic: rates[OPEN]['hz'] * len(AROUND) / sum(rates[one]['hz'] for one in AROUND)
            for topic, rates in topics.items()}
    growth = float(quarters[3].max() - quarters[2].max())
    return {'peak_mb': max(memory_mb), 'growth_mb': growth, 'memory_mb': [*memory_mb],
            'rates': topics, 'rate_kept': kept,
            'passed': growth <= MOST_GROWTH_MB and min(kept.values()) >= LEAST_RATE,
            'settings': dict(settings)}


def command_rate(times: Sequence[int], of: str) -> dict[str, float]:
    """Return the rate of messages that came at these steady times, ns, and their gaps.

    Raises RuntimeError, naming what it is the rate ``of``, where there are fewer than two.
    """
    if len(times) < 2:
        raise RuntimeError(f'{of}: {len(times)} commands came; the robot never drove')
    gaps = np.diff(np.asarray(times, np.int64)) / 1e6
    return {'hz': 1e3 / float(gaps.mean()), 'p99_gap_ms': float(np.percentile(gaps, 99)),
            'longest_gap_ms': float(gaps.max())}
