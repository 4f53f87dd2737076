"""Plain value types that describe one scene in the world frame (metres, radians, REP 103)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vla_nav.language.intent import Intent

ROBOT_RADIUS_M = 0.20
PERSON_RADIUS_M = 0.20
GOAL_RADIUS_M = 0.50


@dataclass(frozen=True)
class Block:
    """A box on the floor: centre, half sizes, yaw, height; ``role`` box, barrier or wall."""

    x: float
    y: float
    half_x: float
    half_y: float
    height: float
    yaw: float = 0.0
    role: str = 'box'
    rgb: tuple[float, float, float] = (0.6, 0.5, 0.4)
    texture: str = 'flat'


@dataclass(frozen=True)
class Thing:
    """An object that can be a goal: its kind, shape variant, colour and position.

    ``colour`` is a colour word, or None where the tint has no name in the vocabulary; ``size``
    scales the shape.
    """

    kind: str
    shape: str
    colour: str | None
    rgb: tuple[float, float, float]
    x: float
    y: float
    size: float = 1.0


@dataclass(frozen=True)
class Gate:
    """A landmark to pass: crossing ``x`` with y above ``y`` is passing on its left.

    ``exit_x`` is where the robot's centre is clear of the landmark; ``half_y`` its half width.
    """

    x: float
    y: float
    side: str
    exit_x: float
    half_y: float


@dataclass(frozen=True)
class Person:
    """A person who walks along ``x`` from ``start_y`` to ``end_y`` at ``speed`` m/s.

    The walk begins once the robot's x exceeds ``trigger_x``, and leads out of the room.
    """

    x: float
    start_y: float
    end_y: float
    speed: float
    trigger_x: float


@dataclass(frozen=True)
class Look:
    """What the scene looks like, and how the camera is mounted."""

    floor_texture: str
    floor_rgb: tuple[float, float, float]
    wall_texture: str
    wall_rgb: tuple[float, float, float]
    ambient: float
    light: float
    light_x: float
    light_y: float
    camera_height: float
    camera_pitch: float
    camera_fovy_deg: float

    def focal(self, height: int) -> float:
        """Return the camera's focal length in pixels, for pictures of this height."""
        return height / 2 / math.tan(math.radians(self.camera_fovy_deg) / 2)


@dataclass(frozen=True)
class Scenario:
    """One task in one scene; ``cell`` is its stratum, such as ``2box_vert_left_close``."""

    seed: int
    split: str
    family: str
    cell: str
    intent: Intent
    features: tuple[float, ...]
    start: tuple[float, float, float]
    blocks: tuple[Block, ...]
    objects: tuple[Thing, ...]
    goal_index: int
    gates: tuple[Gate, ...]
    look: Look
    room: tuple[float, float, float, float]
    confusable: bool
    longer_way: bool
    landmark: tuple[float, float] | None = None
    person: Person | None = None

    @property
    def goal(self) -> Thing:
        """Return the object that the instruction names."""
        return self.objects[self.goal_index]

    @property
    def time_limit_s(self) -> float:
        """Return the time after which the episode has failed."""
        return 30.0 if self.family == 'plain' else 45.0


def rotate(x: float, y: float, yaw: float) -> tuple[float, float]:
    """Rotate a vector by ``yaw``, counter-clockwise."""
    c, s = math.cos(yaw), math.sin(yaw)
    return c * x - s * y, s * x + c * y


def wrap(angle: float) -> float:
    """Return the angle in (-pi, pi]."""
    return math.atan2(math.sin(angle), math.cos(angle))
