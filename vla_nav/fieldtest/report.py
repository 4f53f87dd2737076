"""All takes of a field test as one report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_nav import __version__
from vla_nav.control.diagnostics import percentiles_ms
from vla_nav.evaluation.records import rate
from vla_nav.fieldtest import page
from vla_nav.fieldtest.take import (
    DRY_RUN,
    SUCCESS,
    TRIAL,
    UNREADABLE,
    Durations,
    is_counted,
    read_take,
)
from vla_nav.fieldtest.takes import find_takes

REPORT, PAGE = 'report.json', 'index.html'


def field_report(paths: Sequence[Path], out: Path | None,
                 progress: Callable[[str, int], Callable[[], None]]
                 = lambda name, total: lambda: None) -> dict[str, Any]:
    """Read the takes at ``paths`` and return the report; with ``out``, write it and its page.

    ``progress`` takes a take's name and its number of messages and returns what to call after
    each. Raises EpisodeError where there is no take at all.
    """
    takes = find_takes(paths)
    rows, durations = [], []
    for bag in takes.bags:
        row, behind = read_take(bag, lambda total, bag=bag: progress(  # type: ignore[misc]
            bag.stem, total))
        rows.append(row)
        if row['kind'] in (TRIAL, DRY_RUN):
            durations.append(behind)
    report = {'version': __version__, 'sources': [str(path) for path in paths],
              **summarise(rows, durations), 'discarded': list(takes.discarded),
              'problems': [*takes.problems, *_between(rows)], 'takes': rows}
    report['counts']['discarded'] = len(takes.discarded)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False,
                                             allow_nan=False) + '\n', 'utf-8')
        page.write_page(out / PAGE, report)
    return report


def summarise(rows: Sequence[dict[str, Any]], durations: Sequence[Durations]) -> dict[str, Any]:
    """Return counts of takes, successes with intervals, and the trials' figures in all.

    ``durations`` are those of trials and dry runs, whose real time is the same.
    """
    trials = [row for row in rows if row['kind'] == TRIAL]
    counted = [row for row in trials if is_counted(row)]
    names = list(dict.fromkeys(name for one in durations for name in one))
    return {
        'counts': {'takes': len(rows), **Counter(
            row['kind'] if row['kind'] != TRIAL else f'trials: {row["result"]}' for row in rows)},
        'success': {'all': rate(_marks(counted)), 'by_scenario': _by(counted, 'scenario'),
                    'by_instruction': _by(counted, 'instruction'),
                    'without a person stepping in': rate(
                        [mark and not row['by_hand']
                         for mark, row in zip(_marks(counted), counted)]),
                    'arrived by its own word, but a failure': sum(
                        row['arrived'] and row['result'] != SUCCESS for row in counted)},
        'driven': {key: round(sum(row['driven'][key] or 0.0 for row in trials), 3)
                   for key in ('m', 'commanded_m', 'seconds')},
        'stops': _totals(one for row in trials for one in row['stops']),
        'by_hand': _totals(one for row in trials for one in row['by_hand']),
        'latency_ms': {name: percentiles_ms(np.concatenate([one[name] for one in durations]))
                       for name in names}}


def _marks(rows: Iterable[dict[str, Any]]) -> list[bool]:
    return [row['result'] == SUCCESS for row in rows]


def _by(rows: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    return {name or '(none)': rate(_marks(row for row in rows if row[key] == name))
            for name in sorted({row[key] for row in rows})}


def _totals(stops: Iterable[dict[str, Any]]) -> dict[str, Any]:
    times: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for stop in stops:
        times[stop['reason']] += 1
        seconds[stop['reason']] += stop['seconds']
    return {reason: {'times': count, 'seconds': round(seconds[reason], 3)}
            for reason, count in times.most_common()}


def _between(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return what is wrong with the takes as a whole."""
    said = []
    bundles = {json.dumps(row['bundle'], sort_keys=True) for row in rows if row['kind'] == TRIAL}
    if len(bundles) > 1:
        said.append(f'the trials were driven by {len(bundles)} bundles: figures of one are no '
                    f'figures of the other; report them apart: {", ".join(sorted(bundles))}')
    unreadable = [row['take'] for row in rows if row['kind'] == UNREADABLE]
    if unreadable:
        said.append(f'nothing can be read of {", ".join(unreadable)}')
    return said
