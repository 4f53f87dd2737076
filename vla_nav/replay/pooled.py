"""The figures of many bags together, and what evaluating them has cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from vla_nav.evaluation.bootstrap import mean_error, paired_difference
from vla_nav.evaluation.metrics import wilson_interval

_HOUR_S = 3600.0


def pooled(runs: Mapping[str, Mapping[str, Any]],
           summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the summary of all bags; ``summaries`` are those of the bags that could be read.

    Errors are means over all pictures with a driven command; intervals resample whole bags.
    """
    hours = sum(one['seconds'] for one in summaries.values()) / _HOUR_S
    stops = Counter(stop['reason'] for one in summaries.values()
                    for stop in one['guard']['stops'])
    guard = Counter[str]()
    for one in summaries.values():
        guard.update(one['guard']['seconds'])
    said = [one['recorded_success'] for one in summaries.values()
            if one['recorded_success'] is not None]
    return {
        'bags': len(runs), 'evaluated': len(summaries), 'hours': round(hours, 4),
        'failed': {name: run['error'] for name, run in runs.items() if 'error' in run},
        'pictures': dict(sum((Counter(one['pictures']) for one in summaries.values()),
                             Counter[str]())),
        'errors': _errors([one for one in summaries.values() if one['errors']]),
        'guard': {'seconds': {reason: round(seconds, 3) for reason, seconds in guard.items()},
                  'stops': dict(stops.most_common())},
        **_detections([one['detections'] for one in summaries.values() if 'detections' in one]),
        'recorded_success': {'takes': len(said), 'successes': sum(said),
                             'ci95': wilson_interval(sum(said), len(said))} if said else None,
        'cost': _cost([run for run in runs.values() if 'error' not in run], hours),
        # Of a bag that no worker survived, nobody knows where.
        'machines': dict(Counter(run['machine'] for run in runs.values() if 'machine' in run)),
    }


def _detections(found: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many pictures were looked at, and what was in them; nothing without detector."""
    if not found:
        return {}
    classes = sorted({name for one in found for name in one['classes']})
    return {'detections': {
        'detector': found[0]['detector'], 'pictures': sum(one['pictures'] for one in found),
        'classes': {name: {key: sum(one['classes'][name][key] for one in found
                                    if name in one['classes'])
                           for key in ('boxes', 'pictures')} for name in classes}}}


def _errors(summaries: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return mean errors of what predicts in every bag."""
    if not summaries:
        return None
    tables = [one['errors']['predictors'] for one in summaries]
    names = [name for name in tables[0] if all(name in table for table in tables)]
    # The joint error is over all axes of a picture.
    counts = np.array([one['errors']['samples'] * (len(table['policy']) - 1)
                       for one, table in zip(summaries, tables)])
    sums = {name: counts * [table[name]['joint']['mae'] for table in tables] for name in names}
    return {
        'samples': sum(one['errors']['samples'] for one in summaries),
        'mae': {name: mean_error(values, counts)._asdict() for name, values in sums.items()},
        'policy_minus': {name: paired_difference(sums['policy'], values, counts)._asdict()
                         for name, values in sums.items() if name != 'policy'},
    }


def _cost(runs: list[Mapping[str, Any]], hours: float) -> dict[str, float] | None:
    """Return what an hour of recording takes; None where nothing was evaluated."""
    if not hours:
        return None
    return {
        'core_seconds_per_hour': round(sum(run['cpu_s'] for run in runs) / hours, 1),
        'times_real_time_per_worker': round(
            hours * _HOUR_S / sum(run['wall_s'] for run in runs), 2),
        'gigabytes_per_hour': round(sum(run['bytes'] for run in runs) / hours / 1e9, 3),
        'peak_mb': max(run['peak_mb'] for run in runs),
    }
