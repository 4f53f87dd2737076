"""Where the package's shared files (config, models, launch) are, however it was installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = 'vla_nav'


def share_directory() -> Path:
    """Return the directory that holds ``config/`` and ``models/``.

    A source checkout comes first, then the prefixes that ROS knows, then the interpreter's.
    """
    checkout = Path(__file__).resolve().parents[2]
    prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    candidates = [checkout, *(Path(p) / 'share' / PACKAGE for p in (*prefixes, sys.prefix))]
    for candidate in candidates:
        if (candidate / 'config' / 'robot.yaml').is_file():
            return candidate
    raise FileNotFoundError(
        f'config/robot.yaml of {PACKAGE} found in none of '
        f'{", ".join(map(str, candidates))}; install the package with pip or colcon')


def find_bundle(path: str) -> str:
    """Return ``path`` where it exists, else the bundle of that name that the package ships.

    A path that exists nowhere is returned as it is, for the policy to refuse with its own words.
    """
    if Path(path).is_dir():
        return str(Path(path).resolve())
    shipped = share_directory() / 'models' / Path(path).name
    return str(shipped) if shipped.is_dir() else path
