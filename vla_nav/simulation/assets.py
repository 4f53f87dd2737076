"""The MuJoCo model: one fixed set of bodies that every scene moves, sizes and tints in place.

Compiling a model and making a renderer costs hundreds of milliseconds; editing mocap bodies costs
microseconds, so all scenes share one model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_nav.simulation.layout import PERSON_RADIUS_M, ROBOT_RADIUS_M

OBJECT_SLOTS = 4
BLOCK_SLOTS = 10
# Looks used in training, and looks kept for the held-out appearance split.
TRAIN_TEXTURES = ('flat', 'checker', 'planks', 'noise', 'tiles', 'stripes')
HELD_OUT_TEXTURES = ('dots', 'weave', 'diagonal')
# Shapes of the kind "thing": a policy learns that anything which is no cup, cone or ball is one.
THING_SHAPES = ('post', 'cube', 'capsule', 'egg', 'cross')
SHAPES = ('cup', 'cone', 'ball', 'bottle', *THING_SHAPES)
TEXTURE_PIXELS = 128


def texture(name: str) -> NDArray[np.uint8]:
    """Return a grey pattern uint8 [128, 128, 3]; a material's rgba tints it."""
    n = TEXTURE_PIXELS
    y, x = np.mgrid[0:n, 0:n]
    rng = np.random.default_rng(len(name) * 7 + ord(name[0]))
    if name == 'flat':
        grey = np.full((n, n), 0.95)
    elif name == 'checker':
        grey = 0.72 + 0.25 * ((x // 32 + y // 32) % 2)
    elif name == 'planks':
        grey = 0.70 + 0.25 * rng.random(8)[(y // 16) % 8] - 0.2 * (y % 16 == 0)
    elif name == 'noise':
        grey = 0.70 + 0.28 * np.kron(rng.random((32, 32)), np.ones((4, 4)))
    elif name == 'tiles':
        grey = 0.92 - 0.3 * ((x % 32 < 2) | (y % 32 < 2))
    elif name == 'stripes':
        grey = 0.74 + 0.22 * ((x // 16) % 2)
    elif name == 'dots':
        grey = 0.92 - 0.3 * ((x % 32 - 16) ** 2 + (y % 32 - 16) ** 2 < 60)
    elif name == 'weave':
        grey = 0.80 + 0.15 * np.sin(x / 5.0) * np.sin(y / 5.0)
    elif name == 'diagonal':
        grey = 0.74 + 0.22 * (((x + y) // 16) % 2)
    else:
        raise ValueError(f'unknown texture {name!r}')
    return np.repeat((np.clip(grey, 0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)


def _shape_geoms(shape: str) -> str:
    """Return the geoms of one object; those of class "tint" take the object's colour."""
    tint = 'class="tint"'
    return {
        'cup': f'<geom {tint} type="cylinder" size=".11 .11" pos="0 0 .11"/>'
               '<geom class="dark" type="cylinder" size=".09 .004" pos="0 0 .222"/>'
               f'<geom {tint} type="capsule" size=".018 .05" pos="0 .135 .11"/>',
        'cone': f'<geom {tint} type="mesh" mesh="cone" pos="0 0 .02"/>'
                f'<geom {tint} type="box" size=".13 .13 .012" pos="0 0 .012"/>',
        'ball': f'<geom {tint} type="sphere" size=".13" pos="0 0 .13"/>',
        'bottle': f'<geom {tint} type="cylinder" size=".075 .13" pos="0 0 .13"/>'
                  f'<geom {tint} type="ellipsoid" size=".075 .075 .05" pos="0 0 .26"/>'
                  f'<geom {tint} type="cylinder" size=".028 .06" pos="0 0 .34"/>'
                  '<geom class="dark" type="cylinder" size=".034 .015" pos="0 0 .41"/>',
        'post': f'<geom {tint} type="cylinder" size=".05 .2" pos="0 0 .2"/>'
                '<geom class="dark" type="cylinder" size=".1 .01" pos="0 0 .01"/>',
        'cube': f'<geom {tint} type="box" size=".1 .1 .1" pos="0 0 .1"/>',
        'capsule': f'<geom {tint} type="capsule" size=".08 .12" pos="0 0 .2"/>',
        'egg': f'<geom {tint} type="ellipsoid" size=".09 .09 .17" pos="0 0 .17"/>',
        'cross': f'<geom {tint} type="box" size=".05 .13 .04" pos="0 0 .24"/>'
                 f'<geom {tint} type="box" size=".05 .04 .18" pos="0 0 .18"/>',
    }[shape]


def _cone_vertices(radius: float, height: float) -> str:
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = [f'{radius * np.cos(a):.4f} {radius * np.sin(a):.4f} 0' for a in angles]
    top = [f'{0.015 * np.cos(a):.4f} {0.015 * np.sin(a):.4f} {height}' for a in angles[::4]]
    return ' '.join(ring + top)


def model_xml(width: int, height: int) -> tuple[str, dict[str, bytes]]:
    """Return the MJCF text and its assets, for a camera of ``width`` × ``height`` pixels."""
    import cv2

    names = TRAIN_TEXTURES + HELD_OUT_TEXTURES
    files = {f'{n}.png': cv2.imencode('.png', texture(n))[1].tobytes() for n in names}
    assets = ''.join(f'<texture name="{n}" type="2d" file="{n}.png"/>' for n in names)
    # Each surface has a material of its own, so that a scene can tint it.
    surfaces = ['floor', 'wall', *(f'block{i}' for i in range(BLOCK_SLOTS))]
    assets += ''.join(
        f'<material name="{s}_{n}" texture="{n}" texrepeat="1 1" texuniform="true"'
        ' specular="0" shininess="0"/>' for s in surfaces for n in names)
    bodies = ''.join(
        f'<body name="block{i}" mocap="true" pos="0 0 -9"><geom name="block{i}" type="box"'
        f' size=".1 .1 .1" material="block{i}_flat"/></body>' for i in range(BLOCK_SLOTS))
    bodies += ''.join(
        f'<body name="wall{i}" mocap="true" pos="0 0 -9"><geom name="wall{i}" type="box"'
        ' size=".1 .1 1.3" material="wall_flat"/></body>' for i in range(4))
    bodies += ''.join(
        f'<body name="object{i}_{s}" mocap="true" pos="0 0 -9">{_shape_geoms(s)}</body>'
        for i in range(OBJECT_SLOTS) for s in SHAPES)
    return f"""
<mujoco model="vla_nav">
  <option timestep="0.01" integrator="implicitfast" gravity="0 0 0"/>
  <visual>
    <global offwidth="{max(width, 640)}" offheight="{max(height, 640)}"/>
    <quality offsamples="0" shadowsize="0"/><map znear="0.003" zfar="30"/>
    <headlight ambient=".4 .4 .4" diffuse=".2 .2 .2" specular="0 0 0"/>
  </visual>
  <default>
    <default class="tint"><geom rgba="1 0 0 1"/></default>
    <default class="dark"><geom rgba=".08 .08 .08 1"/></default>
    <default class="look"><geom contype="0" conaffinity="0"/></default>
  </default>
  <asset>{assets}
    <mesh name="cone" vertex="{_cone_vertices(0.12, 0.34)}"/>
    <mesh name="landmark" vertex="{_cone_vertices(0.2, 0.75)}"/>
  </asset>
  <worldbody>
    <light name="lamp" pos="0 0 4" dir="0 0 -1" castshadow="false" specular="0 0 0"/>
    <geom name="floor" class="look" type="plane" size="12 12 1" material="floor_flat"/>
    <camera name="top" pos="2.5 0 8" xyaxes="0 -1 0 1 0 0" fovy="50"/>
    <body name="robot" pos="0 0 0">
      <joint name="x" type="slide" axis="1 0 0"/><joint name="y" type="slide" axis="0 1 0"/>
      <joint name="yaw" type="hinge" axis="0 0 1"/>
      <inertial pos="0 0 .1" mass="50" diaginertia="2 2 2"/>
      <geom name="robot" type="cylinder" size="{ROBOT_RADIUS_M} .12" pos="0 0 .14"
            rgba=".15 .2 .3 1"/>
      <geom name="robot_nose" class="look" type="box" size=".05 .03 .01" pos=".14 0 .265"
            rgba=".9 .9 .9 1"/>
      <camera name="camera" pos="-.1 0 .6" xyaxes="0 -1 0 .3 0 1" fovy="80"/>
    </body>
    <body name="landmark" mocap="true" pos="0 0 -9">
      <geom name="landmark" type="mesh" mesh="landmark" rgba="1 .42 .05 1"/>
      <geom class="look" type="cylinder" size=".125 .05" pos="0 0 .36" rgba="1 1 1 1"/>
    </body>
    <body name="person" mocap="true" pos="0 0 -9">
      <geom name="person" type="capsule" size="{PERSON_RADIUS_M} .62" pos="0 0 .82"
            rgba=".25 .3 .45 1"/>
      <geom name="person_head" type="sphere" size=".13" pos="0 0 1.66" rgba=".85 .65 .5 1"/>
    </body>
    {bodies}
  </worldbody>
  <actuator>
    <velocity name="vx" joint="x" kv="420"/><velocity name="vy" joint="y" kv="420"/>
    <velocity name="wz" joint="yaw" kv="17"/>
  </actuator>
</mujoco>""", files
