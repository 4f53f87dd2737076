"""A bag of what a robot publishes, made without ROS: pictures, commands, instructions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

from vla_nav.observations.decode import compressed_size
from vla_nav.recording.bag import Bag

IMAGE, INFO, COMMAND, INSTRUCTION = ('/camera/image_raw/compressed', '/camera/camera_info',
                                     '/cmd_vel', '/instruction')
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

    def picture(self, jpeg: bytes, stamp_ns: int) -> None:
        """Add a JPEG of a camera that is not calibrated."""
        height, width = compressed_size(jpeg)
        header = _header(stamp_ns)
        self._add(IMAGE, stamp_ns, _make(
            'sensor_msgs/msg/CompressedImage', header=header, format='jpeg',
            data=np.frombuffer(jpeg, np.uint8)))
        # Without a calibration the matrices stay zero, as camera_info defines it.
        self._add(INFO, stamp_ns, _make(
            'sensor_msgs/msg/CameraInfo', header=header, height=height, width=width,
            distortion_model='', d=np.zeros(0), k=np.zeros(9), r=np.zeros(9), p=np.zeros(12),
            binning_x=0, binning_y=0, roi=_make(
                'sensor_msgs/msg/RegionOfInterest', x_offset=0, y_offset=0, height=0, width=0,
                do_rectify=False)))

    def command(self, velocity: Sequence[float], stamp_ns: int) -> None:
        """Add (vx, vy, wz) in the base frame, m/s and rad/s."""
        x, y, turn = map(float, velocity)
        self._add(COMMAND, stamp_ns, _make(
            'geometry_msgs/msg/TwistStamped', header=_header(stamp_ns), twist=_make(
                'geometry_msgs/msg/Twist',
                linear=_make('geometry_msgs/msg/Vector3', x=x, y=y, z=0.0),
                angular=_make('geometry_msgs/msg/Vector3', x=0.0, y=0.0, z=turn))))

    def keep(self, key: str, value: str) -> None:
        """Keep a text with the bag."""
        self._bag.keep(key, value)

    def close(self) -> None:
        """Write what is pending and the index."""
        self._bag.close()

    def _add(self, topic: str, time_ns: int, message: Any) -> None:
        kind = message.__msgtype__
        self._bag.add(topic, kind, bytes(_TYPES.serialize_cdr(message, kind)), time_ns)


def _header(stamp_ns: int) -> Any:
    return _make('std_msgs/msg/Header', frame_id=_FRAME, stamp=_make(
        'builtin_interfaces/msg/Time', sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9))


def _make(kind: str, **fields: Any) -> Any:
    return _TYPES.types[kind](**fields)
