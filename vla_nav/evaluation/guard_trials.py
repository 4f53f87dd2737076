"""Straight at a box: whether the guard, with a detector's own boxes, keeps it from being touched.

A robot that knows nothing drives straight on. Before it stands one box of random size, turn and
look, so that the robot's middle would hit it, or only its edge. The guard decides 50 times a
second; pictures are looked at ten times a second, some are lost, and what is seen arrives late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.control.guard import Decision, Guard, GuardSettings
from vla_nav.control.limits import Velocity
from vla_nav.detection.lookout import Sighting
from vla_nav.evaluation.crew import GivenUp, LocalCrew, finish
from vla_nav.evaluation.metrics import wilson_interval
from vla_nav.evaluation.rollout import SIMULATED
from vla_nav.evaluation.watching import Watch, make_watch
from vla_nav.simulation.layout import ROBOT_RADIUS_M, Block, Scenario, rotate
from vla_nav.simulation.scenario import FIRST_EVALUATION_SEED, SCENARIO_VERSION, sample
from vla_nav.simulation.world import World

_STEP_NS = 20_000_000
_STEPS_A_PICTURE = 5
# What is seen reaches the guard this many steps after the picture was taken.
_LATE_STEPS = 3
_START_NS = 1_000_000_000
# It has come to rest when it has stood for five seconds: longer than what it saw is remembered.
_REST_STEPS = 250
_OVERLAP_M = 0.03
_SPARE_S = 12.0


@dataclass(frozen=True)
class TrialSettings:
    """How many episodes, from which seed on, with what detector and losses.

    ``aim``: the box stands in the way of the robot's middle (centre), or only of its edge (edge).
    """

    detector: str
    episodes: int = 200
    first_seed: int = FIRST_EVALUATION_SEED
    dropped: float = 0.05
    aim: str = 'centre'

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a summary prints them."""
        return {**asdict(self), 'scenario_version': SCENARIO_VERSION}


@dataclass(frozen=True)
class Approach:
    """One episode: ``gap_m`` is what was left between robot and box where it came to rest.

    ``start_m`` is that at the start, ``offset_m`` how far the box's middle lies to the left of
    the robot's way. A robot that did not come to rest in time has ``stopped`` false.
    """

    index: int
    seed: int
    speed: float
    start_m: float
    offset_m: float
    half_x: float
    half_y: float
    yaw: float
    collision: bool
    stopped: bool
    gap_m: float
    reason: str


@dataclass
class Film:
    """What is drawn of an episode: the newest picture with its boxes, and the robot's way."""

    scenario: Scenario | None = None
    poses: list[tuple[float, float, float]] = field(default_factory=list)
    picture: NDArray[np.uint8] | None = None
    sighting: Sighting | None = None
    seen_from: tuple[float, float, float] = (0.0, 0.0, 0.0)


def scene(seed: int, aim: str = 'centre') -> tuple[Scenario, float]:
    """Return a scene with one box straight ahead of the robot, and the speed to drive at."""
    split = ('train', 'appearance')[seed % 2]
    like = sample(seed, split=split)
    random = np.random.default_rng([seed, 0x60A2])
    u = random.uniform
    barrier = bool(random.random() < 0.25)
    half_x, half_y = (u(0.06, 0.15), u(0.3, 0.9)) if barrier else (u(0.1, 0.5), u(0.1, 0.5))
    yaw = float(u(-math.pi / 2, math.pi / 2))
    corners = [rotate(sx * half_x, sy * half_y, yaw) for sx in (-1, 1) for sy in (-1, 1)]
    deep, wide = (max(corner[axis] for corner in corners) for axis in (0, 1))
    least, most = ((wide, wide + ROBOT_RADIUS_M - _OVERLAP_M) if aim == 'edge'
                   else (0.0, wide - _OVERLAP_M))
    offset = float(random.choice((-1, 1)) * u(least, most))
    ahead = ROBOT_RADIUS_M + float(u(0.6, 2.2)) + deep
    block = replace(like.blocks[0], x=ahead, y=offset, half_x=float(half_x), half_y=float(half_y),
                    height=float(u(0.2, 1.1)), yaw=yaw, role='barrier' if barrier else 'box')
    room = (-1.5, ahead + 3.0, offset - wide - 1.5, offset + wide + 1.5)
    return replace(like, start=(0.0, 0.0, 0.0), blocks=(block,), objects=(), gates=(), room=room,
                   landmark=None, person=None), float(u(0.15, 0.6))


def drive(world: World, watch: Watch, index: int, seed: int, aim: str = 'centre',
          film: Film | None = None) -> Approach:
    """Drive one episode."""
    scenario, speed = scene(seed, aim)
    world.load(scenario)
    watch.enter()
    block = scenario.blocks[0]
    start_m = gap(block, world.pose)
    guard = Guard(GuardSettings.model_validate({**SIMULATED, 'obstacles_required': True}))
    wanted, steady = Velocity(speed), _START_NS
    arriving: list[tuple[int, int, NDArray[np.float64]]] = []
    decision: Decision = guard.decide(steady - _STEP_NS)
    rested = 0
    steps = round((start_m / speed + _SPARE_S) * 1e9 / _STEP_NS)
    for step in range(steps):
        if step % _STEPS_A_PICTURE == 0:
            picture = world.render()
            sighting = watch.look(picture, steady)
            if film is not None:
                film.poses.append(world.pose)
            if sighting is not None and sighting.obstacles is not None:
                arriving.append((step + _LATE_STEPS, steady, sighting.obstacles))
                if film is not None:
                    film.picture, film.sighting = picture, sighting
                    film.seen_from = world.pose
        while arriving and arriving[0][0] <= step:
            _, taken_ns, points = arriving.pop(0)
            guard.take_obstacles(points, taken_ns, steady, steady)
        guard.see_camera(steady)
        guard.take_policy(wanted, steady, steady, steady)
        decision = guard.decide(steady)
        world.advance(decision.velocity, _STEP_NS * 1e-9)
        steady += _STEP_NS
        rested = 0 if any(decision.velocity) else rested + 1
        if world.collided or rested >= _REST_STEPS:
            break
    if film is not None:
        film.scenario = scenario
        film.poses.append(world.pose)
    return Approach(index, seed, speed, start_m, block.y, block.half_x, block.half_y, block.yaw,
                    bool(world.collided), rested >= _REST_STEPS, gap(block, world.pose),
                    decision.why)


def gap(block: Block, pose: tuple[float, float, float]) -> float:
    """Return the metres between the robot's edge and a box; below 0 where they overlap."""
    dx, dy = rotate(pose[0] - block.x, pose[1] - block.y, -block.yaw)
    ox, oy = abs(dx) - block.half_x, abs(dy) - block.half_y
    return (math.hypot(max(ox, 0.0), max(oy, 0.0)) + min(max(ox, oy), 0.0)) - ROBOT_RADIUS_M


def run(settings: TrialSettings, workers: int = 1,
        note: Callable[[Approach], None] = lambda one: None) -> list[Approach]:
    """Drive all episodes, and return them in order; the number of workers changes nothing.

    Raises DetectorError for a detector that does not load, GivenUp where an episode failed.
    """
    jobs = [(settings, index) for index in range(settings.episodes)]
    done = []
    if workers <= 1:
        for job in jobs:
            done.append(drive_one(*job))
            note(done[-1])
        return done
    with LocalCrew(workers) as crew:
        for _, one in finish(crew, drive_one, jobs):
            if isinstance(one, GivenUp):
                raise one
            note(one)
            done.append(one)
    return sorted(done, key=lambda one: one.index)


_kept: tuple[str, World, Watch] | None = None


def drive_one(settings: TrialSettings, index: int, film: Film | None = None) -> Approach:
    """Drive one episode with this process's world and detector."""
    global _kept
    if _kept is None or _kept[0] != settings.detector:
        if _kept is not None:
            _kept[1].close()
        world = World()
        _kept = settings.detector, world, make_watch(settings.detector, world)
    _, world, watch = _kept
    watch.dropped = settings.dropped
    return drive(world, watch, index, settings.first_seed + index, settings.aim, film)


def summarise(settings: TrialSettings, done: Sequence[Approach]) -> dict[str, Any]:
    """Return the figures of ``summary.json``."""
    hits = sum(one.collision for one in done)
    gaps = np.array([one.gap_m for one in done if one.stopped and not one.collision])
    middle = (np.percentile(gaps, (5, 50, 95)).round(3).tolist() if len(gaps) else [None] * 3)
    return {
        'episodes': len(done), 'collisions': hits, 'ci95': list(wilson_interval(hits, len(done))),
        'stopped': sum(one.stopped for one in done),
        'gap_m': dict(zip(('p5', 'p50', 'p95'), middle)),
        'least_gap_m': round(float(gaps.min()), 3) if len(gaps) else None,
        'settings': settings.to_dict()}


def worst(done: Sequence[Approach], count: int) -> list[Approach]:
    """Return the collisions, then what did not stop, then what stopped nearest."""
    return sorted(done, key=lambda one: (not one.collision, one.stopped, one.gap_m))[:count]
