"""What a process of the package tells Fast DDS before it joins the graph."""

from __future__ import annotations

import os
from typing import Literal

from vla_nav.bringup.share import share_directory

_PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def use_profile(name: Literal['nodes', 'large_images']) -> None:
    """Choose a profile of ``config/dds``; to be called before ``rclpy.init``.

    Both announce the process twice a second. By Fast DDS's default it is every three seconds, and
    in half of all starts a newcomer hears of a process only then (measured: 0.2 to 3 s).
    ``large_images`` has room for raw pictures as well: the default segment of half a megabyte
    loses every raw 640x480 picture that is sent best effort. Only the publisher needs it.

    A profile that the user, or an earlier call, has set is left alone.
    """
    if any(os.environ.get(variable) for variable in _PROFILE_VARIABLES):
        return
    profile = str(share_directory() / 'config' / 'dds' / f'{name}.xml')
    for variable in _PROFILE_VARIABLES:
        os.environ[variable] = profile


def avoid_shared_memory() -> None:
    """Let this process talk over UDP only; for what must not wait. Call before ``rclpy.init``.

    Whoever sends through shared memory takes a lock of the receiver's port. A process that is
    stopped while it holds one blocks all other senders to that port until Fast DDS gives up on
    it, a second later: measured when a camera was stopped, in one of twenty trials. A value that
    the user has set is left alone.
    """
    os.environ.setdefault('FASTDDS_BUILTIN_TRANSPORTS', 'UDPv4')
