"""A detector's eyes in the simulator: obstacles for the guard of a robot that drives there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_nav.bringup.share import find_bundle
from vla_nav.detection.contracts import Detections, Detector, DetectorSpec
from vla_nav.detection.dataset.boxes import Limits, visible_boxes
from vla_nav.detection.dataset.things import CLASSES
from vla_nav.detection.ground import Ground, mount_pose
from vla_nav.detection.lens import Lens
from vla_nav.detection.lookout import Lookout, Sighting
from vla_nav.detection.onnx_detector import load_detector
from vla_nav.detection.own_body import Body, GroundBeyond
from vla_nav.simulation.layout import ROBOT_RADIUS_M
from vla_nav.simulation.world import CAMERA_X_M, World

TRUTH = 'truth'
_TRUE_SIZE = 320
# The simulated robot with its nose.
_BODY_M = 0.275


class TruthDetector:
    """The boxes of the simulator itself, as a detector: what is left are errors of the rest."""

    spec = DetectorSpec(TRUTH, CLASSES, _TRUE_SIZE, 0.0, 1.0, 'simulator')

    def __init__(self, world: World) -> None:
        """Look at ``world``, whatever pictures are given."""
        self._world = world

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Return the boxes of what the camera of the world sees now."""
        boxes = visible_boxes(self._world, _TRUE_SIZE, Limits())
        corners = [(box.left, box.top, box.right, box.bottom) for box in boxes]
        return Detections(np.array(corners, np.float32).reshape(-1, 4),
                          np.ones(len(boxes), np.float32),
                          np.array([box.class_id for box in boxes], np.int64))


class Watch:
    """A lookout on the simulated robot; of its pictures some are lost on the way."""

    def __init__(self, detector: Detector, world: World, dropped: float = 0.0) -> None:
        """Watch in ``world``; ``dropped`` is the share of the pictures that are lost."""
        self._world, self.dropped = world, dropped
        self._lookout = Lookout(detector)

    def enter(self) -> None:
        """Begin with a scene that has just been loaded; its seed says what gets lost."""
        scenario = self._world.scenario
        assert scenario is not None, 'load a scenario first'
        self._lookout.clear()
        self._random = np.random.default_rng([scenario.seed, 0xD207])
        self._ground = camera_ground(self._world)

    def look(self, picture: NDArray[np.uint8], now_ns: int) -> Sighting | None:
        """Return what is seen in the camera's picture of now; None where it got lost."""
        if self._random.random() < self.dropped:
            return None
        height, width = picture.shape[:2]
        return self._lookout.look(picture, (height, width), self._ground, self._world.pose,
                                  now_ns)

    def obstacles(self, image: NDArray[np.uint8], now_ns: int) -> NDArray[np.float64] | None:
        """Return only the points [N, 2] around the robot, in its base frame."""
        sighting = self.look(image, now_ns)
        return None if sighting is None else sighting.obstacles


def camera_ground(world: World) -> Ground:
    """Return the ground as the camera of the loaded scene sees it."""
    assert world.scenario is not None, 'load a scenario first'
    look = world.scenario.look
    height, width = world.height, world.width
    focal = look.focal(height)
    matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    mount = mount_pose(CAMERA_X_M, 0.0, look.camera_height, 0.0, look.camera_pitch, 0.0)
    return GroundBeyond(Lens(height, width, matrix), mount, Body(ROBOT_RADIUS_M, _BODY_M))


def make_watch(name: str, world: World, dropped: float = 0.0) -> Watch:
    """Return the watch of the detector bundle ``name``, or of the simulator's truth.

    Raises DetectorError for a bundle that does not load.
    """
    detector: Detector = (TruthDetector(world) if name == TRUTH
                          else load_detector(Path(find_bundle(name))))
    return Watch(detector, world, dropped)
