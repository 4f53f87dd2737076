"""Fast DDS and shared memory: a profile for large images, and the removal of stale segments."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from vla_nav.bringup.share import share_directory

SHM = Path('/dev/shm')
_LOCKS = ('_el', '_sl')
_PREFIXES = ('fastrtps', 'fastdds')  # of Fast DDS 2 (to Jazzy) and 3 (from Kilted)
_PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def use_image_profile() -> None:
    """Give this process a shared-memory segment that large images fit into.

    Fast DDS's default segment of half a megabyte loses every raw 640x480 picture that is sent
    best effort. Only the publisher needs the profile. To be called before ``rclpy.init``; a
    profile that the user has set is left alone.
    """
    if any(os.environ.get(name) for name in _PROFILE_VARIABLES):
        return
    profile = str(share_directory() / 'config' / 'dds' / 'large_images.xml')
    for name in _PROFILE_VARIABLES:
        os.environ[name] = profile


def avoid_shared_memory() -> None:
    """Let this process talk over UDP only; for what must not wait. Call before ``rclpy.init``.

    Whoever sends through shared memory takes a lock of the receiver's port. A process that is
    stopped while it holds one blocks all other senders to that port until Fast DDS gives up on
    it, a second later: measured when a camera was stopped, in one of twenty trials. A value that
    the user has set is left alone.
    """
    os.environ.setdefault('FASTDDS_BUILTIN_TRANSPORTS', 'UDPv4')


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
