"""The detector as a node: pictures in; boxes, and obstacles on the ground for the guard, out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from pydantic import Field
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import String
from std_srvs.srv import SetBool
from visualization_msgs.msg import MarkerArray

from vla_nav.bringup.dds import use_profile
from vla_nav.control.diagnostics import Latency, Rate
from vla_nav.detection.ground import Ground
from vla_nav.detection.looking import ODOMETRY_NS, LookingSettings
from vla_nav.detection.lookout import Lookout, Sighting, decode_for
from vla_nav.detection.onnx_detector import load_detector
from vla_nav.monitoring.boxes import boxes_text, labelled
from vla_nav.monitoring.camera_view import camera_mount
from vla_nav.monitoring.overlay import overlay
from vla_nav.nodes.newest import Detection2DArray, Newest
from vla_nav.nodes.newest_first import NewestFirst
from vla_nav.nodes.obstacle_messages import cloud_message, detections_message
from vla_nav.nodes.parameters import Parameters
from vla_nav.nodes.picture_messages import raw_image
from vla_nav.nodes.pictures import PictureInput
from vla_nav.nodes.reporting import ERROR, OK, WARN, Report, Reporter, why_not_loaded
from vla_nav.nodes.running import (
    COMMAND,
    LATCHED,
    SENSOR,
    bring_up,
    now_ns,
    run,
    stamp_to_ns,
    steady_ns,
)
from vla_nav.nodes.seeing import READ_ONLY, SeeingParameters
from vla_nav.nodes.visual_markers import obstacle_dots
from vla_nav.observations.messages import choose_decoder, odometry_of

# Every start waits a little; a camera that is silent for longer has a reason.
_SILENT_NS = 2_000_000_000


class DetectorParameters(LookingSettings, SeeingParameters):
    """What a detector node can be told."""

    bundle: str = Field('', description='Directory of the detector bundle.',
                        json_schema_extra=READ_ONLY)


@dataclass(frozen=True)
class _Seen:
    """A picture as it came, with what was known of camera and robot at that moment.

    ``mount`` [4, 4] is the pose of the camera's optical frame in the base frame, None where
    nobody tells it.
    """

    message: Any
    stamp_ns: int
    info: CameraInfo | None
    mount: NDArray[np.float64] | None
    pose: tuple[float, float, float] | None


class DetectorNode(LifecycleNode):
    """Hands the newest picture to a thread that looks, and publishes what it sees."""

    def __init__(self) -> None:
        """Declare the parameters; the rest comes with the transitions."""
        super().__init__('detector')
        self._config = Parameters(self, DetectorParameters)
        self._worker: NewestFirst[_Seen] | None = None
        self._pictures: PictureInput | None = None
        self._error = self._trouble = self._blind = ''
        self._enabled = True
        self._activated_ns = self._looked_ns = 0
        self._arrived_ns: int | None = None
        self._began_ns: int | None = None  # of the picture that is looked at now
        self._without_odometry = False
        self._described: NDArray[np.float64] | None = None
        self._found = self._points = self._undecodable = 0
        self._image_rate, self._rate = Rate(), Rate()
        self._decoding, self._inference, self._whole = Latency(), Latency(), Latency()
        self._detections = (self.create_publisher(Detection2DArray, 'detections', SENSOR)
                            if Detection2DArray else None)
        self._boxes = self.create_publisher(String, '~/boxes', SENSOR)
        self._obstacles = self.create_publisher(PointCloud2, 'obstacles', SENSOR)
        self._annotated = self.create_publisher(Image, '~/image_annotated', SENSOR)
        self._markers = self.create_publisher(MarkerArray, '~/markers', COMMAND)
        self._info = Newest(self, CameraInfo, 'camera/camera_info')
        self._odometry = Newest(self, Odometry, 'odom')
        self._description = Newest(self, String, 'robot_description', LATCHED)
        self.create_service(SetBool, '~/enable', self._on_enable)
        Reporter(self, self._report)
        if self._config.value.autostart:
            bring_up(self)

    # -- lifecycle -----------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the detector; where that fails, stay unconfigured and say why."""
        settings = self._config.value
        try:
            self._decoder = choose_decoder(settings.decoder)
            detector = load_detector(settings.bundle, settings.threads, settings.provider)
        except Exception as error:  # whatever it is, it belongs into the diagnostics
            self._error = why_not_loaded(settings.bundle, error)
            return TransitionCallbackReturn.FAILURE
        self._error, self._fallback = '', detector.fallback
        self._lookout = Lookout(detector)
        self._worker = NewestFirst('detector', self._look)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Look."""
        self._activated_ns = steady_ns()
        self._arrived_ns = None
        self._pictures = PictureInput(self, 'camera/image_raw',
                                      self._config.value.image_transport, self._on_picture)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Look no more."""
        assert self._pictures is not None and self._worker is not None
        self._pictures.close()
        self._pictures = None
        self._worker.clear()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the detector."""
        self.goodbye()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the detector for good."""
        self.goodbye()
        return TransitionCallbackReturn.SUCCESS

    def goodbye(self) -> None:
        """End the thread."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    # -- inputs --------------------------------------------------------------------------

    def _on_picture(self, message: Any, changed: bool) -> None:
        worker, settings, steady = self._worker, self._config.value, steady_ns()
        self._arrived_ns = steady
        self._image_rate.tick(steady)
        if worker is None or not self._enabled or not settings.due(steady - self._looked_ns):
            return
        self._looked_ns = steady
        stamp_ns = (now_ns(self) if settings.stamp_source == 'arrival'
                    else stamp_to_ns(message.header.stamp))
        self._read_description(message.header.frame_id)
        worker.hand(_Seen(message, stamp_ns, self._info.last(),
                          settings.mount(self._described), self._pose()))

    def _read_description(self, frame: str) -> None:
        description = self._description.take()
        if description is None:
            return
        try:
            self._described = camera_mount(description.data, self._config.value.base_frame, frame)
        except ValueError as error:
            self._described = None
            self.get_logger().error(str(error))

    def _pose(self) -> tuple[float, float, float] | None:
        silence_ns, message = self._odometry.silence_ns(), self._odometry.last()
        if message is None or silence_ns is None or silence_ns > ODOMETRY_NS:
            return None
        x, y, yaw, *_ = odometry_of(message)
        return x, y, yaw

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response
                   ) -> SetBool.Response:
        self._enabled = request.data
        if self._worker is not None and not request.data:
            self._worker.clear()
        response.success = self._worker is not None
        response.message = self._error or ('enabled' if request.data else 'disabled')
        return response

    # -- in the thread that looks --------------------------------------------------------

    def _look(self, seen: _Seen) -> None:
        began = self._began_ns = steady_ns()
        try:
            picture, size = decode_for(seen.message, self._lookout.spec.image_size,
                                       self._decoder)
            decoded = steady_ns()
            ground = self._ground(seen, size)
            sighting = self._lookout.look(picture, size, ground, seen.pose, seen.stamp_ns)
            done = steady_ns()
            self._publish(sighting, picture, size, seen)
        except ValueError as error:  # one damaged picture is a picture less, no more
            self._undecodable += 1
            self._trouble = str(error)
            return
        except Exception as error:  # whatever goes wrong must leave the guard without obstacles
            self._trouble = f'{error}' or repr(error)
            return
        finally:
            self._began_ns = None
        self._trouble = ''
        self._without_odometry = seen.pose is None
        self._decoding.add(decoded - began)
        self._inference.add(done - decoded)
        self._rate.tick(done)
        self._whole.add(steady_ns() - began)

    def _ground(self, seen: _Seen, size: tuple[int, int]) -> Ground | None:
        """Return the ground as the camera sees it; None, and why in ``_blind``, if unknown."""
        try:
            ground = self._config.value.ground(seen.info, seen.mount, size, self._info.topic,
                                               seen.message.header.frame_id)
        except ValueError as error:
            self._blind = str(error)
            return None
        self._blind = ''
        return ground

    def _publish(self, sighting: Sighting, picture: NDArray[np.uint8], size: tuple[int, int],
                 seen: _Seen) -> None:
        stamp = Time(nanoseconds=seen.stamp_ns).to_msg()
        frame, found = self._config.value.base_frame, sighting.detections
        self._found = len(found)
        if sighting.obstacles is not None:
            self._points = len(sighting.obstacles)
            self._obstacles.publish(cloud_message(sighting.obstacles, stamp, frame))
            if self._markers.get_subscription_count():
                self._markers.publish(MarkerArray(
                    markers=[obstacle_dots(frame, sighting.obstacles)]))
        classes = self._lookout.spec.classes
        if self._detections is not None:
            self._detections.publish(detections_message(found, classes, seen.message.header))
        if self._boxes.get_subscription_count():
            self._boxes.publish(String(data=boxes_text(found, classes, seen.stamp_ns)))
        if self._annotated.get_subscription_count():
            boxes = labelled(found, classes, picture.shape[1] / size[1])
            self._annotated.publish(raw_image(overlay(picture, (), boxes, ''), stamp,
                                              seen.message.header.frame_id))

    # -- diagnosis -----------------------------------------------------------------------

    def _report(self) -> Report:
        worker, pictures = self._worker, self._pictures
        if worker is None or pictures is None:
            return (Report(ERROR, self._error) if self._error
                    else Report(WARN, 'not active'))
        steady = steady_ns()
        waited_ns = steady - (self._arrived_ns or self._activated_ns)
        level, message, kind = OK, 'looking', ''
        if not self._enabled:
            level, message = WARN, 'disabled'
        elif waited_ns > _SILENT_NS:
            level, message, kind = ERROR, pictures.why_silent(waited_ns), 'silent'
        elif self._trouble:
            level, message = ERROR, self._trouble
        elif (began_ns := self._began_ns) is not None and steady - began_ns > _SILENT_NS:
            level, message, kind = ERROR, (
                f'has been looking at one picture for {(steady - began_ns) * 1e-9:.0f} s: start '
                'the node again, with another provider if that helps'), 'hangs'
        elif self._blind:
            level, message = ERROR, f'no obstacles: {self._blind}'
        elif self._without_odometry:
            level, message, kind = WARN, (
                f'nothing fresh on {self._odometry.topic}: what the camera loses sight of is not '
                'remembered, and the robot stops at what is cut off by the picture; remap odom'
                ), 'odometry'
        spec = self._lookout.spec
        return Report(level, message, kind=kind, values={
            'detector': spec.name, 'provider': spec.provider, 'provider_fallback': self._fallback,
            'camera_hz': round(self._image_rate.per_second(steady), 1),
            'detector_hz': round(self._rate.per_second(steady), 1),
            'boxes': self._found, 'points': self._points, 'dropped': worker.dropped,
            'undecodable': self._undecodable,
            **{f'{name}_{key}_ms': value for name, latency in (
                ('decode', self._decoding), ('inference', self._inference),
                ('look', self._whole)) for key, value in latency.milliseconds().items()},
        })


def main() -> None:
    """Run the detector."""
    use_profile('large_images')
    run(DetectorNode)


if __name__ == '__main__':
    main()
