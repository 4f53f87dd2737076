"""What is kept of one episode, and the summary of many."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vla_nav.evaluation.metrics import mean_interval, wilson_interval
from vla_nav.spaces import AXES


@dataclass(frozen=True)
class EpisodeRecord:
    """One driven episode, as a line of ``episodes.jsonl``.

    ``distractor``: another object shares the goal's kind or colour. ``reached``: the object at
    which the robot came to rest, '' for none. ``jerk``: RMS per axis (m/s³, m/s³, rad/s³).
    ``person_contact``: it touched the person. ``reason``: 'success', or why the episode failed.
    """

    index: int
    seed: int
    cell: str
    family: str
    language: str
    instruction: str
    distractor: bool
    success: bool
    oracle_success: bool
    collision: bool
    person_contact: bool
    side_correct: bool
    goal_correct: bool
    reached: str
    time_s: float
    path_length_m: float
    shortest_m: float
    spl: float
    jerk: tuple[float, float, float]
    steps: int
    reason: str


def write_records(path: Path, records: Iterable[EpisodeRecord]) -> None:
    """Write one JSON object a line."""
    path.write_text(''.join(json.dumps(asdict(record), ensure_ascii=False) + '\n'
                            for record in records), encoding='utf-8')


def read_records(path: Path) -> list[EpisodeRecord]:
    """Read :func:`write_records`'s file; an error names the line."""
    records = []
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
        try:
            records.append(record_of(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f'{path}, line {number}: not an episode record: {error}') from error
    return records


def record_of(row: Mapping[str, Any]) -> EpisodeRecord:
    """Return the record whose fields were read from JSON; TypeError or KeyError for others."""
    return EpisodeRecord(**{**row, 'jerk': tuple(row['jerk'])})


def rate(flags: Sequence[bool]) -> dict[str, Any]:
    """Return a share with its count and Wilson 95 % interval."""
    low, high = wilson_interval(sum(flags), len(flags))
    share = sum(flags) / len(flags) if flags else None
    return {'rate': share, 'ci95': [low, high], 'n': len(flags)}


def summarise(records: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Return the figures of ``summary.json`` without the settings.

    Rates are over all episodes: a robot that never reached the boxes went the wrong way too.
    ``time_to_goal_s`` is the mean over the successes, None without any.
    """
    if not records:
        raise ValueError('no episodes to summarise')
    success = rate([record.success for record in records])
    times = [record.time_s for record in records if record.success]
    spls = [record.spl for record in records]
    jerk = np.mean([record.jerk for record in records], axis=0)
    failed = [record for record in records if not record.success]
    return {
        'success_rate': success['rate'],
        'ci95': success['ci95'],
        'episodes': len(records),
        'oracle_success_rate': _share(records, lambda r: r.oracle_success),
        'collision_rate': _share(records, lambda r: r.collision),
        'person_contact_rate': _share(records, lambda r: r.person_contact),
        'spl': float(np.mean(spls)),
        'side_accuracy': _share(records, lambda r: r.side_correct),
        'goal_accuracy': _share(records, lambda r: r.goal_correct),
        'time_to_goal_s': float(np.mean(times)) if times else None,
        'jerk': dict(zip(AXES, jerk.tolist())),
        'intervals': {
            'oracle_success_rate': rate([r.oracle_success for r in records])['ci95'],
            'collision_rate': rate([r.collision for r in records])['ci95'],
            'side_accuracy': rate([r.side_correct for r in records])['ci95'],
            'goal_accuracy': rate([r.goal_correct for r in records])['ci95'],
            'spl': [None if math.isnan(bound) else min(max(bound, 0.0), 1.0)
                    for bound in mean_interval(spls)],
        },
        'families': _by(records, lambda r: r.family),
        'cells': _by(records, lambda r: r.cell),
        'languages': _by(records, lambda r: r.language),
        'distractor': _by(records, lambda r: 'shared' if r.distractor else 'none'),
        'failures': dict(Counter(r.reason for r in failed).most_common()),
        'failed_seeds': [r.seed for r in failed],
    }


def _share(records: Sequence[EpisodeRecord], of: Callable[[EpisodeRecord], bool]) -> float:
    return sum(map(of, records)) / len(records)


def _by(records: Sequence[EpisodeRecord],
        key: Callable[[EpisodeRecord], str]) -> dict[str, dict[str, Any]]:
    """Return success by the value of ``key``, sorted by it."""
    groups: dict[str, list[bool]] = {}
    for record in records:
        groups.setdefault(key(record), []).append(record.success)
    return {name: rate(groups[name]) for name in sorted(groups)}
