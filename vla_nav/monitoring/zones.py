"""How far a robot may still come on what it knows, and how well it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import ActionChunk
from vla_nav.control.chunk_poses import chunk_poses
from vla_nav.control.guard import Reason
from vla_nav.spaces import OMNI_3D

_POINTS = 8
_GREEN, AMBER, RED, _GREY = (
    (0.1, 0.8, 0.3), (0.95, 0.75, 0.1), (0.9, 0.15, 0.15), (0.5, 0.5, 0.55))


def reach(velocity: tuple[float, float, float], seconds: float) -> NDArray[np.float64]:
    """Return the way [N, 2] in the base frame that ``velocity`` drives in ``seconds``, from 0 on.

    A guard whose ``max_observation_age`` this is lets the robot go no further when pictures end.
    """
    chunk = ActionChunk(np.tile(np.asarray(velocity, np.float32), (_POINTS, 1)),
                        round(seconds / _POINTS * 1e9), 0)
    return np.array([(0.0, 0.0), *(pose[:2] for pose in chunk_poses(chunk, OMNI_3D))])


def colour(guard: str) -> tuple[float, float, float]:
    """Return red, green, blue in [0, 1] of ``guard/state``: drives, is limited, waits, stops."""
    reason, _, limit = guard.partition(', ')
    if reason in (Reason.POLICY.value, Reason.TELEOP.value):
        return AMBER if limit else _GREEN
    return _GREY if reason in (Reason.NO_COMMAND.value, Reason.HELD.value) else RED
