"""Policies through a suite: every episode once, over whatever processes there are."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vla_nav.bringup.share import find_bundle
from vla_nav.contracts import PolicyError
from vla_nav.evaluation import machine
from vla_nav.evaluation.baselines import OPEN_LOOP, DriveStatistics
from vla_nav.evaluation.closed_loop import Settings, drive_episode
from vla_nav.evaluation.crew import Crew, GivenUp, finish
from vla_nav.evaluation.drivers import BASELINES, drive_statistics
from vla_nav.evaluation.records import EpisodeRecord
from vla_nav.evaluation.suite import Suite
from vla_nav.evaluation.suite_ledger import Key, Ledger, Line

_RECHECKED = 24


def run(suite: Suite, hashes: Mapping[str, str], ledger: Ledger, crew: Crew,
        episodes: int | None = None, note: Callable[[EpisodeRecord], None] = lambda record: None,
        ) -> None:
    """Drive each episode that the ledger lacks; ``hashes`` are those of the policies' bundles.

    Raises GivenUp after all others where some could not be driven.
    """
    wanted = _wanted(suite, list(hashes), episodes)
    keys = missing(suite, hashes, ledger, episodes)
    failures = []
    for number, found in drive(crew, [wanted[key] for key in keys], hashes):
        policy, row, _ = keys[number]
        if isinstance(found, GivenUp):
            failures.append(f'{policy}, {row}, seed {wanted[keys[number]][2]}: {found}')
        else:
            record, kind = found
            ledger.add(Line(policy, row, kind, record))
            note(record)
    ledger.sort()
    if failures:
        raise GivenUp(f'{len(failures)} of {len(wanted)} episodes could not be driven; the others '
                      'are kept, and the same command tries these again:\n' + '\n'.join(failures))


def missing(suite: Suite, hashes: Mapping[str, str], ledger: Ledger,
            episodes: int | None = None) -> list[Key]:
    """Return which episodes the ledger lacks, in the order in which they are driven."""
    return [key for key in _wanted(suite, list(hashes), episodes) if key not in ledger.lines]


def chosen(suite: Suite, policies: Sequence[str], ledger: Ledger, episodes: int | None = None,
           ) -> dict[str, dict[str, list[EpisodeRecord]]]:
    """Return the records of each policy and row in order; a ledger may hold more of them."""
    found: dict[str, dict[str, list[EpisodeRecord]]] = {}
    for policy, row, settings in suite.measurements(list(policies), episodes):
        found.setdefault(policy, {})[row] = [
            ledger.lines[policy, row, index].record for index in range(settings.episodes)]
    return found


def recheck(suite: Suite, hashes: Mapping[str, str], ledger: Ledger, crew: Crew,
            episodes: int | None = None) -> dict[str, Any]:
    """Say on what machines the episodes were driven, and whether that matters.

    Some of those that another kind of machine than this one has driven are driven here once
    more; ``differing`` is how many of these ``rechecked`` ended otherwise in any figure.
    """
    wanted = _wanted(suite, list(hashes), episodes)
    foreign = [key for key in wanted if ledger.lines[key].machine != machine.kind()]
    sample = foreign[::max(1, len(foreign) // _RECHECKED)][:_RECHECKED]
    differing = 0
    for number, found in drive(crew, [wanted[key] for key in sample], hashes):
        if isinstance(found, GivenUp):
            raise found
        differing += found[0] != ledger.lines[sample[number]].record
    kinds = Counter(ledger.lines[key].machine for key in wanted)
    return {'machines': dict(sorted(kinds.items())), 'rechecked': len(sample),
            'differing': differing}


_Job = tuple[Settings, DriveStatistics | None, int, int, str]


def _wanted(suite: Suite, policies: list[str], episodes: int | None
            ) -> dict[Key, tuple[Settings, int, int, str]]:
    return {(policy, row, index): (settings, index, seed, cell)
            for policy, row, settings in suite.measurements(policies, episodes)
            for index, seed, cell in settings.jobs()}


def drive(crew: Crew, jobs: Sequence[tuple[Settings, int, int, str]],
          hashes: Mapping[str, str]
          ) -> Iterator[tuple[int, tuple[EpisodeRecord, str] | GivenUp]]:
    """Yield the index of each of ``jobs``, its record, and what kind of machine drove it."""
    statistics = drive_statistics() if any(
        settings.policy in OPEN_LOOP for settings, *_ in jobs) else None
    return finish(crew, _episode, [
        (hashes[settings.policy], _located(settings), statistics, *job)
        for settings, *job in jobs])


def _located(settings: Settings) -> Settings:
    """Return settings that a worker in another directory understands."""
    name = settings.policy
    return settings if name in BASELINES else replace(settings, policy=find_bundle(name))


def _episode(sha: str, settings: Settings, statistics: DriveStatistics | None, index: int,
             seed: int, cell: str) -> tuple[EpisodeRecord, str]:
    """Drive one episode in a worker and say on what kind of machine."""
    _check_bundle(settings.policy, sha)
    return drive_episode(settings, statistics, index, seed, cell), machine.kind()


@functools.cache
def _check_bundle(policy: str, sha: str) -> None:
    # A worker of a cluster has files of its own.
    from vla_nav.evaluation.folder import bundle_hash
    if bundle_hash(policy) != sha:
        raise PolicyError(f'{policy} on a worker is not the bundle that the run was begun with; '
                          'copy it to all machines, or name a folder that they share')
