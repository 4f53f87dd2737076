"""How a detector looks on a robot: how often, from where, and over what of the robot itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vla_nav.detection.ground import Ground, mount_pose
from vla_nav.detection.lens import lens_of
from vla_nav.detection.own_body import Body, GroundBeyond

# Odometry that is older says nothing of where the robot is.
ODOMETRY_NS = 500_000_000
# A tenth less between pictures, so that a camera of the same rate loses none to its jitter.
_EARLY = 0.9

Mount = NDArray[np.float64]


class LookingSettings(BaseModel):
    """What the detector's node can be told of the robot that it looks from."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    rate: float = Field(10.0, ge=0.5, le=100.0, description='Pictures a second that it looks at '
                        'at most.')
    base_frame: str = Field('base_link', description='Frame of the obstacles.',
                            json_schema_extra={'read_only': True})
    camera_xyz: tuple[float, float, float] = Field(
        (0.0, 0.0, 0.0), description='Place of the camera in the base frame, m; at height 0 the '
        "pose comes from robot_description, by the pictures' frame.")
    camera_rpy: tuple[float, float, float] = Field(
        (0.0, 0.0, 0.0), description='Roll, pitch, yaw of the camera, rad; all 0 looks ahead, '
        'and a pitch above 0 looks down.')
    robot_radius: float = Field(0.2, gt=0.0, le=5.0, description='Radius of the footprint, m.')
    body_height: float = Field(
        0.0, ge=0.0, le=5.0, description="Height of the robot's body, m, where the camera looks "
        'over it, so that it hides the ground just before the robot; 0 where it does not.')

    def due(self, passed_ns: int) -> bool:
        """Tell whether to look again, so long after the last picture that was looked at."""
        return passed_ns >= _EARLY * 1e9 / self.rate

    def mount(self, described: Mount | None) -> Mount | None:
        """Return the camera's pose [4, 4] in the base frame: as set, else as ``described``."""
        if self.camera_xyz[2] > 0.0:
            return mount_pose(*self.camera_xyz, *self.camera_rpy)
        return described

    def ground(self, info: Any, mount: Mount | None, size: tuple[int, int], topic: str,
               frame: str) -> Ground:
        """Return the ground as the camera sees it in pictures of ``size`` (height, width).

        ``info`` is the newest ``sensor_msgs/CameraInfo`` on ``topic``, None before any;
        ``frame`` is that of the pictures. Raises ValueError saying what is missing.
        """
        if info is None:
            raise ValueError(f'nothing comes on {topic}')
        if mount is None:
            raise ValueError('nobody says where the camera is: set camera_xyz and camera_rpy, or '
                             'publish a robot_description in which fixed joints lead from '
                             f'{self.base_frame} to {frame or "the frame of the pictures"}')
        return GroundBeyond(lens_of(info, *size), mount, Body(self.robot_radius,
                                                              self.body_height))
