"""From a picture to the obstacles around a robot: detector, ground, memory, in that order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.detection.contracts import Detections, Detector, DetectorSpec
from vla_nav.detection.free_ground import FreeGround
from vla_nav.detection.ground import Ground, GroundPoints
from vla_nav.detection.letterbox import Letterbox, enlarged
from vla_nav.detection.obstacle_memory import ObstacleMemory
from vla_nav.observations.decode import compressed_size
from vla_nav.observations.messages import frame_from_message

# Below these a robot stands, m/s and rad/s; what it cannot see then changes this much slower.
_STANDS, _TURNS_NOT = 0.03, 0.05
_SLOWER = 10
# Where nothing is remembered, what is cut off stands so near before the base's centre.
_BEFORE_M = 0.1
Pose = tuple[float, float, float]


@dataclass(frozen=True)
class Sighting:
    """What was seen: boxes in pixels of the full picture, and the points around the robot.

    ``obstacles`` [N, 2] are in m in the base frame when the picture was taken; None where
    nobody knows how the camera looks.
    """

    detections: Detections
    obstacles: NDArray[np.float64] | None


class Lookout:
    """One detector on one robot, with what it remembers between pictures."""

    def __init__(self, detector: Detector) -> None:
        """Remember nothing yet."""
        self._detector = detector
        self._free, self._memory = FreeGround(), ObstacleMemory()
        self._last: tuple[int, Pose] | None = None
        self._clock_ns = 0

    @property
    def spec(self) -> DetectorSpec:
        """Return what the detector is."""
        return self._detector.spec

    def clear(self) -> None:
        """Forget everything, for a robot that was put elsewhere."""
        self._free.clear()
        self._memory.clear()
        self._last = None

    def look(self, picture: NDArray[np.uint8], size: tuple[int, int], ground: Ground | None,
             pose: Pose | None, stamp_ns: int) -> Sighting:
        """Look at uint8 [H, W, 3] RGB, which is the picture of ``size`` (height, width) reduced.

        ``ground`` is for the full picture; ``pose`` is (x, y, yaw) by odometry, without which
        nothing is remembered, and the thing of a box that is cut off stands right before the
        robot. Raises DetectorError.
        """
        found = enlarged(self._detector.detect(picture), size, picture.shape)
        if ground is None:
            return Sighting(found, None)
        standing = found.standing()
        feet = ground.place(standing)
        if pose is None:
            self.clear()
            return Sighting(found, _nearest(feet, ground))
        self._pass_time(pose, stamp_ns)
        if self._memory.jumps(pose, self._clock_ns):
            self._free.clear()
        feet = self._free.sift(feet, standing, ground, pose, stamp_ns)
        return Sighting(found, self._memory.update(feet, ground, pose, self._clock_ns))

    def _pass_time(self, pose: Pose, stamp_ns: int) -> None:
        """Let the memory's time pass: a robot that was stopped must not forget by what."""
        if self._last is not None:
            last_ns, (x, y, yaw) = self._last
            passed = stamp_ns - last_ns
            turned = abs(math.remainder(pose[2] - yaw, math.tau))
            stands = (math.hypot(pose[0] - x, pose[1] - y) <= _STANDS * passed * 1e-9
                      and turned <= _TURNS_NOT * passed * 1e-9)
            self._clock_ns += passed // _SLOWER if stands else passed
        self._last = stamp_ns, pose


def _nearest(feet: GroundPoints, ground: Ground) -> NDArray[np.float64]:
    """Return the points [N, 2], those of cut boxes as near as they may be.

    The foot of a cut box is anywhere between the robot and the picture's end, and nothing is known
    from before: within the footprint it stops whatever moves that way, and nothing else.
    """
    rays = feet.points - ground.stands_at
    rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-9)
    return np.where(feet.cut[:, None], _BEFORE_M * rays, feet.points)


def decode_for(message: Any, image_size: int, decoder: str = 'numpy'
               ) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Decode an Image or CompressedImage; return it, and the height and width of the full one.

    A JPEG is decoded at the smallest size at which a detector of ``image_size`` loses nothing.
    Raises ValueError where the picture does not decode.
    """
    if not hasattr(message, 'format'):
        return frame_from_message(message, decoder).image, (message.height, message.width)
    height, width = compressed_size(bytes(message.data))
    wanted = Letterbox.fit(height, width, image_size)
    return frame_from_message(message, decoder, wanted.rows, wanted.columns).image, (height, width)
