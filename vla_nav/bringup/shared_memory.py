"""The removal of shared memory that processes of Fast DDS have left behind."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

SHM = Path('/dev/shm')
_LOCKS = ('_el', '_sl')
_PREFIXES = ('fastrtps', 'fastdds')  # of Fast DDS 2 (to Jazzy) and 3 (from Kilted)


def remove_stale_segments(directory: Path = SHM) -> list[str]:
    """Remove what :func:`stale_segments` finds; return the names."""
    stale = stale_segments(directory)
    for segment in stale:
        mutex = segment.with_name(f'sem.{segment.name}_mutex')
        for path in (segment, mutex, *_locks(segment)):
            path.unlink(missing_ok=True)
    return [segment.name for segment in stale]


def stale_segments(directory: Path = SHM) -> list[Path]:
    """Return the Fast DDS segments and ports of processes that have died.

    A process that is killed cannot remove its segments. Their owner holds a lock beside them;
    where there is none, what no process has in its memory belongs to nobody. Other users'
    segments are left alone.
    """
    mapped = _mapped(directory)
    stale = []
    for segment in sorted(path for one in _PREFIXES for path in directory.glob(f'{one}_*')):
        if segment.name.endswith(_LOCKS) or not _is_ours(segment):
            continue
        locks = _locks(segment)
        # A reader keeps a dead writer's segment mapped, so that the lock says more.
        if all(map(_is_free, locks)) if locks else segment not in mapped:
            stale.append(segment)
    return stale


def _locks(segment: Path) -> list[Path]:
    return [lock for lock in (Path(f'{segment}{end}') for end in _LOCKS) if lock.exists()]


def _mapped(directory: Path) -> set[Path]:
    """Return the files in ``directory`` that a process has in its memory."""
    found: set[Path] = set()
    for maps in Path('/proc').glob('[0-9]*/maps'):
        try:
            lines = maps.read_text(errors='replace').splitlines()
        except OSError:  # it has ended meanwhile, or is another user's
            continue
        found.update(Path(line.split(maxsplit=5)[5]) for line in lines if f' {directory}/' in line)
    return found


def _is_ours(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False


def _is_free(lock: Path) -> bool:
    """Tell whether no process holds ``lock``."""
    try:
        with lock.open('rb+') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
