"""Where the camera is on the robot, and where points of the floor are in its picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Closer to the camera's plane than this, a point's pixel means nothing.
_NEAREST_M = 0.05


def camera_mount(urdf: str, base: str, camera: str) -> NDArray[np.float64] | None:
    """Return the pose [4, 4] of the link ``camera`` in the frame of the link ``base``.

    The links' fixed joints are followed; None where none lead from one to the other. Raises
    ValueError for what is no URDF.
    """
    parents = {child: (parent, pose) for parent, child, pose in fixed_joints(urdf)}
    found, link = np.eye(4), camera
    for _ in range(len(parents) + 1):
        if link == base:
            return found
        if link not in parents:
            return None
        link, pose = parents[link]
        found = pose @ found
    return None


def fixed_joints(urdf: str) -> Iterator[tuple[str, str, NDArray[np.float64]]]:
    """Yield (parent, child, pose [4, 4] of the child in the parent) of each fixed joint."""
    try:
        robot = ElementTree.fromstring(urdf)
        for joint in robot.iterfind("joint[@type='fixed']"):
            parent, child, origin = (joint.find(name) for name in ('parent', 'child', 'origin'))
            values = origin.attrib if origin is not None else {}
            xyz, rpy = (np.reshape([float(word) for word in values.get(name, '0 0 0').split()], 3)
                        for name in ('xyz', 'rpy'))
            pose = np.eye(4)
            pose[:3, :3], pose[:3, 3] = rotation(*rpy), xyz
            if parent is None or child is None:
                raise ValueError('a joint without parent or child')
            yield parent.attrib['link'], child.attrib['link'], pose
    except (ElementTree.ParseError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f'robot_description is no URDF: {error}') from error


def is_calibrated(info: Any) -> bool:
    """Tell whether a ``sensor_msgs/CameraInfo`` says how the camera looks; zeros do not."""
    return bool(info.k[0] > 0.0 and info.k[4] > 0.0)


def pixels(points: ArrayLike, mount: NDArray[np.float64],
           intrinsics: ArrayLike) -> NDArray[np.float64]:
    """Return the pixels [M, 2] of the points [N, 3] (base frame, m) in front of the camera.

    ``mount`` is :func:`camera_mount` of the camera's optical frame (z ahead, x right, y down),
    ``intrinsics`` [3, 3] of ``camera_info``. Lens distortion is left out: this is for viewing.
    """
    here = np.asarray(points, np.float64).reshape(-1, 3) - mount[:3, 3]
    seen = here @ mount[:3, :3]
    seen = seen[seen[:, 2] > _NEAREST_M]
    image = seen @ np.asarray(intrinsics, np.float64).reshape(3, 3).T
    return np.asarray(image[:, :2] / image[:, 2:])


def path_points(path: Any) -> NDArray[np.float32]:
    """Return where a path leads, from the robot on: float32 [K + 1, 3] in its base frame."""
    ahead = [(one.pose.position.x, one.pose.position.y, 0.0) for one in path.poses]
    return np.array([(0.0, 0.0, 0.0), *ahead], np.float32)


def rotation(roll: float, pitch: float, yaw: float) -> NDArray[np.float64]:
    """Return the matrix [3, 3] of a URDF's angles: about x, then y, then z, fixed axes."""
    (sr, sp, sy), (cr, cp, cy) = np.sin((roll, pitch, yaw)), np.cos((roll, pitch, yaw))
    return np.array([[cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
                     [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
                     [-sp, cp * sr, cp * cr]])
