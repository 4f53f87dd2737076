"""A camera for tests: noise that can be told to freeze, to turn black, or to end."""

from __future__ import annotations

import array

import cv2
import numpy as np
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vla_nav.nodes.running import SENSOR


class FakeCamera:
    """Publishes pictures and camera_info from a timer of ``node``."""

    def __init__(self, node, rate=20.0, height=96, width=128, transport='raw', namespace='',
                 encoding='rgb8', lag_s=0.0):
        prefix = f'/{namespace}/' if namespace else ''
        self._node = node
        self._encoding, self._lag_s, self._compressed = encoding, lag_s, transport == 'compressed'
        topic = f'{prefix}camera/image_raw'
        self._image = (node.create_publisher(CompressedImage, f'{topic}/compressed', SENSOR)
                       if self._compressed else node.create_publisher(Image, topic, SENSOR))
        self._info = node.create_publisher(CameraInfo, f'{prefix}camera/camera_info', SENSOR)
        self._random = np.random.default_rng(0)
        self._shape = (height, width, 3)
        self._picture = self._new_picture()
        self.frozen = False
        self.paused = False
        self.sent = 0
        self.stamps = set()
        self._timer = node.create_timer(1.0 / rate, self._tick)

    def _new_picture(self):
        # Blocks, since large noise at full resolution would be slow and not compress.
        small = self._random.integers(0, 256, (12, 16, 3), np.uint8)
        return cv2.resize(small, self._shape[1::-1], interpolation=cv2.INTER_NEAREST)

    def _tick(self):
        if self.paused:
            return
        if not self.frozen:
            self._picture = self._new_picture()
        stamp = self._node.get_clock().now()
        message = CompressedImage() if self._compressed else Image()
        message.header.stamp = stamp.to_msg()
        message.header.stamp.sec -= int(self._lag_s)
        data = array.array('B')
        if self._compressed:
            message.format = 'jpeg'
            data.frombytes(cv2.imencode('.jpg', self._picture)[1].tobytes())
        else:
            height, width, channels = self._shape
            message.height, message.width, message.step = height, width, width * channels
            message.encoding = self._encoding
            data.frombytes(self._picture.tobytes())
        message.data = data
        self._image.publish(message)
        info = CameraInfo()
        info.header = message.header
        self._info.publish(info)
        self.sent += 1
        self.stamps.add((message.header.stamp.sec, message.header.stamp.nanosec))
