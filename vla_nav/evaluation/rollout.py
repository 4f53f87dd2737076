"""One episode in closed loop, with the executor and the guard that a robot runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_nav.contracts import ActionChunk, Frame, Policy, PolicyError
from vla_nav.control.follower import ChunkFollower
from vla_nav.control.guard import Guard, GuardSettings
from vla_nav.control.limits import Velocity
from vla_nav.control.pace import allowed_age_s, blind_speed, has_time_to_catch_up
from vla_nav.control.task import Task, TaskSettings, TaskState, instruct
from vla_nav.simulation.judge import Judge
from vla_nav.simulation.world import World

STEP_NS = 100_000_000
STEP_S = STEP_NS * 1e-9
# A stamp of 0 means "no picture" to the guard.
START_NS = 1_000_000_000
_UNSEEN = np.zeros((1, 1, 3), np.uint8)
# What config/sim.yaml tells the guard beside its defaults.
SIMULATED = {'obstacle_rim': 0.1}


@dataclass
class Trace:
    """What was driven, one entry a step, the start included.

    ``poses`` are (x, y, yaw) in the world, ``velocities`` as measured in the base frame,
    ``commands`` what the base was sent (one less), ``person`` the person's (x, y) where there is
    one, ``frames`` the camera's pictures where they were asked for. ``trouble`` says why the
    policy stood for cause in the end, '' where it did not.
    """

    poses: list[tuple[float, float, float]] = field(default_factory=list)
    velocities: list[tuple[float, float, float]] = field(default_factory=list)
    commands: list[Velocity] = field(default_factory=list)
    person: list[tuple[float, float]] = field(default_factory=list)
    frames: list[NDArray[np.uint8]] = field(default_factory=list)
    trouble: str = ''

    def note(self, world: World) -> None:
        """Append what the world shows now."""
        self.poses.append(world.pose)
        self.velocities.append(world.velocity)
        if (person := world.person_state) is not None:
            self.person.append(person[:2])

    def keep(self, frame: Frame | None) -> None:
        """Append a picture; where none came, the robot still has the one before."""
        if frame is not None:
            self.frames.append(frame.image)
        elif self.frames:
            self.frames.append(self.frames[-1])


class Watcher(Protocol):
    """What looks out for obstacles."""

    def enter(self) -> None:
        """Begin with a scene that has just been loaded."""

    def obstacles(self, image: NDArray[np.uint8], now_ns: int) -> ArrayLike | None:
        """Return the points [N, 2] in the base frame in a picture; None where it got lost."""


class Border:
    """What lies between a robot and its world; this one lets everything through as it is.

    ``remembers`` says that a picture matters later even where nobody looks at it now.
    """

    remembers = False

    def enter(self, world: World) -> None:
        """Begin with a world that has just been loaded."""

    def see(self, image: NDArray[np.uint8], now_ns: int) -> Frame | None:
        """Return what arrives from the camera, which shows uint8 [H, W, 3] at ``now_ns``."""
        return Frame(image, now_ns)

    def move(self, world: World, velocity: Velocity, now_ns: int) -> Velocity:
        """Return what the wheels make of a command."""
        return velocity


class Robot:
    """The chain that a robot runs, on one clock: policy, task, executor, guard."""

    def __init__(self, policy: Policy, instruction: str, delay_ns: int = 0) -> None:
        """Begin the task that ``instruction`` names; what is not understood means standstill.

        The model takes ``delay_ns`` for a picture, and the guard knows it. As on the robot, it
        looks at nothing meanwhile, and then at the newest picture.
        """
        spec = policy.spec
        self._policy = policy
        self._space = spec.action_space
        # A simulator without noise gives identical pictures at standstill: none count as frozen.
        limits = GuardSettings.model_validate({
            **SIMULATED, 'max_observation_age': allowed_age_s(spec.max_observation_age_s,
                                                              delay_ns * 1e-9)})
        self._guard = Guard(limits)
        self._follower = ChunkFollower(self._space, blind_speed(
            limits.blind_distance, limits.max_observation_age)) if delay_ns else None
        self._task = Task.of(spec, TaskSettings.model_validate({'frozen_after': 0.0}),
                             self._follower)
        self._delay_ns = delay_ns
        self._thought: tuple[int, ActionChunk] | None = None  # when it is done, and what it is
        # The guard of a running graph has been deciding before the first picture.
        self._guard.decide(START_NS - STEP_NS)
        # No text is a task too: of the expert, and of a policy's text-blind twin.
        instruct(policy, instruction)(self._task)

    def looks(self, now_ns: int) -> bool:
        """Tell whether a picture taken at ``now_ns`` will be looked at."""
        return self._task.driving and (self._thought is None or self._thought[0] <= now_ns)

    def step(self, image: NDArray[np.uint8], now_ns: int) -> Velocity:
        """Return what the base is sent for a picture uint8 [H, W, 3] taken at ``now_ns``."""
        return self.take(Frame(image, now_ns), now_ns)

    def take(self, frame: Frame | None, now_ns: int) -> Velocity:
        """Return what the base is sent at ``now_ns``, when a picture has come in, or none."""
        if frame is not None:
            self._guard.see_camera(now_ns)
            self._task.see(True, frame.stamp_ns, now_ns)
        if self._task.driving:
            try:
                chunk = self._think(frame, now_ns)
                if chunk is not None:
                    self._task.take(chunk)
            except PolicyError as error:
                self._task.fail(str(error))
        command = self._task.command(now_ns, now_ns)
        velocity = Velocity(*self._space.to_twist(command.velocity))
        self._guard.take_policy(velocity, command.stamp_ns, now_ns, now_ns)
        sent = self._guard.decide(now_ns).velocity
        if self._follower:
            self._follower.drove(sent, now_ns)
        return sent

    def _think(self, frame: Frame | None, now_ns: int) -> ActionChunk | None:
        """Return the chunk that has been thought out by now, and begin with the next one."""
        if not self._delay_ns:
            return None if frame is None else self._policy.act(frame)
        done = None
        if self._thought is not None and self._thought[0] <= now_ns:
            done, self._thought = self._thought[1], None
        if self._thought is None and frame is not None:
            frame = replace(frame, catch_up=has_time_to_catch_up(
                self._delay_ns * 1e-9, self._policy.spec.step_ns * 1e-9))
            self._thought = now_ns + self._delay_ns, self._policy.act(frame)
        return done

    def avoid(self, points: ArrayLike, now_ns: int) -> None:
        """Give the guard the obstacles [N, 2] (base frame) in the picture of now."""
        self._guard.take_obstacles(points, now_ns, now_ns, now_ns)

    def trouble(self, now_ns: int) -> str:
        """Return why the policy stands for cause at the end, '' where it does not."""
        state, why = self._task.state(now_ns)
        if state is TaskState.NOT_UNDERSTOOD:
            return state.value
        return why if state is TaskState.STOPPED else ''


def drive(world: World, judge: Judge, policy: Policy, instruction: str = '', see: bool = True,
          keep_frames: bool = False, delay_ns: int = 0, border: Border | None = None,
          watcher: Watcher | None = None) -> Trace:
    """Drive a loaded world until the judge has seen enough.

    ``see=False`` spares the rendering for drivers that do not look; ``delay_ns`` is how long the
    model takes for a picture; ``border`` may disturb what the robot sees and does; the guard
    keeps away from what ``watcher`` finds in each picture.
    """
    border = border or Border()
    border.enter(world)
    if watcher:
        watcher.enter()
    robot, trace, now_ns = Robot(policy, instruction, delay_ns), Trace(), START_NS
    trace.note(world)
    while not judge.done:
        wanted = keep_frames or (see and (border.remembers or robot.looks(now_ns)))
        picture = world.render() if wanted or watcher else _UNSEEN
        frame = border.see(picture, now_ns)
        if watcher and (points := watcher.obstacles(picture, now_ns)) is not None:
            robot.avoid(points, now_ns)
        if keep_frames:
            trace.keep(frame)
        command = robot.take(frame, now_ns)
        world.advance(border.move(world, command, now_ns), STEP_S)
        judge.update(world)
        trace.commands.append(command)
        trace.note(world)
        now_ns += STEP_NS
    trace.trouble = robot.trouble(now_ns - STEP_NS)
    return trace
