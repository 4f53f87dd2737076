"""Turn a donkeycar tub into a ROS 2 bag, as if a robot had recorded it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

from vla_nav.episodes.schema import EpisodeError
from vla_nav.episodes.tub import TubRecord, read_tub
from vla_nav.observations.decode import compressed_size
from vla_nav.recording.bag import Bag
from vla_nav.recording.take import METADATA_KEY
from vla_nav.spaces import DIFFERENTIAL_2D, ActionSpace

IMAGE, INFO, COMMAND, INSTRUCTION = ('/camera/image_raw/compressed', '/camera/camera_info',
                                     '/cmd_vel', '/instruction')
_FRAME = 'camera'
_TYPES = get_typestore(Stores.ROS2_JAZZY)


def bag_from_tub(path: Path, out: Path, instruction: str, rate_hz: float | None = None,
                 space: ActionSpace = DIFFERENTIAL_2D) -> Iterator[TubRecord]:
    """Write the bag ``out`` and yield each record written; the JPEG pictures stay as they are.

    Full throttle becomes ``space``'s linear_x limit and full steering its angular_z limit, as in
    :func:`vla_nav.episodes.from_tub.episodes_from_tub`. A command is stamped with its picture,
    since a tub keeps the two as one record.
    """
    if out.exists():
        raise EpisodeError(out, 'bag', 'exists already; give another name, or remove it')
    out.parent.mkdir(parents=True, exist_ok=True)
    bag, begun = Bag(out), False
    try:
        for record in read_tub(path, rate_hz):
            if not begun:
                _add(bag, INSTRUCTION, record.stamp_ns, _make('std_msgs/msg/String',
                                                              data=instruction))
                begun = True
            _write(bag, record, space)
            yield record
        # What a reader of the bag needs to know; see vla_nav.episodes.from_bag.
        bag.keep(METADATA_KEY, json.dumps({
            'instruction': instruction, 'embodiment': 'donkeycar', 'scenario': 'tub',
            'translation': {'command_lead': 0.0, 'action_names': list(space.names)}}))
    finally:
        bag.close()


def _write(bag: Bag, record: TubRecord, space: ActionSpace) -> None:
    header = _make('std_msgs/msg/Header', frame_id=_FRAME, stamp=_make(
        'builtin_interfaces/msg/Time', sec=record.stamp_ns // 10**9,
        nanosec=record.stamp_ns % 10**9))
    height, width = compressed_size(record.jpeg)
    _add(bag, IMAGE, record.stamp_ns, _make(
        'sensor_msgs/msg/CompressedImage', header=header, format='jpeg',
        data=np.frombuffer(record.jpeg, np.uint8)))
    # Without a calibration the matrices stay zero, as camera_info defines it.
    _add(bag, INFO, record.stamp_ns, _make(
        'sensor_msgs/msg/CameraInfo', header=header, height=height, width=width,
        distortion_model='', d=np.zeros(0), k=np.zeros(9), r=np.zeros(9), p=np.zeros(12),
        binning_x=0, binning_y=0, roi=_make(
            'sensor_msgs/msg/RegionOfInterest', x_offset=0, y_offset=0, height=0, width=0,
            do_rectify=False)))
    # Donkeycar steers + to the right; a turn is + to the left (REP 103).
    normalised = {'linear_x': record.throttle, 'angular_z': -record.steering}
    x, y, turn = space.to_twist(space.denormalise([normalised[name] for name in space.names]))
    _add(bag, COMMAND, record.stamp_ns, _make(
        'geometry_msgs/msg/TwistStamped', header=header, twist=_make(
            'geometry_msgs/msg/Twist', linear=_make('geometry_msgs/msg/Vector3', x=x, y=y, z=0.0),
            angular=_make('geometry_msgs/msg/Vector3', x=0.0, y=0.0, z=turn))))


def _add(bag: Bag, topic: str, time_ns: int, message: Any) -> None:
    kind = message.__msgtype__
    bag.add(topic, kind, bytes(_TYPES.serialize_cdr(message, kind)), time_ns)


def _make(kind: str, **fields: Any) -> Any:
    return _TYPES.types[kind](**fields)
