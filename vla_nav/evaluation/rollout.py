"""One episode in closed loop, with the executor and the guard that a robot runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import Frame, Policy, PolicyError
from vla_nav.control.executor import ChunkExecutor
from vla_nav.control.guard import Guard, GuardSettings
from vla_nav.control.limits import ZERO, Velocity
from vla_nav.simulation.judge import Judge
from vla_nav.simulation.world import World

STEP_NS = 100_000_000
STEP_S = STEP_NS * 1e-9
# A stamp of 0 means "no picture" to the guard.
_START_NS = 1_000_000_000
_UNSEEN = np.zeros((1, 1, 3), np.uint8)


@dataclass
class Trace:
    """What was driven, one entry a step, the start included.

    ``poses`` are (x, y, yaw) in the world, ``velocities`` as measured in the base frame,
    ``commands`` what the base was sent (one less), ``person`` the person's (x, y) where there is
    one, ``frames`` the camera's pictures where they were asked for. ``error`` is the policy's,
    '' where there was none.
    """

    poses: list[tuple[float, float, float]] = field(default_factory=list)
    velocities: list[tuple[float, float, float]] = field(default_factory=list)
    commands: list[Velocity] = field(default_factory=list)
    person: list[tuple[float, float]] = field(default_factory=list)
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    error: str = ''

    def note(self, world: World) -> None:
        """Append what the world shows now."""
        self.poses.append(world.pose)
        self.velocities.append(world.velocity)
        if (person := world.person_state) is not None:
            self.person.append(person[:2])


class Robot:
    """The chain that a robot runs, on one clock: policy, executor, guard."""

    def __init__(self, policy: Policy) -> None:
        """Start a new episode: nothing remembered, nothing heard."""
        policy.reset()
        spec = policy.spec
        self._policy = policy
        self._space = spec.action_space
        self._executor = ChunkExecutor()
        self._guard = Guard(GuardSettings(max_observation_age=spec.max_observation_age_s))
        # The guard of a running graph has been deciding before the first picture.
        self._guard.decide(_START_NS - STEP_NS)

    def step(self, image: NDArray[np.uint8], now_ns: int) -> Velocity:
        """Return what the base is sent for a picture uint8 [H, W, 3] taken at ``now_ns``."""
        self._guard.see_camera(now_ns)
        chunk = self._policy.act(Frame(image, now_ns))
        self._executor.put(chunk)
        due = self._executor.command(now_ns)
        arrived = chunk.arrived >= self._policy.spec.arrived_threshold
        velocity = ZERO if due is None or arrived else Velocity(
            *self._space.to_twist(due.velocity))
        self._guard.take_policy(velocity, now_ns, now_ns, now_ns)
        return self._guard.decide(now_ns).velocity


def drive(world: World, judge: Judge, policy: Policy, see: bool = True,
          keep_frames: bool = False) -> Trace:
    """Drive a loaded world until the judge has seen enough.

    ``see=False`` spares the rendering for drivers that do not look. A policy that fails stops
    the robot for the rest of the episode, as the guard would.
    """
    robot, trace, now_ns = Robot(policy), Trace(), _START_NS
    trace.note(world)
    while not judge.done:
        velocity = ZERO
        if not trace.error:
            image = world.render() if see or keep_frames else _UNSEEN
            if keep_frames:
                trace.frames.append(image)
            try:
                velocity = robot.step(image, now_ns)
            except PolicyError as error:
                trace.error = str(error)
        trace.commands.append(velocity)
        world.advance(velocity, STEP_S)
        judge.update(world)
        trace.note(world)
        now_ns += STEP_NS
    return trace
