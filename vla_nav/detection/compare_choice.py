"""Which of the compared detectors to take: a rule that anybody can follow in the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BALANCED_LOSS = 0.01
USABLE_MAP50 = 0.88
CPU = 'cpu'

RULE = f"""\
Every figure is that of the graph that is deployed. For each target, and for the CPU, the models
with a time there are looked at; on an NPU only those that run all operators on it, where there
are any.

- **Safest**: the highest recall at the score that the detector drives with, since an obstacle
  that is missed is worse than one too many; of equals, the higher mAP50-95.
- **Balanced**: the shortest time among the models whose mAP50 is at most
  {100 * BALANCED_LOSS:g} point below the best.
- **Fastest**: the shortest time among the models whose mAP50 is at least {USABLE_MAP50:g}; no
  model where none reaches it.
"""


def recommend(models: Mapping[str, Mapping[str, Any]], targets: tuple[str, ...]
              ) -> dict[str, dict[str, str | None]]:
    """Return safest, balanced and fastest by ``RULE`` for each target that gives times.

    ``models`` are those of the comparison's JSON.
    """
    chosen = {}
    for target in (*targets, CPU):
        times = {name: time for name, model in models.items()
                 if (time := time_ms(model, target)) is not None and _figures(model)['map50']}
        whole = {name for name in times if runs_wholly(models[name], target)}
        names = sorted(whole or times)
        if names:
            chosen[target] = _choose({name: _figures(models[name]) for name in names}, times)
    return chosen


def time_ms(model: Mapping[str, Any], target: str) -> float | None:
    """Return the compiler's estimate for a target, or the network's median on the CPU, in ms."""
    if target == CPU:
        latency = model['latency_ms'].get(model['deployed'])
        return latency and latency['network'].get('p50')
    found = model['npu'].get(target)
    return found and found['estimated_ms']


def runs_wholly(model: Mapping[str, Any], target: str) -> bool:
    """Tell whether no operator falls back to the CPU; on the CPU none can."""
    found = model['npu'].get(target)
    return target == CPU or (bool(found) and found['operators_on_npu'] == found['operators'])


def _figures(model: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = model['accuracy'][model['deployed']]
    return found


def _choose(figures: Mapping[str, Mapping[str, Any]], times: Mapping[str, float]
            ) -> dict[str, str | None]:
    best = max(found['map50'] for found in figures.values())

    def quickest(least: float) -> str | None:
        good = [name for name, found in figures.items() if found['map50'] >= least]
        return min(good, key=lambda name: times[name], default=None)

    return {'safest': max(figures, key=lambda name: (figures[name]['recall'],
                                                     figures[name]['map50_95'])),
            'balanced': quickest(best - BALANCED_LOSS), 'fastest': quickest(USABLE_MAP50)}
