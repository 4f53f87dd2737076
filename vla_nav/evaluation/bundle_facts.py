"""What a bundle says of its own training: action statistics, the drives it knows, its curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from vla_nav.bringup.share import find_bundle
from vla_nav.evaluation.baselines import DriveStatistics
from vla_nav.runtimes.bundle import read_bundle
from vla_nav.runtimes.ensemble import networks
from vla_nav.spaces import AXES


def members(policy: str) -> list[Path]:
    """Return the directories of a bundle's networks: its own, or those of an ensemble's members.

    Raises PolicyError where one is no bundle.
    """
    return [path for path, _ in networks(Path(find_bundle(policy)))]


def training_statistics(policy: str) -> DriveStatistics | None:
    """Return what baselines may know: the training actions' statistics; None without any."""
    for directory in members(policy):
        config = read_bundle(directory)
        known: dict[str, Any] | None = getattr(config, 'training', {}).get('statistics')
        if known:
            columns = [AXES.index(axis) for axis in known['axes']]
            by_step = np.zeros((len(known['by_step']), len(AXES)))
            by_step[:, columns] = known['by_step']
            mean, median = np.zeros(len(AXES)), np.zeros(len(AXES))
            mean[columns], median[columns] = known['mean'], known['median']
            return DriveStatistics(mean, median, by_step, 0.0, 0.0, 0.0)
    return None


def known_drives(policy: str, parts: tuple[str, ...] = ('train', 'validation')) -> frozenset[str]:
    """Return the fingerprints of the drives that a bundle and its members were made with."""
    known: set[str] = set()
    for directory in {Path(find_bundle(policy)), *members(policy)}:
        path = directory / 'split.json'
        if path.is_file():
            split = json.loads(path.read_text('utf-8'))
            known.update(*(split.get(part, []) for part in parts))
    return frozenset(known)


def history(policy: str) -> list[dict[str, Any]]:
    """Return the epochs of a bundle's training; empty where it keeps none."""
    path = Path(find_bundle(policy)) / 'metrics.json'
    if not path.is_file():
        return []
    return json.loads(path.read_text('utf-8')).get('history', [])  # type: ignore[no-any-return]
