"""How steadily commands come while a model thinks, out of when they came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vla_nav.control.diagnostics import percentiles_ms
from vla_nav.evaluation.bench_monitor import command_rate

LEAST_HZ, MOST_STANDING = 20.0, 0.01
PROPOSALS = 'cmd_vel_policy'


def stream_summary(arrivals: Mapping[str, Sequence[int]], thoughts: Sequence[int],
                   standing: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a run, against what they must be.

    ``arrivals`` has the steady times of the messages of each topic, ns; ``thoughts`` the times
    at which a chunk came. A model that is never idle has taken the time between two of these to
    think. ``standing`` is how many of the policy's commands were all zero, since the chunk before
    had ended; a stream of these is none.
    """
    rates = {topic: command_rate(times, topic) for topic, times in arrivals.items()}
    thinking = percentiles_ms(np.diff(np.asarray(thoughts, np.int64)).tolist())
    share = standing / len(arrivals[PROPOSALS])
    return {'commands': rates, 'thinking_ms': thinking, 'thoughts': len(thoughts),
            'standing': standing, 'standing_share': share, 'least_hz': LEAST_HZ,
            'most_gap_ms': 1e3 / LEAST_HZ, 'most_standing': MOST_STANDING,
            'passed': share <= MOST_STANDING and all(
                rate['hz'] >= LEAST_HZ and rate['p99_gap_ms'] <= 1e3 / LEAST_HZ
                for rate in rates.values()),
            'settings': dict(settings)}
