"""Labelled rollouts: what the robot saw, and what the expert would have done there.

Each frame carries two labels, for the instruction that was driven and for another one that fits
the same scene (the other side, another object): the picture alone then never tells the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import ActionChunk, Frame, Policy, PolicySpec
from vla_nav.evaluation.rollout import STEP_NS, STEP_S, Robot
from vla_nav.observations.preprocess import to_policy_image
from vla_nav.simulation.expert import STOP_M, Expert
from vla_nav.simulation.judge import Judge
from vla_nav.simulation.layout import Scenario
from vla_nav.simulation.scenario import (
    FAMILIES,
    HARD_CELLS,
    PLAIN_CELLS,
    family_of,
    retarget,
    sample,
    with_sides,
)
from vla_nav.simulation.world import World
from vla_nav.spaces import OMNI_3D
from vla_nav.training.pictures import save_pictures

IMAGE_HEIGHT, IMAGE_WIDTH = 96, 128
CHUNK = 8
MAX_STEPS = 420
_TAKE_OVER_M = 0.03
_TAKE_OVER_PERSON_M = 0.08
_THING_SIZES = (0.8, 1.2)


@dataclass
class Rollouts:
    """Frames of many episodes, in order; axis 1 of the labels is (driven, other) instruction.

    ``images`` uint8 [N, 96, 128, 3]; ``features`` float32 [N, 2, 13]; ``chunks`` float32
    [N, 2, K, 3] normalised; ``points`` float32 [N, 2, 2, 3] = (u, v, visible) of the goal and
    of the next passage, u and v in [0, 1] of the picture; ``stage`` gates passed; ``arrived``
    0 or 1.
    """

    images: list = field(default_factory=list)
    features: list = field(default_factory=list)
    chunks: list = field(default_factory=list)
    points: list = field(default_factory=list)
    stage: list = field(default_factory=list)
    arrived: list = field(default_factory=list)
    episode: list = field(default_factory=list)
    family: list = field(default_factory=list)

    @staticmethod
    def complete(directory: Path, name: str) -> bool:
        """Tell whether :meth:`save` has finished this shard."""
        return (directory / f'{name}.{fields(Rollouts)[-1].name}.npy').exists()

    def save(self, directory: Path, name: str) -> None:
        """Write one .npy file a field, but the pictures by :func:`save_pictures`."""
        directory.mkdir(parents=True, exist_ok=True)
        save_pictures(directory / name, self.images)
        for f in fields(self)[1:]:
            array = np.asarray(getattr(self, f.name))
            if array.dtype == np.float64:
                array = array.astype(np.float32)
            np.save(directory / f'{name}.{f.name}.npy', array)


_Point = tuple[float, float, float]
_NOT_SEEN: _Point = (0.0, 0.0, 0.0)


class DirectPolicy:
    """A policy that is given its instruction's features instead of a text."""

    def __init__(self, session: Any, features: NDArray[np.float32]) -> None:
        """Wrap an ONNX Runtime session of a policy network."""
        self._session, self._features = session, features[None]
        state = next(i for i in session.get_inputs() if i.name == 'state')
        self._state = np.zeros(state.shape, np.float32)
        self.spec = PolicySpec('direct', OMNI_3D, IMAGE_HEIGHT, IMAGE_WIDTH, STEP_NS, CHUNK, 0.5)

    def reset(self) -> None:
        """Forget the past."""
        self._state = np.zeros_like(self._state)

    def set_instruction(self, text: str) -> str:
        """Keep the given features."""
        return text

    def act(self, frame: Frame) -> ActionChunk:
        """Return the network's chunk for this frame."""
        image = to_policy_image(frame.image, IMAGE_HEIGHT, IMAGE_WIDTH)
        actions, arrived, self._state = self._session.run(
            ['actions', 'arrived', 'next_state'],
            {'image': image[None], 'instruction': self._features, 'state': self._state})
        return ActionChunk(OMNI_3D.denormalise(actions[0]), STEP_NS, frame.stamp_ns,
                           float(arrived[0, 0]))


def pick_cell(seed: int) -> str:
    """Return the cell of a training seed: half plain, the rest spread over the hard families."""
    rng = np.random.default_rng([7, seed])
    if rng.random() < 0.5:
        return PLAIN_CELLS[int(rng.integers(len(PLAIN_CELLS)))]
    family = str(rng.choice(list(HARD_CELLS), p=[0.3, 0.35, 0.35]))
    return str(rng.choice(HARD_CELLS[family]))


def other_task(scenario: Scenario, rng: np.random.Generator) -> Scenario:
    """Return the scene with another instruction that it allows."""
    sides = [g.side for g in scenario.gates]
    how = rng.random()
    if how < 0.6:
        others = [i for i in range(len(scenario.objects)) if i != scenario.goal_index]
        scenario = retarget(scenario, int(rng.choice(others)))
    if how > 0.3:
        which = int(rng.integers(len(sides)))
        sides[which] = 'left' if sides[which] == 'right' else 'right'
        scenario = with_sides(scenario, *sides)
    return scenario


def resize_things(scenario: Scenario, rng: np.random.Generator) -> Scenario:
    """Return the scene with things of other sizes: what has no name may have any."""
    low, high = _THING_SIZES
    return replace(scenario, objects=tuple(
        replace(o, size=float(rng.uniform(low, high))) if o.kind == 'thing' else o
        for o in scenario.objects))


class Labeller:
    """The expert's labels for one instruction in the world's scene."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        """Plan for ``scenario``, which differs from the world's in its instruction at most."""
        self.world, self.scenario = world, scenario
        self.expert = Expert(world, scenario)
        self.features = np.array(scenario.features, np.float32)

    def label(self) -> tuple[NDArray[np.float32], list[_Point], int, float]:
        """Return (chunk, points of goal and passage, stage, arrived) for the world now."""
        chunk = OMNI_3D.normalise(self.expert.chunk(CHUNK))
        pose, goal = self.world.pose, self.scenario.goal
        points = [_NOT_SEEN, _NOT_SEEN]
        if self.expert.goal_visible():
            points[0] = self._show(goal.x, goal.y, 0.12)
        if passage := self.expert.passage(pose):
            points[1] = self._show(*passage, 0.0)
        stage = self.expert.stage(pose)
        near = np.hypot(goal.x - pose[0], goal.y - pose[1]) < STOP_M + 0.03
        arrived = float(near and stage == len(self.scenario.gates) and not chunk[-1].any())
        return chunk, points, stage, arrived

    def _show(self, x: float, y: float, z: float) -> _Point:
        u, v = self.expert.project(x, y, z, self.world.pose)
        return (u, v, 1.0) if 0 <= u < 1 and 0 <= v < 1 else _NOT_SEEN


def drive(world: World, seed: int, out: Rollouts, session: Any = None) -> str:
    """Drive one training episode, append its frames to ``out``, and return how it ended.

    That is the judge's reason, "steps", or "rescued" where the expert had to take over.
    Without a session the expert drives, now and then pushed off its way by bursts of noise, so
    that recovery is in the data; with one, the policy drives (DAgger: Ross, Gordon and Bagnell
    2011, arXiv:1011.0686).
    """
    rng = np.random.default_rng([11, seed, session is not None])
    scenario = resize_things(sample(seed, pick_cell(seed), 'train', tints=True), rng)
    world.load(scenario)
    judge = Judge(world)
    labellers = [Labeller(world, scenario), Labeller(world, other_task(scenario, rng))]
    robot = None
    if session is not None:
        policy: Policy = DirectPolicy(session, labellers[0].features)
        robot = Robot(policy, 'driven by features')
    features = np.stack([one.features for one in labellers])
    family = FAMILIES.index(family_of(scenario.cell))
    noise, until, rescue = np.zeros(3), -1, -1
    for step in range(MAX_STEPS):
        image = to_policy_image(world.render(), IMAGE_HEIGHT, IMAGE_WIDTH)
        labels = [one.label() for one in labellers]
        out.images.append(image)
        out.features.append(features)
        out.chunks.append([one[0] for one in labels])
        out.points.append([one[1] for one in labels])
        out.stage.append([one[2] for one in labels])
        out.arrived.append([one[3] for one in labels])
        out.episode.append(seed)
        out.family.append(family)
        if robot is None:
            velocity = OMNI_3D.denormalise(labels[0][0][0]).astype(float)
        else:
            velocity = np.array(robot.step(image, (step + 10) * STEP_NS), float)
            # Just before it would touch something the expert takes over for a second, so that
            # the rest of the way is in the data too.
            expert = labellers[0].expert
            if (expert.room() < _TAKE_OVER_M
                    or expert.person_room() < _TAKE_OVER_PERSON_M):
                rescue = step + 10
            if step < rescue:
                velocity = OMNI_3D.denormalise(labels[0][0][0]).astype(float)
        if step > until and rng.random() < (0.04 if robot is None else 0.01):
            noise = rng.normal(0, (0.2, 0.22, 0.6))
            until = step + int(rng.integers(2, 9))
        if step <= until:
            velocity = velocity + noise
        world.advance(velocity, STEP_S)
        judge.update(world)
        if judge.done:
            break
    return 'rescued' if rescue >= 0 else judge.reason or 'steps'
