"""Which recordings belong to a field test, and which were thrown away."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_nav.episodes.bag_folders import bags_below
from vla_nav.episodes.schema import EpisodeError
from vla_nav.recording.take import DISCARDED, UNFINISHED


@dataclass(frozen=True)
class Takes:
    """Bags in the order of their names, and what the recorder noted of takes thrown away."""

    bags: tuple[Path, ...]
    discarded: tuple[dict[str, Any], ...]
    problems: tuple[str, ...]


def find_takes(paths: Iterable[Path]) -> Takes:
    """Find the bags at and below ``paths``, also those that a crash cut off.

    Raises EpisodeError where there is none.
    """
    paths = [*paths]
    bags = bags_below(paths)
    ledgers = {ledger.resolve(): ledger for path in paths for ledger in path.rglob(DISCARDED)}
    discarded, problems = _discarded(ledgers.values())
    if not bags and not discarded:
        raise EpisodeError(' '.join(map(str, paths)), 'takes', 'there are none; give bags, or the '
                           'folder that `vla-nav record --out` was given')
    return Takes(tuple(bags), tuple(discarded), tuple(problems))


def is_unfinished(bag: Path) -> bool:
    """Tell whether the recorder came to no end with this one."""
    return UNFINISHED in bag.parts


def _discarded(ledgers: Iterable[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    found, problems = [], []
    for ledger in ledgers:
        for number, line in enumerate(ledger.read_text('utf-8', 'replace').splitlines(), 1):
            try:
                found.append(dict(json.loads(line)))
            except (ValueError, TypeError):
                problems.append(f'{ledger}, line {number}: not a note of a discarded take')
    return found, problems
