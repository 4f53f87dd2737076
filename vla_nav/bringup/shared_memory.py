"""Fast DDS and shared memory: a profile for large images, and the removal of stale segments."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from vla_nav.bringup.share import share_directory

SHM = Path('/dev/shm')
_LOCKS = ('_el', '_sl')
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


def remove_stale_segments(directory: Path = SHM) -> list[str]:
    """Remove the Fast DDS segments and ports of processes that have died; return their names.

    A process that is killed cannot remove its segments. Fast DDS holds a lock beside each one
    for as long as the process lives, so what is unlocked belongs to nobody.
    """
    removed = []
    for segment in sorted(directory.glob('fastrtps_*')):
        if segment.name.endswith(_LOCKS):
            continue
        locks = [lock for lock in (Path(f'{segment}{end}') for end in _LOCKS) if lock.exists()]
        # A segment that is just being made has no lock yet.
        if locks and all(_is_free(lock) for lock in locks):
            mutex = segment.with_name(f'sem.{segment.name}_mutex')
            for path in (segment, mutex, *locks):
                path.unlink(missing_ok=True)
            removed.append(segment.name)
    return removed


def _is_free(lock: Path) -> bool:
    """Tell whether no process holds ``lock``; another user's lock counts as held."""
    try:
        with lock.open('rb+') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
