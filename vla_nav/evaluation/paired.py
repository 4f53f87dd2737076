"""Two measurements of the same episodes: the difference between them is surer than either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vla_nav.evaluation.metrics import mcnemar, paired_difference
from vla_nav.evaluation.records import EpisodeRecord, read_records


def compare(first: Path, second: Path) -> dict[str, Any]:
    """Return first minus second of the success rates of two folders, with its 95 % interval.

    Raises ValueError where they did not drive the same episodes.
    """
    runs = [read_records(folder / 'episodes.jsonl') for folder in (first, second)]
    episodes = [[(one.seed, one.cell, one.instruction) for one in run] for run in runs]
    if episodes[0] != episodes[1] or not episodes[0]:
        raise ValueError(f'{first} and {second} hold {len(episodes[0])} and {len(episodes[1])} '
                         'episodes that are not the same: measure both with the same options')
    return {'first': str(first), 'second': str(second), **figures(*runs)}


def figures(first: Sequence[EpisodeRecord], second: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Return the same of two runs, record by record; ``p`` is McNemar's exact test."""
    a, b = ([one.success for one in run] for run in (first, second))
    difference, low, high = paired_difference(a, b)
    return {'episodes': len(a), 'first_rate': sum(a) / len(a), 'second_rate': sum(b) / len(b),
            'difference': difference, 'ci95': [low, high],
            'only_first': sum(x and not y for x, y in zip(a, b)),
            'only_second': sum(y and not x for x, y in zip(a, b)), 'p': mcnemar(a, b)}
