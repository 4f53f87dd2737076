"""What happens to a robot that only physics and the camera's mount can do."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from vla_nav.simulation.world import World


def push(world: World, ahead_n: float, left_n: float) -> None:
    """Push the base with a force in its own frame, newtons, until the next call or load."""
    yaw = world.pose[2]
    c, s = math.cos(yaw), math.sin(yaw)
    world.data.qfrc_applied[:2] = c * ahead_n - s * left_n, s * ahead_n + c * left_n


def move_camera(world: World, up_m: float, roll: float, pitch: float, yaw: float) -> None:
    """Move the camera of the loaded scene from where its mount belongs, until the next load.

    Angles in radians about the axes of the base (REP 103): a positive pitch looks further down.
    """
    model = world.model
    camera = model.camera('camera').id
    model.cam_pos[camera][2] += up_m
    quaternion = model.cam_quat[camera]
    for axis, angle in ((0, roll), (1, pitch), (2, yaw)):
        turn = np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, np.eye(3)[axis], angle)
        mujoco.mju_mulQuat(quaternion, turn, quaternion.copy())
    mujoco.mj_camlight(model, world.data)
