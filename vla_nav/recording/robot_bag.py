"""A bag of what a robot publishes, made without ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

from vla_nav.observations.decode import compressed_size
from vla_nav.recording.bag import Bag

IMAGE, INFO, COMMAND, INSTRUCTION = ('/camera/image_raw/compressed', '/camera/camera_info',
                                     '/cmd_vel', '/instruction')
ODOMETRY, DESCRIPTION = '/odom', '/robot_description'
_FRAME = 'camera'
_TYPES = get_typestore(Stores.ROS2_JAZZY)


class RobotBag:
    """Writes messages stamped with, and received at, the time of the picture they belong to."""

    def __init__(self, path: Path) -> None:
        """Create the bag, a directory that must not exist yet."""
        self._bag = Bag(path)

    def instruction(self, text: str, stamp_ns: int) -> None:
        """Say what the robot is to do from now on."""
        self._add(INSTRUCTION, stamp_ns, _make('std_msgs/msg/String', data=text))

    def description(self, urdf: str, stamp_ns: int) -> None:
        """Say what the robot is, from now on."""
        self._add(DESCRIPTION, stamp_ns, _make('std_msgs/msg/String', data=urdf))

    def picture(self, jpeg: bytes, stamp_ns: int, focal: float = 0.0) -> None:
        """Add a JPEG of an ideal camera with this focal length in pixels; 0: not calibrated."""
        height, width = compressed_size(jpeg)
        # Without a calibration the matrices stay zero, as camera_info defines it.
        matrix = (focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1) if focal else (0,) * 9
        header = _header(stamp_ns)
        self._add(IMAGE, stamp_ns, _make(
            'sensor_msgs/msg/CompressedImage', header=header, format='jpeg',
            data=np.frombuffer(jpeg, np.uint8)))
        self._add(INFO, stamp_ns, _make(
            'sensor_msgs/msg/CameraInfo', header=header, height=height, width=width,
            distortion_model='', d=np.zeros(0), k=np.array(matrix, np.float64), r=np.zeros(9),
            p=np.zeros(12), binning_x=0, binning_y=0, roi=_make(
                'sensor_msgs/msg/RegionOfInterest', x_offset=0, y_offset=0, height=0, width=0,
                do_rectify=False)))

    def command(self, velocity: Sequence[float], stamp_ns: int) -> None:
        """Add (vx, vy, wz) in the base frame, m/s and rad/s."""
        self._add(COMMAND, stamp_ns, _make(
            'geometry_msgs/msg/TwistStamped', header=_header(stamp_ns), twist=_twist(velocity)))

    def odometry(self, pose: Sequence[float], velocity: Sequence[float], stamp_ns: int) -> None:
        """Add (x, y, yaw) in the odom frame and (vx, vy, wz) in the base frame; SI units."""
        x, y, yaw = map(float, pose)
        there = _make('geometry_msgs/msg/Pose',
                      position=_make('geometry_msgs/msg/Point', x=x, y=y, z=0.0),
                      orientation=_make('geometry_msgs/msg/Quaternion', x=0.0, y=0.0,
                                        z=math.sin(yaw / 2), w=math.cos(yaw / 2)))
        self._add(ODOMETRY, stamp_ns, _make(
            'nav_msgs/msg/Odometry', header=_header(stamp_ns, 'odom'), child_frame_id='base_link',
            pose=_make('geometry_msgs/msg/PoseWithCovariance', pose=there,
                       covariance=np.zeros(36)),
            twist=_make('geometry_msgs/msg/TwistWithCovariance', twist=_twist(velocity),
                        covariance=np.zeros(36))))

    def keep(self, key: str, value: str) -> None:
        """Keep a text with the bag."""
        self._bag.keep(key, value)

    def close(self) -> None:
        """Write what is pending and the index."""
        self._bag.close()

    def _add(self, topic: str, time_ns: int, message: Any) -> None:
        kind = message.__msgtype__
        self._bag.add(topic, kind, bytes(_TYPES.serialize_cdr(message, kind)), time_ns)


def _twist(velocity: Sequence[float]) -> Any:
    x, y, turn = map(float, velocity)
    return _make('geometry_msgs/msg/Twist',
                 linear=_make('geometry_msgs/msg/Vector3', x=x, y=y, z=0.0),
                 angular=_make('geometry_msgs/msg/Vector3', x=0.0, y=0.0, z=turn))


def _header(stamp_ns: int, frame: str = _FRAME) -> Any:
    return _make('std_msgs/msg/Header', frame_id=frame, stamp=_make(
        'builtin_interfaces/msg/Time', sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9))


def _make(kind: str, **fields: Any) -> Any:
    return _TYPES.types[kind](**fields)
