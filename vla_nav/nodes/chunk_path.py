"""An action chunk as a path, for viewing."""

from __future__ import annotations

import math

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from rclpy.time import Time

from vla_nav.contracts import ActionChunk
from vla_nav.control.chunk_poses import chunk_poses
from vla_nav.spaces import ActionSpace


def chunk_path(chunk: ActionChunk, space: ActionSpace, frame: str) -> Path:
    """Return where the chunk leads, integrated from the base's pose at the chunk's stamp."""
    path = Path()
    path.header.stamp = Time(nanoseconds=chunk.stamp_ns).to_msg()
    path.header.frame_id = frame
    for k, (x, y, yaw) in enumerate(chunk_poses(chunk, space), start=1):
        pose = PoseStamped()
        pose.header.frame_id = frame
        pose.header.stamp = Time(nanoseconds=chunk.stamp_ns + k * chunk.step_ns).to_msg()
        pose.pose.position.x, pose.pose.position.y = x, y
        pose.pose.orientation.z, pose.pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
        path.poses.append(pose)
    return path
