"""A camera that can be told to fail, for trials: mode 'run', 'frozen' or 'black'."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String

from vla_nav.bringup.dds import use_profile
from vla_nav.nodes.picture_messages import raw_image
from vla_nav.nodes.running import LATCHED, SENSOR, run, steady_timer

RATE_HZ = 20.0
_HEIGHT, _WIDTH = 240, 320


class TrialCamera(Node):
    """Publishes blocks of noise, none like the one before, and camera_info."""

    def __init__(self) -> None:
        """Begin at once."""
        super().__init__('trial_camera')
        self._random = np.random.default_rng(0)
        self._mode = 'run'
        self._picture = self._noise()
        self._image = self.create_publisher(Image, 'camera/image_raw', SENSOR)
        self._info = self.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)
        self.create_subscription(String, '~/mode', self._on_mode, LATCHED)
        steady_timer(self, 1.0 / RATE_HZ, self._show)

    def _on_mode(self, message: String) -> None:
        self._mode = message.data

    def _noise(self) -> NDArray[np.uint8]:
        blocks = self._random.integers(32, 256, (12, 16, 3), np.uint8)
        return np.asarray(cv2.resize(blocks, (_WIDTH, _HEIGHT),
                                     interpolation=cv2.INTER_NEAREST), np.uint8)

    def _show(self) -> None:
        if self._mode == 'run':
            self._picture = self._noise()
        elif self._mode == 'black':
            self._picture = np.zeros_like(self._picture)
        stamp = self.get_clock().now().to_msg()
        self._image.publish(raw_image(self._picture, stamp, 'camera'))
        info = CameraInfo(height=_HEIGHT, width=_WIDTH)
        info.header.stamp = stamp
        self._info.publish(info)


def main() -> None:
    """Run the trial camera."""
    use_profile('large_images')
    run(TrialCamera)


if __name__ == '__main__':
    main()
