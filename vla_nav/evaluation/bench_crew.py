"""How much faster several processes drive a suite than one, and whether they drive the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from vla_nav.evaluation import machine
from vla_nav.evaluation.closed_loop import Settings
from vla_nav.evaluation.crew import GivenUp, LocalCrew
from vla_nav.evaluation.folder import bundle_hash
from vla_nav.evaluation.records import EpisodeRecord
from vla_nav.evaluation.suite import load_suite
from vla_nav.evaluation.suite_run import drive

BOUND = 1.8


def measure(suite_name: str, policy: str, episodes: int, sizes: tuple[int, ...],
            rounds: int, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Drive ``episodes`` of each row of a suite with crews of each size in turn.

    In ``rounds`` rounds, so that what else a machine does meets all alike; a crew's time is the
    best of its rounds, from when all its processes have driven their first episode.
    """
    suite, hashes = load_suite(suite_name), {policy: bundle_hash(policy)}
    jobs = [(settings, *job) for _, _, settings in suite.measurements([policy], episodes)
            for job in settings.jobs()]
    best = dict.fromkeys(sizes, float('inf'))
    records: dict[int, dict[int, EpisodeRecord]] = {}
    total, done = rounds * len(sizes) * len(jobs), 0

    def note() -> None:
        nonlocal done
        done += 1
        progress(done, total)
    for _ in range(rounds):
        for size in sizes:
            with LocalCrew(size) as crew:
                _drive(crew, jobs[:1] * 2 * size, hashes)  # loads what each process needs
                began = time.monotonic()
                found = _drive(crew, jobs, hashes, note)
                best[size] = min(best[size], time.monotonic() - began)
            records.setdefault(size, found)
    first = sizes[0]
    speedup = {size: round(best[first] / seconds, 3) for size, seconds in best.items()}
    identical = all(found == records[first] for found in records.values())
    return {
        'suite': suite.name, 'policy': policy, 'episodes': len(jobs),
        'seconds': best, 'speedup': speedup,
        'episodes_per_minute': {size: round(60 * len(jobs) / seconds, 1)
                                for size, seconds in best.items()},
        'identical': identical, 'bound': BOUND, 'machine': machine.describe(),
        'passed': identical and speedup[sizes[-1]] >= BOUND}


def _drive(crew: LocalCrew, jobs: Sequence[tuple[Settings, int, int, str]],
           hashes: dict[str, str], note: Callable[[], None] = lambda: None
           ) -> dict[int, EpisodeRecord]:
    records = {}
    for number, found in drive(crew, jobs, hashes):
        if isinstance(found, GivenUp):
            raise found
        records[number] = found[0]
        note()
    return records
