"""Where figures come from: the commit, the day and the machine, for the files that hold them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import vla_nav
from vla_nav.evaluation.machine import describe

_CHECKOUT = Path(vla_nav.__file__).parents[1]


def made(checkout: Path = _CHECKOUT) -> str:
    """Return the commit of this code and today's date (UTC); the date alone where none is known.

    'with changes' where the code or the shipped bundles are not as they were committed.
    """
    day = f'{datetime.now(timezone.utc):%Y-%m-%d}'

    def git(*words: str) -> str:
        return subprocess.run(['git', '-C', str(checkout), *words], capture_output=True,
                              text=True, check=True).stdout.strip()
    try:
        # Installed packages lie within other repositories too, whose commits say nothing of them.
        git('ls-files', '--error-unmatch', 'vla_nav/__init__.py')
        dirty = git('status', '--porcelain', '--untracked-files=no', '--', 'vla_nav', 'models')
        return f'{git("rev-parse", "--short", "HEAD")}{" with changes" if dirty else ""}, {day}'
    except (OSError, subprocess.CalledProcessError):
        return day


def together(parts: Iterable[str]) -> str:
    """Return when figures were made whose parts were made at several times; '' is unknown."""
    return ' and '.join(dict.fromkeys(part or 'unknown' for part in parts))


def provenance(parts: Iterable[str] | None = None) -> dict[str, Any]:
    """Return ``made`` and ``machine`` as results files hold them.

    ``parts`` tell when each figure was made where that was not now; '' is unknown.
    """
    return {'made': made() if parts is None else together(parts), 'machine': describe()}
