"""The state of the robot's task, from an instruction to arrival, and the command that follows."""

from __future__ import annotations

from enum import Enum

import numpy as np

from vla_nav.contracts import ActionChunk
from vla_nav.control.executor import ChunkExecutor, Command
from vla_nav.control.liveness import PictureWatch, Sight


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

    def see(self, changed: bool, stamp_ns: int, steady_ns: int) -> None:
        """Note a picture; ``changed`` says whether its content differs from the one before."""
        self.watch.see(changed, steady_ns)
        if changed or not self.watch.frozen_after_ns:
            self._picture_stamp_ns = stamp_ns

    def take(self, chunk: ActionChunk) -> None:
        """Take the policy's chunk; a chunk with NaN in it is a fault."""
        if not self.driving:
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

    def _enter(self, state: TaskState, why: str) -> None:
        self.executor.reset()
        self._state, self._why, self.reading = state, why, ''
        self._believed_since_ns = None
