"""From camera messages to frames; needs their fields only, so it serves rclpy and bags alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import Frame
from vla_nav.observations.decode import decode_compressed, decode_raw

DECODERS = ('auto', 'cv_bridge', 'numpy')


def choose_decoder(name: str = 'auto') -> str:
    """Return 'cv_bridge' or 'numpy' for raw images; 'auto' takes cv_bridge where it imports.

    Raises ValueError for an unknown name and ImportError where cv_bridge is asked for and does
    not import.
    """
    if name not in DECODERS:
        raise ValueError(f'unknown image decoder {name!r}; known are {", ".join(DECODERS)}')
    if name == 'numpy':
        return name
    try:
        import cv_bridge  # noqa: F401
    # A cv_bridge built for NumPy 1 fails in several ways under NumPy 2.
    except Exception as error:
        if name == 'cv_bridge':
            raise ImportError(f'cv_bridge does not import ({error}): install '
                              'ros-$ROS_DISTRO-cv-bridge, or choose the decoder numpy') from error
        return 'numpy'
    return 'cv_bridge'


def frame_from_message(message: Any, decoder: str = 'numpy', min_height: int = 0,
                       min_width: int = 0) -> Frame:
    """Decode a ``sensor_msgs`` Image or CompressedImage; the stamp is the header's.

    ``decoder`` is :func:`choose_decoder`'s answer and concerns raw images only.
    ``min_height`` and ``min_width`` bound how far a JPEG may be reduced while decoding. Raises
    ValueError where the picture does not decode.
    """
    stamp_ns = stamp_of(message)
    if hasattr(message, 'format'):
        return Frame(decode_compressed(message.data, min_height, min_width), stamp_ns)
    if decoder == 'cv_bridge':
        return Frame(_with_cv_bridge(message), stamp_ns)
    return Frame(decode_raw(message.encoding, message.height, message.width, message.step,
                            message.data, bool(message.is_bigendian)), stamp_ns)


def stamp_of(message: Any) -> int:
    """Return the header's stamp in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def velocity_of(message: Any) -> tuple[float, float, float]:
    """Return (linear_x, linear_y, angular_z) of a Twist or TwistStamped, m/s and rad/s."""
    twist = getattr(message, 'twist', message)
    return float(twist.linear.x), float(twist.linear.y), float(twist.angular.z)


def odometry_of(message: Any) -> tuple[float, ...]:
    """Return (x, y, yaw) in the odom frame and (vx, vy, wz) in the base frame."""
    pose, q = message.pose.pose.position, message.pose.pose.orientation
    yaw = math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))
    return float(pose.x), float(pose.y), yaw, *velocity_of(message.twist)


def _with_cv_bridge(message: Any) -> NDArray[np.uint8]:
    from cv_bridge import CvBridge, CvBridgeError
    try:
        image: NDArray[np.uint8] = CvBridge().imgmsg_to_cv2(message, desired_encoding='rgb8')
    except CvBridgeError as error:
        raise ValueError(f'cv_bridge cannot decode {message.encoding!r}: {error}') from error
    return image
