"""Where an action chunk leads."""

from __future__ import annotations

import math

from vla_nav.contracts import ActionChunk
from vla_nav.spaces import ActionSpace


def chunk_poses(chunk: ActionChunk, space: ActionSpace) -> list[tuple[float, float, float]]:
    """Return the pose (x, y, yaw) after each row, from the base's pose at the chunk's stamp."""
    poses = []
    x = y = yaw = 0.0
    seconds = chunk.step_ns / 1e9
    for row in chunk.velocities:
        vx, vy, wz = space.to_twist(row)
        x += (vx * math.cos(yaw) - vy * math.sin(yaw)) * seconds
        y += (vx * math.sin(yaw) + vy * math.cos(yaw)) * seconds
        yaw += wz * seconds
        poses.append((x, y, yaw))
    return poses
