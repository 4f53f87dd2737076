"""Which picture is which: scene, place of the robot and camera, drawn from the seed alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vla_nav.detection.dataset.clutter import clutter
from vla_nav.simulation.layout import PERSON_RADIUS_M, ROBOT_RADIUS_M, Scenario, wrap
from vla_nav.simulation.planner import Map
from vla_nav.simulation.scenario import (
    FAMILIES,
    FIRST_EVALUATION_SEED,
    HARD_CELLS,
    PLAIN_CELLS,
    sample,
)
from vla_nav.simulation.world import CAMERA_HEIGHT, CAMERA_WIDTH

SPLITS: Final = ('train', 'val', 'test')
Pose = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A kind of camera: pixels, vertical field of view in degrees, and its share of pictures.

    Without ``fovy_deg`` the scene's own camera is used.
    """

    name: str
    width: int
    height: int
    fovy_deg: tuple[float, float] | None
    share: float


# The simulated robot's own, a robot's usual one, and a wide picture as of 1280×720.
CAMERAS: Final = (Camera('robot', CAMERA_WIDTH, CAMERA_HEIGHT, None, 0.4),
                  Camera('vga', 640, 480, (50.0, 80.0), 0.35),
                  Camera('wide', 640, 360, (40.0, 60.0), 0.25))
# What the scenes of each split are, with their shares. Held-out scenes are for the test alone.
GROUPS: Final = {
    'train': {'tasks': 0.5, 'clutter': 0.5},
    'val': {'tasks': 0.5, 'clutter': 0.5},
    'test': {'tasks': 0.3, 'clutter': 0.3, 'layouts': 0.2, 'appearance': 0.2},
}
_SCENES: Final = {'tasks': 'train', 'clutter': 'train', 'layouts': 'layouts',
                  'appearance': 'appearance'}
# No scene is in two splits: each draws its scenes' seeds from a range of its own.
_SEEDS: Final = {'train': (0, 900_000), 'val': (900_000, FIRST_EVALUATION_SEED),
                 'test': (3_000_000, 2 ** 31)}
_FREE_M = ROBOT_RADIUS_M + 0.03
_TRIES = 40


@dataclass(frozen=True)
class Shot:
    """One picture to take: its number in its split, what it shows, and how."""

    split: str
    index: int
    group: str
    camera: Camera
    cell: str
    scene_seed: int

    @property
    def stem(self) -> str:
        """Return the name of its files without the suffix."""
        return f'{self.split}_{self.index:05d}'


def shots_of(split: str, count: int, seed: int) -> list[Shot]:
    """Return the shots of a split; a longer list begins with the shorter one."""
    return [_shot(split, index, seed) for index in range(count)]


def stream(seed: int, shot: Shot, purpose: int) -> np.random.Generator:
    """Return a shot's random numbers for one purpose."""
    return np.random.default_rng([seed, SPLITS.index(shot.split), shot.index, purpose])


def scene_of(shot: Shot, seed: int) -> Scenario:
    """Return the scene with the robot at the place from which the picture is taken."""
    rng = stream(seed, shot, 1)
    scene = sample(shot.scene_seed, shot.cell, _SCENES[shot.group])
    if shot.group == 'clutter':
        scene = clutter(scene, rng)
    elif scene.person:
        low, high = sorted(min(max(y, scene.room[2] + 0.3), scene.room[3] - 0.3)
                           for y in (scene.person.start_y, scene.person.end_y))
        walked = replace(scene.person, start_y=float(rng.uniform(low, high)))
        scene = replace(scene, person=walked)
    if shot.camera.fovy_deg:
        fovy = float(rng.uniform(*shot.camera.fovy_deg))
        scene = replace(scene, look=replace(scene.look, camera_fovy_deg=fovy))
    return replace(scene, start=_pose(scene, rng))


def _shot(split: str, index: int, seed: int) -> Shot:
    rng = np.random.default_rng([seed, SPLITS.index(split), index, 0])
    groups = GROUPS[split]
    group = str(rng.choice(list(groups), p=list(groups.values())))
    camera = CAMERAS[int(rng.choice(len(CAMERAS), p=[camera.share for camera in CAMERAS]))]
    family = str(rng.choice(FAMILIES))
    cell = str(rng.choice(HARD_CELLS.get(family, PLAIN_CELLS)))
    return Shot(split, index, group, camera, cell, int(rng.integers(*_SEEDS[split])))


def _pose(scene: Scenario, rng: np.random.Generator) -> Pose:
    """Return a free place for the robot: on its way, before a thing, or anywhere."""
    room = Map(scene)
    way = _way(scene, room) if scene.gates else []
    targets = _targets(scene)
    for _ in range(_TRIES):
        choice = rng.random()
        if way and choice < 0.5:
            pose = _beside(way, rng)
        elif targets and choice < 0.85:
            pose = _before(targets, rng)
        else:
            pose = (float(rng.uniform(*scene.room[:2])), float(rng.uniform(*scene.room[2:])),
                    float(rng.uniform(-math.pi, math.pi)))
        if _is_free(scene, room, pose):
            return pose
    return scene.start


def _way(scene: Scenario, room: Map) -> list[tuple[float, float]]:
    goal = room.around(scene.goal.x, scene.goal.y, 0.45)
    return room.ways_to(goal).trace(*scene.start[:2], math.inf)


def _beside(way: Sequence[tuple[float, float]], rng: np.random.Generator) -> Pose:
    """Return a place near a point of the way, looking along it, roughly."""
    at = int(rng.integers(len(way)))
    (x, y), ahead = way[at], way[min(at + 8, len(way) - 1)]
    back = way[max(at - 8, 0)]
    heading = math.atan2(ahead[1] - back[1], ahead[0] - back[0])
    return (x + float(rng.normal(0, 0.12)), y + float(rng.normal(0, 0.12)),
            wrap(heading + float(rng.normal(0, 0.35))))


def _targets(scene: Scenario) -> list[tuple[float, float, float]]:
    """Return centre and radius of all that can be looked at from close by."""
    targets = [(o.x, o.y, 0.15) for o in scene.objects]
    if scene.landmark:
        targets.append((*scene.landmark, 0.2))
    if scene.person:
        targets.append((scene.person.x, scene.person.start_y, PERSON_RADIUS_M))
    # What a scene has once or a few times is looked at more often than its many blocks.
    return targets * 3 + [(b.x, b.y, math.hypot(b.half_x, b.half_y)) for b in scene.blocks]


def _before(targets: Sequence[tuple[float, float, float]], rng: np.random.Generator) -> Pose:
    """Return a place from which a thing is close, and mostly in view."""
    x, y, radius = targets[int(rng.integers(len(targets)))]
    side = float(rng.uniform(-math.pi, math.pi))
    away = radius + ROBOT_RADIUS_M + 0.05 + float(rng.exponential(0.7))
    return (x + away * math.cos(side), y + away * math.sin(side),
            wrap(side + math.pi + float(rng.normal(0, 0.4))))


def _is_free(scene: Scenario, room: Map, pose: Pose) -> bool:
    x, y, _ = pose
    x0, x1, y0, y1 = scene.room
    if not (x0 < x < x1 and y0 < y < y1) or room.clear_at(x, y) < _FREE_M:
        return False
    person = scene.person
    return person is None or math.hypot(person.x - x, person.start_y - y) > (
        PERSON_RADIUS_M + _FREE_M)
