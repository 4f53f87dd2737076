"""The simulated robot as a URDF: body, nose, and the camera as this scene has mounted it."""

from __future__ import annotations

import math

from vla_nav.simulation.layout import ROBOT_RADIUS_M, Look

_LINK = """
  <link name="base_link">
    <visual>
      <origin xyz="0 0 0.14"/>
      <geometry><cylinder radius="{radius}" length="0.24"/></geometry>
      <material name="body"><color rgba="0.15 0.2 0.3 1"/></material>
    </visual>
    <visual>
      <origin xyz="0.14 0 0.265"/>
      <geometry><box size="0.1 0.06 0.02"/></geometry>
      <material name="nose"><color rgba="0.9 0.9 0.9 1"/></material>
    </visual>
  </link>"""
_CAMERA = """
  <link name="camera">
    <visual>
      <geometry><box size="0.08 0.04 0.04"/></geometry>
      <material name="camera"><color rgba="0.1 0.1 0.1 1"/></material>
    </visual>
  </link>
  <joint name="camera" type="fixed">
    <parent link="base_link"/>
    <child link="camera"/>
    <origin xyz="{x} 0 {z:.6f}" rpy="{roll:.6f} 0 {yaw:.6f}"/>
  </joint>"""


def robot_urdf(camera_x: float, look: Look) -> str:
    """Return the URDF; ``camera`` is an optical frame (z ahead, x right, y down)."""
    camera = _CAMERA.format(x=camera_x, z=look.camera_height,
                            roll=-math.pi / 2 - look.camera_pitch, yaw=-math.pi / 2)
    return (f'<robot name="vla_nav_sim">{_LINK.format(radius=ROBOT_RADIUS_M)}{camera}\n'
            '</robot>\n')
