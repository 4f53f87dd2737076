"""Messages of a running robot as entities of Rerun: which path shows what.

Messages are read by their fields only, so that rclpy's and rosbags' serve alike. Everything in
space hangs below ``odom``: ``odom/base`` is the robot, ``odom/base/camera`` what it sees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import rerun as rr

from vla_nav.control.diagnostics import OnChange
from vla_nav.monitoring.boxes import Box, boxes_in, boxes_of
from vla_nav.monitoring.camera_view import camera_mount, is_calibrated, path_points
from vla_nav.monitoring.trail import Trail
from vla_nav.observations.clouds import points_of
from vla_nav.observations.messages import frame_from_message, odometry_of, stamp_of, velocity_of
from vla_nav.spaces import AXES

BASE, CAMERA = 'odom/base', 'odom/base/camera'
Entity = tuple[str, Any]
# Whose command each topic carries; the guard's is what the base is sent.
COMMANDS = {'cmd_vel_policy': 'policy', 'cmd_vel_teleop': 'teleop', 'cmd_vel': 'guard'}
STATES = {'policy/active_instruction': 'instruction', 'policy/task_state': 'task',
          'guard/state': 'guard'}
_PNG = b'\x89PNG'
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 80]
_LEVELS = {0: rr.TextLogLevel.INFO, 1: rr.TextLogLevel.WARN, 2: rr.TextLogLevel.ERROR}


class Entities:
    """Turns messages into entities; remembers what trails and changes need, and no more."""

    def __init__(self, namespace: str = '', base_frame: str = 'base_link') -> None:
        """Show the robot ``namespace``, '' or '/robot1'."""
        self._namespace, self._base_frame = namespace.rstrip('/'), base_frame
        self._states: dict[str, str] = {}
        self._reading = self._urdf = ''
        self._trail = Trail(2)
        self._camera_change = OnChange()
        self._reports: dict[str, OnChange] = {}
        self._makers: Mapping[str, Callable[[Any, int], Iterator[Entity]]] = {
            'camera/image_raw': self._picture, 'camera/image_raw/compressed': self._picture,
            'camera/camera_info': self._camera, 'robot_description': self._description,
            'odom': self._odometry, 'policy/action_chunk': self._chunk,
            'detector/boxes': self._boxes, 'detections': self._detections,
            'obstacles': self._obstacles,
            '/diagnostics': self._diagnostics,
            **{topic: self._command(name) for topic, name in COMMANDS.items()},
            **{topic: self._state(name) for topic, name in STATES.items()},
        }

    def of(self, topic: str, message: Any, now_ns: int) -> Iterator[Entity]:
        """Yield path and archetype for a message that came at ``now_ns`` of the stamps' clock.

        Raises ValueError where a picture, boxes or a robot_description cannot be read.
        """
        return self._makers[topic](message, now_ns)

    # -- camera --------------------------------------------------------------------------

    def _picture(self, message: Any, now_ns: int) -> Iterator[Entity]:
        if hasattr(message, 'format'):
            encoded = bytes(message.data)
        else:
            bgr = cv2.cvtColor(frame_from_message(message).image, cv2.COLOR_RGB2BGR)
            encoded = cv2.imencode('.jpg', bgr, _JPEG)[1].tobytes()
        yield f'{CAMERA}/picture', rr.EncodedImage(
            contents=encoded, media_type=f'image/{"png" if encoded[:4] == _PNG else "jpeg"}')
        yield 'ages/picture_ms', rr.Scalars(_milliseconds(now_ns - stamp_of(message)))

    def _camera(self, message: Any, now_ns: int) -> Iterator[Entity]:
        """Place the camera on the robot, where robot_description tells how it is mounted."""
        calibration = (self._urdf, message.header.frame_id, message.width, message.height,
                       tuple(message.k))
        if not (self._urdf and is_calibrated(message)
                and self._camera_change.changed(calibration)):
            return
        mount = camera_mount(self._urdf, self._base_frame, message.header.frame_id)
        if mount is not None:
            yield CAMERA, rr.Transform3D(translation=mount[:3, 3], mat3x3=mount[:3, :3])
            yield CAMERA, rr.Pinhole(
                image_from_camera=np.reshape(message.k, (3, 3)), width=message.width,
                height=message.height, image_plane_distance=0.3)

    def _description(self, message: Any, now_ns: int) -> Iterator[Entity]:
        self._urdf = message.data
        yield from ()

    def _detections(self, message: Any, now_ns: int) -> Iterator[Entity]:
        yield _drawn(boxes_of(message))

    def _boxes(self, message: Any, now_ns: int) -> Iterator[Entity]:
        yield _drawn(boxes_in(message.data))

    def _obstacles(self, message: Any, now_ns: int) -> Iterator[Entity]:
        points = points_of(message)
        yield f'{BASE}/obstacles', rr.Points3D(
            np.column_stack([points, np.zeros(len(points))]), radii=0.03, colors=(230, 40, 40))

    # -- motion --------------------------------------------------------------------------

    def _odometry(self, message: Any, now_ns: int) -> Iterator[Entity]:
        x, y, yaw, *_ = odometry_of(message)
        axis = rr.RotationAxisAngle(axis=(0, 0, 1), radians=yaw)
        yield BASE, rr.Transform3D(translation=(x, y, 0), rotation_axis_angle=axis)
        if self._trail.add(x, y) and len(self._trail.points) == 2:
            yield 'odom/trail', rr.LineStrips3D([[(*point, 0) for point in self._trail.points]])

    def _chunk(self, message: Any, now_ns: int) -> Iterator[Entity]:
        yield f'{BASE}/chunk', rr.LineStrips3D([path_points(message)], radii=0.015,
                                               colors=(255, 170, 0))

    def _command(self, source: str) -> Callable[[Any, int], Iterator[Entity]]:
        def make(message: Any, now_ns: int) -> Iterator[Entity]:
            for axis, value in zip(AXES, velocity_of(message)):
                yield f'commands/{axis}/{source}', rr.Scalars(value)
            # The policy's stamp is that of the picture behind its command, 0 for none.
            if source == 'policy' and stamp_of(message):
                yield 'ages/command_ms', rr.Scalars(_milliseconds(now_ns - stamp_of(message)))
        return make

    # -- words ---------------------------------------------------------------------------

    def _state(self, name: str) -> Callable[[Any, int], Iterator[Entity]]:
        def make(message: Any, now_ns: int) -> Iterator[Entity]:
            self._states[name] = message.data
            yield f'states/{name}', rr.StateChange(state=message.data or 'none')
            yield f'log/{name}', rr.TextLog(message.data or 'none')
            yield self._task()
            if name == 'task' and message.data != 'driving':
                yield f'{BASE}/chunk', rr.Clear(recursive=False)  # the plan is over
        return make

    def _task(self) -> Entity:
        rows = {**self._states, 'understood as': self._reading}
        return 'task', rr.TextDocument(
            '\n'.join(f'- **{name}**: {rows.get(name) or "–"}' for name in (
                'instruction', 'understood as', 'task', 'guard')),
            media_type=rr.MediaType.MARKDOWN)

    def _diagnostics(self, message: Any, now_ns: int) -> Iterator[Entity]:
        for status in message.status:
            namespace, slash, node = status.name.rpartition('/')
            if not slash or namespace != self._namespace:
                continue  # another robot's, or a driver's
            figures = {item.key: item.value for item in status.values}
            yield from _figures(node, figures)
            level = _level(status.level)
            if self._reports.setdefault(node, OnChange()).changed((level, status.message)):
                yield f'log/{node}', rr.TextLog(status.message, level=_LEVELS.get(
                    level, rr.TextLogLevel.WARN))
            if node == 'policy' and self._reading != figures.get('understood_as', ''):
                self._reading = figures.get('understood_as', '')
                yield self._task()


def _drawn(boxes: Sequence[Box]) -> Entity:
    return f'{CAMERA}/boxes', rr.Boxes2D(
        array=np.array([box[:4] for box in boxes], np.float32).reshape(-1, 4),
        array_format=rr.Box2DFormat.XYXY, labels=[box.label for box in boxes])


def _figures(node: str, figures: Mapping[str, str]) -> Iterator[Entity]:
    """Yield what a node reports in milliseconds and Hertz."""
    for key, text in figures.items():
        kind = ('rates' if key.endswith('_hz') else '' if not key.endswith('_ms')
                else 'ages' if 'age_ms' in key else 'latency')
        value = _number(text)
        if kind and value is not None:
            yield f'{kind}/{node}/{key}', rr.Scalars(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None  # such as "never"


def _level(level: Any) -> int:
    """Return a diagnostic level; rclpy gives a byte, rosbags a number."""
    return level[0] if isinstance(level, bytes) else int(level)


def _milliseconds(duration_ns: int) -> float:
    return duration_ns / 1e6
