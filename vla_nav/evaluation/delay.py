"""A model that takes its time: chunks come later, and the robot drives on with the last."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vla_nav.evaluation import closed_loop
from vla_nav.evaluation.folder import bundle_hash
from vla_nav.evaluation.metrics import paired_difference
from vla_nav.evaluation.png import to_png
from vla_nav.evaluation.records import EpisodeRecord, summarise

_KEPT = ('success_rate', 'ci95', 'collision_rate', 'side_accuracy', 'goal_accuracy',
         'time_to_goal_s', 'failures')


def measure(bundle: str, delays_ms: Sequence[int], episodes: int, first_seed: int,
            workers: int = 1, note: Callable[[int, EpisodeRecord], None] = lambda delay, one: None,
            ) -> dict[str, Any]:
    """Return the closed-loop figures for each delay of the model, on the same episodes.

    Each is compared with the first: the ratio of successes, and the difference with its 95 %
    interval. ``note`` is told the delay and the record of each episode as it ends.
    """
    runs = {delay: closed_loop.run(
        closed_loop.Settings(bundle, episodes, first_seed, delay_ms=delay), workers,
        partial(note, delay))
        for delay in dict.fromkeys(delays_ms)}
    first = [record.success for record in next(iter(runs.values()))]
    rows = []
    for delay, records in runs.items():
        summary = summarise(records)
        wins = [record.success for record in records]
        rows.append({
            'delay_ms': delay, 'success': sum(wins), **{key: summary[key] for key in _KEPT},
            'relative': sum(wins) / sum(first) if any(first) else None,
            'minus_first': list(paired_difference(wins, first))})
    return {'policy': bundle, 'bundle_sha256': bundle_hash(bundle), 'episodes': episodes,
            'first_seed': first_seed, 'delays': rows}


def plot(result: Mapping[str, Any]) -> bytes:
    """Return a PNG of success and collisions against delay, success with 95 % intervals."""
    rows = result['delays']
    at = [row['delay_ms'] for row in rows]
    rates = np.array([row['success_rate'] for row in rows])
    low, high = np.array([row['ci95'] for row in rows]).T
    figure = Figure(figsize=(6.4, 3.4), layout='constrained')
    axes = figure.subplots()
    axes.errorbar(at, rates, (rates - low, high - rates), fmt='o-', capsize=3, color='#2a6f97',
                  label='success, 95 %')
    axes.plot(at, [row['collision_rate'] for row in rows], 's--', color='#c1666b',
              label='collisions')
    axes.set(xlabel='delay of the model, ms', ylabel='share of episodes', ylim=(0, 1.02),
             title=f'{result["policy"]}, {result["episodes"]} episodes each')
    axes.grid(alpha=0.3)
    figure.legend(loc='outside lower center', ncols=2)
    return to_png(figure, 120)
