"""The detector's node on the timeline of a replay; looking takes no time there."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.bringup.share import find_bundle
from vla_nav.control.diagnostics import percentiles_ms
from vla_nav.detection.contracts import DetectorError
from vla_nav.detection.looking import ODOMETRY_NS, LookingSettings
from vla_nav.detection.lookout import Lookout, Pose, decode_for
from vla_nav.detection.onnx_detector import load_detector
from vla_nav.monitoring.boxes import boxes_text, labelled
from vla_nav.monitoring.camera_view import camera_mount
from vla_nav.monitoring.overlay import overlay
from vla_nav.observations.messages import odometry_of

Points = NDArray[np.float64]


class Looking:
    """Looks at a recording's pictures as the detector's node would, and counts what it saw."""

    def __init__(self, bundle: str, settings: LookingSettings, info_topic: str) -> None:
        """Load the detector; raise DetectorError with the remedy where that fails.

        ``blind`` counts why pictures could not be placed on the ground.
        """
        self.blind: Counter[str] = Counter()
        self._detector = load_detector(find_bundle(bundle))
        self._lookout = Lookout(self._detector)
        self._settings, self._info_topic = settings, info_topic
        self._info: Any = None
        self._description = ''
        self._described: Points | None = None
        self._frame: str | None = None
        self._odometry: tuple[int, Pose] | None = None
        self._looked_ns: int | None = None
        self._boxes: Counter[str] = Counter()
        self._pictures: Counter[str] = Counter()
        self._decode_ns: list[int] = []
        self._look_ns: list[int] = []

    def take_info(self, message: Any) -> None:
        """Take a ``sensor_msgs/CameraInfo``."""
        self._info = message

    def take_description(self, text: str) -> None:
        """Take what is on ``robot_description``."""
        self._description, self._frame = text, None

    def take_odometry(self, message: Any, steady_ns: int) -> None:
        """Take a ``nav_msgs/Odometry``."""
        x, y, yaw, *_ = odometry_of(message)
        self._odometry = steady_ns, (x, y, yaw)

    def look(self, message: Any, stamp_ns: int, steady_ns: int
             ) -> tuple[str, Points | None] | None:
        """Return the boxes in a picture, as text, and the obstacles [N, 2] (base frame, m).

        None for a picture that the node would not look at; no obstacles where it does not place
        it on the ground. Raises ValueError where it does not decode or the detector fails.
        """
        if self._looked_ns is not None and not self._settings.due(steady_ns - self._looked_ns):
            return None
        self._looked_ns = steady_ns
        began = time.perf_counter_ns()
        picture, size = decode_for(message, self._lookout.spec.image_size)
        decoded = time.perf_counter_ns()
        try:
            ground = self._settings.ground(
                self._info, self._settings.mount(self._mount(message.header.frame_id)), size,
                self._info_topic, message.header.frame_id)
        except ValueError as error:
            ground = None
            self.blind[str(error)] += 1
        try:
            sighting = self._lookout.look(picture, size, ground, self._pose(steady_ns), stamp_ns)
        except DetectorError as error:
            raise ValueError(f'detector: {error}') from error
        self._decode_ns.append(decoded - began)
        self._look_ns.append(time.perf_counter_ns() - decoded)
        names = [self._lookout.spec.classes[number] for number in sighting.detections.classes]
        self._boxes.update(names)
        self._pictures.update(set(names))
        return (boxes_text(sighting.detections, self._lookout.spec.classes, stamp_ns),
                sighting.obstacles)

    def draw(self, message: Any) -> NDArray[np.uint8]:
        """Return a picture uint8 [H, W, 3] RGB, as it was looked at, with its boxes."""
        picture, _ = decode_for(message, self._lookout.spec.image_size)
        boxes = labelled(self._detector.detect(picture), self._lookout.spec.classes)
        return overlay(picture, (), boxes, '')

    def figures(self) -> dict[str, Any]:
        """Return how many pictures were looked at, and boxes and pictures of each class."""
        return {'detector': self._lookout.spec.name, 'pictures': len(self._look_ns),
                'classes': {name: {'boxes': count, 'pictures': self._pictures[name]}
                            for name, count in sorted(self._boxes.items())}}

    def milliseconds(self) -> dict[str, dict[str, float]]:
        """Return percentiles of what decoding and looking took."""
        return {'detector, decode': percentiles_ms(self._decode_ns),
                'detector, look': percentiles_ms(self._look_ns)}

    def _mount(self, frame: str) -> Points | None:
        if self._description and frame != self._frame:
            self._described = camera_mount(self._description, self._settings.base_frame, frame)
            self._frame = frame
        return self._described

    def _pose(self, steady_ns: int) -> Pose | None:
        if self._odometry is None or steady_ns - self._odometry[0] > ODOMETRY_NS:
            return None
        return self._odometry[1]
