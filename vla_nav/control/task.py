"""The state of the robot's task, from an instruction to arrival, and the command that follows."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from vla_nav.contracts import ActionChunk, NotUnderstood, Policy, PolicySpec
from vla_nav.control.executor import ChunkExecutor, Command
from vla_nav.control.liveness import PictureWatch, Sight

_READ_ONLY: Any = {'read_only': True}


class TaskSettings(BaseModel):
    """How a policy's chunks are executed, and when its pictures are no use."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    command_rate: float = Field(50.0, ge=10.0, le=200.0, description='Hz of commands between '
                                'pictures.', json_schema_extra=_READ_ONLY)
    blend_decay: float = Field(1.0, ge=0.0, le=100.0, description='How quickly older chunks lose '
                               'weight, per step; 0 is the plain mean.')
    frozen_after: float = Field(0.5, ge=0.0, le=10.0, description='Seconds of identical pictures '
                                'that count as no camera; 0 for a simulator without noise.',
                                json_schema_extra=_READ_ONLY)
    picture_timeout: float = Field(0.5, gt=0.0, le=10.0, description='Seconds without a picture '
                                   'after which the policy stops and says so.',
                                   json_schema_extra=_READ_ONLY)


class TaskState(str, Enum):
    """What the robot is doing, as published for people and programs."""

    IDLE = 'idle'
    DRIVING = 'driving'
    ARRIVED = 'arrived'
    NOT_UNDERSTOOD = 'not_understood'
    STOPPED = 'stopped'


class Task:
    """Turns an instruction, pictures and chunks into commands.

    A command with a stamp has a picture behind it and may be smoothed. A command with stamp 0 is
    a stop for cause, which the guard obeys at once. Faults of the policy and orders stay until
    the next instruction; missing or frozen pictures stop the robot only while they last.
    """

    def __init__(self, axes: int, executor: ChunkExecutor, watch: PictureWatch,
                 arrived_threshold: float, arrived_after_ns: int = 500_000_000,
                 picture_timeout_ns: int = 500_000_000) -> None:
        """Start idle; ``axes`` is the size of the action space.

        The robot has arrived once the policy's belief has been at or above
        ``arrived_threshold`` for ``arrived_after_ns`` of picture time.
        """
        self.executor = executor
        self.watch = watch
        self.instruction = ''
        self.reading = ''
        self.enabled = True
        self.arrived_threshold = arrived_threshold
        self._arrived_after_ns = arrived_after_ns
        self._picture_timeout_ns = picture_timeout_ns
        self._zeros = np.zeros(axes, np.float32)
        self._state = TaskState.IDLE
        self._why = ''
        self._believed_since_ns: int | None = None
        self._picture_stamp_ns = 0
        self._enabled_after_ns: int | None = None  # the newest picture when it was enabled again
        self._silent = False

    @classmethod
    def of(cls, spec: PolicySpec, settings: TaskSettings,
           executor: ChunkExecutor | None = None) -> Task:
        """Return an idle task for a policy; ``executor`` is for one that thinks for long."""
        return cls(spec.action_space.size, executor or ChunkExecutor(settings.blend_decay),
                   PictureWatch(round(settings.frozen_after * 1e9)), spec.arrived_threshold,
                   picture_timeout_ns=round(settings.picture_timeout * 1e9))

    @property
    def driving(self) -> bool:
        """Return whether pictures are wanted: the task is under way and not disabled."""
        return self.enabled and self._state is TaskState.DRIVING

    def begin(self, instruction: str, reading: str) -> None:
        """Start the task of an instruction that was understood as ``reading``."""
        self._enter(TaskState.DRIVING, '')
        self.instruction, self.reading = instruction, reading

    def refuse(self, instruction: str, why: str) -> None:
        """Stand still: the instruction was not understood."""
        self._enter(TaskState.NOT_UNDERSTOOD, why)
        self.instruction = instruction

    def clear(self) -> None:
        """Have no task."""
        self._enter(TaskState.IDLE, '')
        self.instruction = ''

    def fail(self, why: str) -> None:
        """Stop until the next instruction: the policy does not work."""
        self._enter(TaskState.STOPPED, why)

    def enable(self, enabled: bool) -> None:
        """Stop on False; on True go on, from pictures that come after."""
        self.enabled = enabled
        self.executor.reset()
        # A thought may outlast both: what it says is of a picture from before.
        self._enabled_after_ns = self._picture_stamp_ns

    def see(self, changed: bool, stamp_ns: int, steady_ns: int) -> bool:
        """Note a picture, and return whether the policy is to look at it.

        ``changed`` says whether its content differs from the one before; a picture that does not
        differ is nothing new to look at.
        """
        self.watch.see(changed, steady_ns)
        news = changed or not self.watch.frozen_after_ns
        if news:
            if stamp_ns < self._picture_stamp_ns:
                self._enabled_after_ns = None  # time went back: a looped bag, a new simulation
            self._picture_stamp_ns = stamp_ns
        return news and self.driving

    def take(self, chunk: ActionChunk) -> None:
        """Take the policy's chunk; a chunk with NaN in it is a fault.

        One of a picture from before the robot was enabled again is dropped.
        """
        if not self.driving:
            return
        if self._enabled_after_ns is not None and chunk.stamp_ns <= self._enabled_after_ns:
            return
        try:
            self.executor.put(chunk)
        except ValueError as error:
            self.fail(str(error))
            return
        if not chunk.arrived >= self.arrived_threshold:
            self._believed_since_ns = None
        elif self._believed_since_ns is None:
            self._believed_since_ns = chunk.stamp_ns
        elif chunk.stamp_ns - self._believed_since_ns >= self._arrived_after_ns:
            self._enter(TaskState.ARRIVED, '')

    def state(self, steady_ns: int) -> tuple[TaskState, str]:
        """Return the state and, where the robot stands for cause, why."""
        if self._state is TaskState.DRIVING:
            if not self.enabled:
                return TaskState.STOPPED, 'disabled'
            sight = self.watch.judge(steady_ns, self._picture_timeout_ns)
            if sight is not Sight.FRESH:
                return TaskState.STOPPED, sight.value
        return self._state, self._why

    def command(self, now_ns: int, steady_ns: int) -> Command:
        """Return what to send at ``now_ns`` on the clock of the pictures' stamps."""
        state, _ = self.state(steady_ns)
        if state is TaskState.DRIVING:
            due = self.executor.command(now_ns)
            return due or Command(self._zeros, self._picture_stamp_ns)
        if state is TaskState.ARRIVED:
            return Command(self._zeros, self._picture_stamp_ns)
        return Command(self._zeros, 0)

    def due(self, now_ns: int, steady_ns: int) -> Command | None:
        """Return the command to send now, or None for silence.

        Without a task the policy falls silent after one more zero, so that others may drive.
        """
        idle = self._state is TaskState.IDLE
        silent, self._silent = idle and self._silent, idle
        return None if silent else self.command(now_ns, steady_ns)

    def _enter(self, state: TaskState, why: str) -> None:
        self.executor.reset()
        self._state, self._why, self.reading = state, why, ''
        self._believed_since_ns = self._enabled_after_ns = None


def understand(policy: Policy, text: str) -> Callable[[Task], None]:
    """Return what a text means for the task, as :func:`instruct` does; no text, no task."""
    return instruct(policy, text) if text.strip() else Task.clear


def instruct(policy: Policy, text: str) -> Callable[[Task], None]:
    """Tell the policy what to do, and return what this means for the task.

    Reading may take its time; what is returned takes none, and can be called under a lock.
    """
    try:
        reading = policy.set_instruction(text)
        policy.reset()
    except NotUnderstood as error:
        why = str(error)
        return lambda task: task.refuse(text, why)
    return lambda task: task.begin(text, reading)
