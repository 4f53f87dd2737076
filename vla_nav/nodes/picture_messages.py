"""Pictures as messages, for the nodes that publish them."""

from __future__ import annotations

import math
from array import array
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]


def raw_image(picture: NDArray[np.uint8], stamp: Any, frame_id: str) -> Image:
    """Return uint8 [H, W, 3] RGB as ``rgb8``."""
    height, width = picture.shape[:2]
    message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    message.header.stamp, message.header.frame_id = stamp, frame_id
    # An array is handed on as it is; bytes would be checked value by value.
    message.data = array('B', picture.tobytes())
    return message


def jpeg_image(picture: NDArray[np.uint8], stamp: Any, frame_id: str) -> CompressedImage:
    """Return uint8 [H, W, 3] RGB as a JPEG."""
    encoded = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _JPEG)[1]
    message = CompressedImage(format='jpeg')
    message.header.stamp, message.header.frame_id = stamp, frame_id
    message.data = array('B', encoded.tobytes())
    return message


def pinhole_info(height: int, width: int, fovy_rad: float, stamp: Any,
                 frame_id: str) -> CameraInfo:
    """Return the calibration of an ideal camera with a vertical field of view ``fovy_rad``."""
    focal, cx, cy = height / 2 / math.tan(fovy_rad / 2), width / 2, height / 2
    info = CameraInfo(height=height, width=width, distortion_model='plumb_bob', d=[0.0] * 5)
    info.header.stamp, info.header.frame_id = stamp, frame_id
    info.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info
