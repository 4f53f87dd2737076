"""Split episodes into training and validation: whole episodes, each scenario in its share."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping


def split_episodes(scenario_of: Mapping[str, str], validation_share: float = 0.1,
                   seed: int = 0) -> tuple[list[str], list[str]]:
    """Return (training, validation), each sorted, of the episodes named by ``scenario_of``.

    Every scenario with two or more episodes gives at least one to each part; those with a single
    one are taken together, as if they were one scenario. The order comes from a hash of seed and
    name, so it depends neither on the order of the files nor on a random generator's version.
    """
    if not 0.0 < validation_share < 1.0:
        raise ValueError(f'validation_share is {validation_share}, expected one in (0, 1)')
    strata: defaultdict[str, list[str]] = defaultdict(list)
    for name, scenario in scenario_of.items():
        strata[scenario].append(name)
    train: list[str] = []
    validation: list[str] = []
    alone = [names.pop() for names in strata.values() if len(names) == 1]
    for names in filter(None, [*strata.values(), alone]):
        names.sort(key=lambda name: hashlib.sha256(f'{seed}:{name}'.encode()).digest())
        count = round(validation_share * len(names))
        if len(names) > 1:
            count = min(max(count, 1), len(names) - 1)
        validation += names[:count]
        train += names[count:]
    return sorted(train), sorted(validation)
