"""How the detector's figures of the results page are read from its summaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vla_nav.evaluation.table import DETECTOR, Figure, Taken


def detector_map50(taken: Taken) -> Figure:
    """Return the shipped graph's mAP50 on the pictures of the comparison."""
    shipped = _shipped(taken)
    found = shipped['accuracy'][shipped['deployed']]
    return Figure(found['map50'], taken['detectors']['pictures'], *found['interval'])


def detector_change(taken: Taken) -> Figure:
    """Return by how much int8 changes mAP50, either way."""
    change = _shipped(taken)['change']
    low, high = change['interval']
    if change['map50'] < 0:
        low, high = -high, -low
    return Figure(abs(change['map50']), taken['detectors']['pictures'], low, high)


def detector_megabytes(taken: Taken) -> Figure:
    """Return the size of the int8 graph, MB."""
    return Figure(_shipped(taken)['bytes']['int8'] / 1e6, 1)


def on_npu(what: str) -> Callable[[Taken], Figure]:
    """Return what reads the least share of ``what`` ('operators', 'macs') that Ethos-U runs.

    Of the models that the comparison recommends as balanced, one for each such target.
    """
    def read(taken: Taken) -> Figure:
        found = taken['detectors']
        shares = []
        for target, choice in found['recommendations'].items():
            if target.startswith('ethos-u'):
                report = found['models'][choice['balanced']]['npu'][target]
                shares.append(report[f'{what}_on_npu'] / report[what])
        return Figure(min(shares), len(shares))
    return read


def bound(name: str) -> Callable[[Taken], Figure]:
    """Return what reads a figure of the detector's benchmark that has a limit."""
    return lambda taken: Figure(taken['detector']['bounds'][name]['value'],
                                taken['detector']['steps'])


def collisions(taken: Taken) -> Figure:
    """Return how many boxes were touched; the interval is of the share, times the episodes."""
    summary = taken['trials']
    n = summary['episodes']
    return Figure(summary['collisions'], n, *(n * end for end in summary['ci95']))


def _shipped(taken: Taken) -> Mapping[str, Any]:
    shipped: Mapping[str, Any] = taken['detectors']['models'][Path(DETECTOR).name]
    return shipped
