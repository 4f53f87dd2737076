"""Messages and bags as a robot records them, made without ROS."""

from __future__ import annotations

import cv2
import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_JAZZY)
START_NS = 1_700_000_000_000_000_000


def make(kind, **fields):
    return TYPES.types[kind](**fields)


def header(stamp_ns, frame='camera'):
    stamp = make('builtin_interfaces/msg/Time', sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return make('std_msgs/msg/Header', stamp=stamp, frame_id=frame)


def picture(index, height=24, width=32):
    return np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)


def image(index, stamp_ns):
    data = picture(index)
    return make('sensor_msgs/msg/Image', header=header(stamp_ns), height=24, width=32,
                encoding='rgb8', is_bigendian=0, step=96, data=data.reshape(-1))


def jpeg(index, stamp_ns):
    blob = cv2.imencode('.jpg', picture(index)[..., ::-1])[1].reshape(-1)
    return make('sensor_msgs/msg/CompressedImage', header=header(stamp_ns), format='jpeg',
                data=blob)


def vector(x=0.0, y=0.0, z=0.0):
    return make('geometry_msgs/msg/Vector3', x=x, y=y, z=z)


def twist(x, y=0.0, turn=0.0):
    return make('geometry_msgs/msg/Twist', linear=vector(x, y), angular=vector(z=turn))


def twist_stamped(stamp_ns, x, y=0.0, turn=0.0):
    return make('geometry_msgs/msg/TwistStamped', header=header(stamp_ns, 'base_link'),
                twist=twist(x, y, turn))


def odometry(stamp_ns, x, yaw, speed):
    pose = make('geometry_msgs/msg/Pose',
                position=make('geometry_msgs/msg/Point', x=x, y=0.0, z=0.0),
                orientation=make('geometry_msgs/msg/Quaternion', x=0.0, y=0.0,
                                 z=np.sin(yaw / 2), w=np.cos(yaw / 2)))
    return make('nav_msgs/msg/Odometry', header=header(stamp_ns, 'odom'),
                child_frame_id='base_link',
                pose=make('geometry_msgs/msg/PoseWithCovariance', pose=pose,
                          covariance=np.zeros(36)),
                twist=make('geometry_msgs/msg/TwistWithCovariance', twist=twist(speed),
                           covariance=np.zeros(36)))


def text(value):
    return make('std_msgs/msg/String', data=value)


# As a publisher that latches offers it.
LATCHED = Qos(QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL,
              QosTime(9223372036, 854775807), QosTime(9223372036, 854775807),
              QosLiveliness.AUTOMATIC, QosTime(9223372036, 854775807), False)


def write_bag(path, messages, storage='mcap', custom=None, compression='none', in_order=True,
              qos=None):
    """Write (topic, arrival_ns, message) triples, in the order of their arrival or as given.

    ``compression`` is of each ``message``, of the whole ``file``, or of the ``storage``'s chunks.
    ``qos`` has the profiles of topics that offer some.
    """
    plugin = StoragePlugin.MCAP if storage == 'mcap' else StoragePlugin.SQLITE3
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        for key, value in (custom or {}).items():
            writer.set_custom_data(key, value)
        connections = {}
        for topic, arrival_ns, message in (
                sorted(messages, key=lambda m: m[1]) if in_order else messages):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(
                    topic, kind, typestore=TYPES,
                    offered_qos_profiles=(qos or {}).get(topic, ()))
            writer.write(connections[topic], arrival_ns,
                         bytes(TYPES.serialize_cdr(message, kind)))
    return path


def drive(count=20, step_ms=100, transport='compressed', command='twist', start_ns=START_NS,
          speed=None):
    """Return the messages of a drive: picture i, 20 ms later command i, odometry at each."""
    messages = []
    for i in range(count):
        stamp = start_ns + i * step_ms * 10**6
        arrival = stamp + 5_000_000
        if transport == 'compressed':
            messages.append(('/camera/image_raw/compressed', arrival, jpeg(i, stamp)))
        else:
            messages.append(('/camera/image_raw', arrival, image(i, stamp)))
        messages.append(('/odom', arrival + 1, odometry(stamp, 0.1 * i, 0.05 * i, 0.3)))
        x = (0.1 + 0.01 * i) if speed is None else speed
        at = stamp + 20_000_000
        messages.append(('/cmd_vel', at, twist(x, 0.02, -0.1) if command == 'twist'
                         else twist_stamped(at, x, 0.02, -0.1)))
    return messages
