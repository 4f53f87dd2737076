"""One take: what it was, how it ended by the operator's word, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.control.task import TaskState
from vla_nav.episodes.bag_reader import Recording, open_recording
from vla_nav.episodes.from_bag import kept_by_recorder, kept_success, kept_translation
from vla_nav.episodes.schema import EpisodeError
from vla_nav.fieldtest.figures import figures, had_policy, is_dry
from vla_nav.fieldtest.takes import is_unfinished
from vla_nav.fieldtest.trace import read_trace
from vla_nav.observations.translation import Translation

TRIAL, DRY_RUN, BY_HAND, UNREADABLE = 'trial', 'dry run', 'by hand', 'unreadable'
SUCCESS, FAILURE, UNMARKED, UNFINISHED = 'success', 'failure', 'unmarked', 'unfinished'
# What a take without this topic cannot tell.
_NEEDED = {'pictures': 'how the camera did', 'proposals': 'latencies',
           'commands': 'what was driven', 'guard': 'when and why the guard stopped the robot'}
Durations = dict[str, NDArray[np.int64]]


def read_take(bag: Path, progress: Callable[[int], Callable[[], None]] = lambda total: lambda: None
              ) -> tuple[dict[str, Any], Durations]:
    """Return a take as a row of the report, and the durations (ns) behind its percentiles.

    A take of which nothing can be read is a row too; ``problems`` says what is wrong.
    """
    problems: list[str] = []
    # The bag of a `vla-nav run` is named by its folder.
    name = bag.parent.name if bag.stem == 'bag' else bag.stem
    row: dict[str, Any] = {'take': name, 'bag': str(bag), 'kind': UNREADABLE,
                           'result': UNMARKED, 'scenario': '', 'instruction': '', 'bundle': None,
                           'problems': problems}
    try:
        with open_recording(bag) as recording:
            kept = _kept(recording, bag, problems)
            note = progress(sum(topic.messages for topic in recording.topics))
            trace = read_trace(recording, _translation(bag, kept, problems), note)
            problems += recording.problems
    except EpisodeError as error:
        problems.append(error.problem)
        return row, {}
    found, durations = figures(trace)
    problems += [f'{count} x {what}' if count > 1 else what
                 for what, count in trace.complaints.most_common(8)]
    problems += [f'no {role} were recorded, so {what} is not known'
                 for role, what in _NEEDED.items() if role not in trace.topics]
    texts = list(dict.fromkeys(text for _, text in trace.texts if text))
    row |= {
        'kind': DRY_RUN if is_dry(trace, found['guard']) else TRIAL if had_policy(trace)
        else BY_HAND,
        'result': _result(bag, kept, problems), 'scenario': str(kept.get('scenario') or ''),
        'instruction': str(kept.get('instruction') or '') or '; '.join(texts),
        'bundle': kept.get('bundle'),
        'arrived': TaskState.ARRIVED.value in found['task'], **found}
    if row['kind'] == TRIAL and row['result'] == SUCCESS and found['by_hand']:
        first = found['by_hand'][0]
        problems.append(f'marked a success, but a person stepped in ({first["reason"]} at '
                        f'{first["at_s"]:.1f} s)')
    return row, durations


def is_counted(row: dict[str, Any]) -> bool:
    """Tell whether a take belongs to the share of successes."""
    return row['kind'] == TRIAL and row['result'] in (SUCCESS, FAILURE)


def _kept(recording: Recording, bag: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return kept_by_recorder(recording.custom, bag)
    except EpisodeError as error:
        problems.append(str(error))
        return {}


def _translation(bag: Path, kept: dict[str, Any], problems: list[str]) -> Translation:
    try:
        return kept_translation(bag, kept)
    except EpisodeError as error:
        problems.append(str(error))
        return Translation()


def _result(bag: Path, kept: dict[str, Any], problems: list[str]) -> str:
    try:
        success = kept_success(bag, kept)
    except EpisodeError as error:
        problems.append(str(error))
        success = None
    if success is None:
        return UNFINISHED if is_unfinished(bag) else UNMARKED
    return SUCCESS if success else FAILURE
