"""The figures of a suite: each row of each policy, what it loses, and who is better."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from vla_nav.evaluation import bootstrap, paired
from vla_nav.evaluation.records import EpisodeRecord, summarise
from vla_nav.evaluation.suite import Suite
from vla_nav.simulation.scenario import SCENARIO_VERSION

Records = Mapping[str, Mapping[str, Sequence[EpisodeRecord]]]  # policy -> row -> in order
_KEPT = ('success_rate', 'ci95', 'episodes', 'collision_rate', 'side_accuracy', 'goal_accuracy',
         'spl', 'time_to_goal_s', 'failures', 'failed_seeds')


def summary_of(suite: Suite, records: Records, hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return what ``summary.json`` holds.

    All intervals are of 95 %. ``success`` is over all rows; ``lost`` is a row against the one
    beside it, and ``paired`` a policy minus the first one, on the same scenes. ``p_holm`` holds
    for all rows of a comparison together (Holm 1979).
    """
    first, *others = records
    return {
        'suite': suite.name, 'version': suite.version, 'digest': suite.digest,
        'scenario_version': SCENARIO_VERSION, 'first_seed': suite.first_seed,
        'rows': {row.name: row.title for row in suite.rows},
        'policies': {policy: {
            'bundle_sha256': hashes[policy],
            'success': _over_scenes(rows),
            'rows': {row.name: _row(rows, row.name, row.beside) for row in suite.rows}}
            for policy, rows in records.items()},
        'paired': {other: {'success': _over_scenes(records[other], records[first]),
                           'rows': _by_row(records[other], records[first])}
                   for other in others}}


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values that hold together, by Holm's step-down procedure (1979)."""
    adjusted, worst = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        worst = max(worst, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = worst
    return adjusted


def _row(rows: Mapping[str, Sequence[EpisodeRecord]], name: str, beside: str) -> dict[str, Any]:
    summary = summarise(rows[name])
    kept = {key: summary[key] for key in _KEPT}
    return {**kept, 'lost': paired.figures(rows[beside], rows[name])} if beside else kept


def _by_row(of: Mapping[str, Sequence[EpisodeRecord]],
            against: Mapping[str, Sequence[EpisodeRecord]]) -> dict[str, dict[str, Any]]:
    found = {name: paired.figures(of[name], against[name]) for name in of}
    together = holm([row['p'] for row in found.values()])
    return {name: {**row, 'p_holm': p} for (name, row), p in zip(found.items(), together)}


def _over_scenes(of: Mapping[str, Sequence[EpisodeRecord]],
                 minus: Mapping[str, Sequence[EpisodeRecord]] | None = None) -> dict[str, Any]:
    """Return the mean over all episodes; one scene in several rows counts as one sample."""
    sums, counts = defaultdict[tuple[int, str], int](int), defaultdict[tuple[int, str], int](int)
    for name, records in of.items():
        for index, record in enumerate(records):
            scene = record.seed, record.cell
            sums[scene] += record.success - (minus[name][index].success if minus else 0)
            counts[scene] += 1
    return bootstrap.mean_error(list(sums.values()), list(counts.values()))._asdict()
