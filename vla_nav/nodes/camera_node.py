"""A camera for robots without a driver of their own: webcam, video, folder or donkeycar tub."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from vla_nav.bringup.dds import use_profile
from vla_nav.control.diagnostics import Rate
from vla_nav.nodes.parameters import Parameters
from vla_nav.nodes.picture_messages import jpeg_image, raw_image
from vla_nav.nodes.reporting import ERROR, OK, WARN, Report, Reporter
from vla_nav.nodes.running import SENSOR, bring_up, run, steady_ns, steady_timer
from vla_nav.observations.sources import Picture, open_source

_READ_ONLY: Any = {'read_only': True}


class CameraParameters(BaseModel):
    """What to show, and how fast."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    autostart: bool = Field(True, description='Configure and activate at once, also after a '
                            'respawn.', json_schema_extra=_READ_ONLY)
    source: str = Field('0', description='Camera index or device, video file, folder of '
                        'pictures, or donkeycar tub (folder or .tar.gz).',
                        json_schema_extra=_READ_ONLY)
    rate: float = Field(0.0, ge=0.0, le=240.0, description="Pictures per second; 0 takes the "
                        "source's own rate (20 for folders and tubs).",
                        json_schema_extra=_READ_ONLY)
    loop: bool = Field(False, description='Begin again at the end, rather than finish.')
    frame_id: str = Field('camera', description='Optical frame of the pictures.',
                          json_schema_extra=_READ_ONLY)


class CameraNode(LifecycleNode):
    """Publishes one source's pictures, stamped when they are sent, with camera_info."""

    def __init__(self) -> None:
        """Declare the parameters; the rest comes with the transitions."""
        super().__init__('camera')
        self._config = Parameters(self, CameraParameters)
        self._raw = self.create_publisher(Image, 'camera/image_raw', SENSOR)
        self._compressed = self.create_publisher(CompressedImage, 'camera/image_raw/compressed',
                                                 SENSOR)
        self._info = self.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)
        self._rate = Rate()
        self._error = ''
        self._coming: Iterator[Picture] | None = None
        self._pace: Any = None
        self._sent = self._undecodable = 0
        self.finished = False
        Reporter(self, self._report)
        if self._config.value.autostart:
            bring_up(self)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the source; where that fails, stay unconfigured and say why."""
        try:
            source = open_source(self._config.value.source)
        except ValueError as error:
            self._error = str(error)
            return TransitionCallbackReturn.FAILURE
        self._error = ''
        self._coming = source.pictures
        self._period_s = 1.0 / (self._config.value.rate or source.rate_hz)
        self.get_logger().info(f'{source.kind} {self._config.value.source} at '
                               f'{1.0 / self._period_s:g} Hz')
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Show pictures."""
        self._pace = steady_timer(self, self._period_s, self._show_next)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Pause."""
        self.destroy_timer(self._pace)
        self._pace = None
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the source."""
        self._coming = None
        return TransitionCallbackReturn.SUCCESS

    def _show_next(self) -> None:
        assert self._coming is not None
        try:
            picture = next(self._coming, None)
            if picture is None and self._config.value.loop:
                self._coming = open_source(self._config.value.source).pictures
                picture = next(self._coming, None)
            if picture is None:
                self.get_logger().info(f'the source has ended after {self._sent} pictures')
                self.finished = True
                return
            self._publish(picture)
        except (OSError, ValueError) as error:
            self._undecodable += 1
            self._error = str(error)

    def _publish(self, picture: Picture) -> None:
        pixels = picture.rgb()
        stamp, frame = self.get_clock().now().to_msg(), self._config.value.frame_id
        if self._raw.get_subscription_count():
            self._raw.publish(raw_image(pixels, stamp, frame))
        if self._compressed.get_subscription_count():
            self._compressed.publish(_passed_on(picture, stamp, frame) if picture.encoded
                                     else jpeg_image(pixels, stamp, frame))
        # Without a calibration the matrices stay zero, as camera_info defines it.
        info = CameraInfo(height=pixels.shape[0], width=pixels.shape[1])
        info.header.stamp, info.header.frame_id = stamp, frame
        self._info.publish(info)
        self._rate.tick(steady_ns())
        self._sent += 1
        self._error = ''

    def _report(self) -> Report:
        values = {'source': self._config.value.source, 'sent': self._sent,
                  'hz': round(self._rate.per_second(steady_ns()), 1),
                  'undecodable': self._undecodable}
        if self._error:
            return Report(ERROR, self._error, values)
        if self._pace is None:
            return Report(WARN, 'not active', values)
        return Report(OK, 'showing pictures', values)


def _passed_on(picture: Picture, stamp: Any, frame: str) -> CompressedImage:
    message = CompressedImage(format=picture.format)
    message.header.stamp, message.header.frame_id = stamp, frame
    message.data = array('B', picture.encoded)
    return message


def main() -> None:
    """Run the camera node."""
    use_profile('large_images')
    run(CameraNode)


if __name__ == '__main__':
    main()
