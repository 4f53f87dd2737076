"""What RViz cannot make of the graph's own topics: overlay, guard markers and trail."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from geometry_msgs.msg import PoseStamped, Twist, TwistStamped
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from vla_nav.bringup.dds import use_profile
from vla_nav.monitoring.camera_view import camera_mount, is_calibrated, path_points, pixels
from vla_nav.monitoring.overlay import overlay
from vla_nav.monitoring.trail import Trail
from vla_nav.monitoring.zones import reach
from vla_nav.nodes.newest import Newest, NewestBoxes
from vla_nav.nodes.parameters import Parameters
from vla_nav.nodes.picture_messages import raw_image
from vla_nav.nodes.reporting import OK, WARN, Report, Reporter
from vla_nav.nodes.running import COMMAND, LATCHED, SENSOR, run, steady_timer
from vla_nav.nodes.visual_markers import robot_markers
from vla_nav.observations.messages import frame_from_message, odometry_of, velocity_of

_TRAIL_POINTS = 2000
# What was last said longer ago is no news.
_STALE_NS = 1_000_000_000
_READ_ONLY: Any = {'read_only': True}


class VisualParameters(BaseModel):
    """What is drawn, and how often."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    rate: float = Field(10.0, ge=1.0, le=30.0, description='How often it draws, Hz.',
                        json_schema_extra=_READ_ONLY)
    robot_radius: float = Field(0.2, ge=0.01, le=5.0, description='Radius of the footprint, m.')
    horizon: float = Field(0.5, ge=0.0, le=10.0, description='Seconds for which a command is '
                           "drawn ahead: the guard's max_observation_age.")
    image_transport: Literal['raw', 'compressed'] = Field(
        'raw', description='raw or compressed.', json_schema_extra=_READ_ONLY)
    stamped_cmd_vel: bool = Field(False, description='cmd_vel is TwistStamped instead of Twist.',
                                  json_schema_extra=_READ_ONLY)
    base_frame: str = Field('base_link', description='Frame of the velocities.',
                            json_schema_extra=_READ_ONLY)


class VisualNode(Node):
    """Draws what somebody looks at, from the newest of each topic; takes no part in driving."""

    def __init__(self) -> None:
        """Subscribe to everything but the camera."""
        super().__init__('visual')
        self._config = Parameters(self, VisualParameters)
        settings = self._config.value
        self._overlay = self.create_publisher(Image, '~/overlay', SENSOR)
        self._markers = self.create_publisher(MarkerArray, '~/markers', COMMAND)
        self._path = self.create_publisher(PathMessage, '~/trail', COMMAND)
        self._odometry = Newest(self, Odometry, 'odom')
        self._command = Newest(self, TwistStamped if settings.stamped_cmd_vel else Twist,
                               'cmd_vel')
        self._chunk = Newest(self, PathMessage, 'policy/action_chunk')
        self._info = Newest(self, CameraInfo, 'camera/camera_info')
        self._boxes = NewestBoxes(self)
        self._said = {name: Newest(self, String, name, LATCHED) for name in (
            'guard/state', 'policy/task_state', 'policy/active_instruction',
            'robot_description')}
        self._picture: Newest | None = None
        self._trail = Trail(_TRAIL_POINTS)
        self._mount: NDArray[np.float64] | None = None
        self._trouble = ''
        Reporter(self, self._report)
        steady_timer(self, 1.0 / settings.rate, self._draw)

    def _draw(self) -> None:
        odometry = self._odometry.take()
        if odometry is not None:
            self._extend_trail(odometry)
        if self._markers.get_subscription_count():
            self._draw_markers()
        # Pictures are the one thing that costs others something, so only while one looks.
        watched = self._overlay.get_subscription_count() > 0
        if watched and self._picture is None:
            compressed = self._config.value.image_transport == 'compressed'
            topic = 'camera/image_raw'
            self._picture = (Newest(self, CompressedImage, f'{topic}/compressed') if compressed
                             else Newest(self, Image, topic))
        elif not watched and self._picture is not None:
            self._picture.close()
            self._picture = None
        picture = self._picture.take() if self._picture else None
        if picture is not None:
            self._draw_overlay(picture)

    def _extend_trail(self, odometry: Any) -> None:
        x, y, *_ = odometry_of(odometry)
        if not self._trail.add(x, y) or not self._path.get_subscription_count():
            return
        path = PathMessage(header=odometry.header)
        for x, y in self._trail.points:
            pose = PoseStamped(header=odometry.header)
            pose.pose.position.x, pose.pose.position.y, pose.pose.orientation.w = x, y, 1.0
            path.poses.append(pose)
        self._path.publish(path)

    def _draw_markers(self) -> None:
        settings, guard = self._config.value, self._guard()
        command = self._command.last()
        velocity = velocity_of(command) if command and guard != 'silent' else (0.0, 0.0, 0.0)
        words = '\n'.join(filter(None, (
            self._word('policy/active_instruction'), self._word('policy/task_state'),
            f'guard: {guard}')))
        self._markers.publish(robot_markers(settings.base_frame, guard, words,
                                            settings.robot_radius,
                                            reach(velocity, settings.horizon)))

    def _draw_overlay(self, message: Any) -> None:
        self._trouble = ''
        try:
            image = frame_from_message(message).image
            path = self._path_in_picture(message.header.frame_id)
            boxes = self._boxes.within(_STALE_NS)
        except ValueError as error:
            self._trouble = str(error)
            return
        drawn = overlay(image, path, boxes,
                        f'{self._word("policy/task_state")}  guard: {self._guard()}')
        self._overlay.publish(raw_image(drawn, message.header.stamp, message.header.frame_id))

    def _path_in_picture(self, camera: str) -> NDArray[np.float64]:
        """Return the newest chunk [N, 2] in pixels; empty where the camera is unknown."""
        description = self._said['robot_description'].take()
        if description is not None:
            self._mount = camera_mount(description.data, self._config.value.base_frame, camera)
        info, chunk = self._info.last(), self._chunk.last()
        if (self._mount is None or info is None or not is_calibrated(info)
                or chunk is None or _is_stale(self._chunk)):
            return np.empty((0, 2))
        return pixels(path_points(chunk), self._mount, info.k)

    def _guard(self) -> str:
        return 'silent' if _is_stale(self._command) else self._word('guard/state')

    def _word(self, topic: str) -> str:
        message = self._said[topic].last()
        return message.data if message else ''

    def _report(self) -> Report:
        return Report(WARN, self._trouble) if self._trouble else Report(OK, 'drawing')


def _is_stale(newest: Newest) -> bool:
    silence_ns = newest.silence_ns()
    return silence_ns is None or silence_ns > _STALE_NS


def main() -> None:
    """Run the node."""
    use_profile('large_images')
    run(VisualNode)


if __name__ == '__main__':
    main()
