"""Training, validation and test: whole drives, never frames of one in two parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vla_nav.episodes.split import split_episodes
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.recordings import Recording

BY = ('scenario', 'session', 'date')
# Scenarios with fewer drives than this share a stratum: each alone could not give to all parts.
_SMALLEST_STRATUM = 3


class Parts(NamedTuple):
    """The three parts; the weights see the first, choices the second, reports the third."""

    train: list[Recording]
    validation: list[Recording]
    test: list[Recording]


def partition(recordings: Sequence[Recording], by: str = 'scenario',
              validation_share: float = 0.1, test_share: float = 0.1, seed: int = 0) -> Parts:
    """Split recordings into parts; the same names and seed always give the same parts.

    ``by`` 'scenario' gives each part its share of every scenario; 'session' and 'date' put
    whole sessions or days into one part, for recordings that were cut out of longer ones.
    Recordings of the same pictures (one drive under several instructions) stay together.
    """
    if by not in BY:
        raise TrainingError(f'train.split_by is {by!r}, expected one of {list(BY)}')
    unit_of = {r.name: r.pictures if by == 'scenario' else getattr(r, by) for r in recordings}
    stratum_of = {unit_of[r.name]: r.scenario if by == 'scenario' else '' for r in recordings}
    sizes = Counter(stratum_of.values())
    strata = {unit: stratum if sizes[stratum] >= _SMALLEST_STRATUM else '(rare)'
              for unit, stratum in stratum_of.items()}
    rest, test = (split_episodes(strata, test_share, seed) if test_share > 0
                  else (sorted(strata), []))
    train, validation = split_episodes({unit: strata[unit] for unit in rest},
                                       validation_share / (1.0 - test_share), seed + 1)
    parts = Parts(*([r for r in recordings if unit_of[r.name] in units]
                    for units in map(frozenset, (train, validation, test))))
    if not parts.train or not parts.validation or (test_share > 0 and not parts.test):
        what = 'drives' if by == 'scenario' else f'{by}s'
        raise TrainingError(
            f'{len(recordings)} recordings of {len(strata)} {what} are too few for training, '
            'validation and test: record more, or set train.test_share=0 or another '
            'train.split_by')
    refuse_leakage(parts)
    return parts


def refuse_leakage(parts: Parts) -> None:
    """Raise TrainingError where two parts hold the same pictures or the same actions."""
    for field in ('pictures', 'driven'):
        owner: dict[str, tuple[str, str]] = {}
        for part, members in parts._asdict().items():
            for recording in members:
                other = owner.setdefault(getattr(recording, field), (part, recording.name))
                if other[0] != part:
                    raise TrainingError(
                        f'{recording.name} ({part}) and {other[1]} ({other[0]}) have the same '
                        f'{"pictures" if field == "pictures" else "actions"}: results on what '
                        'was seen in training are worth nothing; delete one of them')


def seen_in(recordings: Iterable[Recording], known: Iterable[str]) -> list[str]:
    """Return the names of recordings whose pictures are among the fingerprints ``known``."""
    prints = {*known}
    return [recording.name for recording in recordings if recording.pictures in prints]
