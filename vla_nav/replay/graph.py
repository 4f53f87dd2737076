"""The policy node and the guard node on one timeline of recorded arrivals: no threads, no ROS.

The same task, chunk execution and guard as in the nodes, with their timers. Thinking takes no
time here, so that a replay gives the same on every machine; how long it took is measured apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import ActionChunk, Frame, Policy, PolicyError
from vla_nav.control.diagnostics import OnChange
from vla_nav.control.guard import Decision, Guard, GuardSettings
from vla_nav.control.limits import Velocity
from vla_nav.control.task import Task, TaskSettings, TaskState, understand

# After this long without a message everything stands; a pause of hours need not be ticked through.
_LONGEST_TICKED_NS = 3_000_000_000
# A timer skips its turn where a message has just done its work, as in the nodes.
_EARLY = 0.9


@dataclass(frozen=True)
class Listener:
    """Who is told what the nodes would publish; times are ROS time in nanoseconds.

    ``proposed``: velocity on ``cmd_vel_policy`` and the stamp of its picture (0: none).
    ``decided``: the guard's decision and the age of the picture behind it (None: none).
    ``state``: the task's state, on change, and why.
    """

    proposed: Callable[[int, Velocity, int], None]
    decided: Callable[[int, Decision, int | None], None]
    state: Callable[[int, TaskState, str], None]


class ReplayGraph:
    """Policy, task, chunk execution and guard, driven by what was recorded."""

    def __init__(self, policy: Policy, task: TaskSettings, guard: GuardSettings,
                 guard_rate: float, listener: Listener) -> None:
        """Start idle at the time of the first call of :meth:`advance`."""
        self.policy, self.space = policy, policy.spec.action_space
        self.task = Task.of(policy.spec, task)
        self.guard = Guard(guard)
        self.decision = self.guard.decide(0)
        self._listener = listener
        self._state = OnChange()
        self._policy_ns, self._guard_ns = (round(1e9 / rate)
                                           for rate in (task.command_rate, guard_rate))
        self._now_ns: int | None = None
        self._steady_ns = 0
        self._policy_due = self._guard_due = 0
        self._policy_sent = self._guard_sent = 0

    def advance(self, now_ns: int) -> None:
        """Let time pass up to ``now_ns``: the timers of both nodes run.

        ROS time may go back, as after a restarted simulator; the steady clock then stands still.
        """
        passed = 0 if self._now_ns is None else max(0, now_ns - self._now_ns)
        offset, end = now_ns - passed - self._steady_ns, self._steady_ns + passed
        ticked = min(end, self._steady_ns + _LONGEST_TICKED_NS)
        while (due := min(self._policy_due, self._guard_due)) <= ticked:
            self._now_ns, self._steady_ns = offset + due, due
            if due == self._policy_due:
                self._policy_due += self._policy_ns
                if due - self._policy_sent >= _EARLY * self._policy_ns:
                    self._propose()
            if due == self._guard_due:
                self._guard_due += self._guard_ns
                if due - self._guard_sent >= _EARLY * self._guard_ns:
                    self._decide()
        self._policy_due = max(self._policy_due, end)
        self._guard_due = max(self._guard_due, end)
        self._now_ns, self._steady_ns = now_ns, end

    def instruct(self, text: str) -> None:
        """Take an instruction, as on the topic."""
        self.task.executor.reset()
        try:
            understand(self.policy, text)(self.task)
        except PolicyError as error:
            self.task.fail(str(error))
        self._propose()

    def see_camera(self) -> None:
        """Note that the camera is alive, as its camera_info tells the guard."""
        self.guard.see_camera(self._steady_ns)

    def see_obstacles(self, points: NDArray[np.float64], stamp_ns: int) -> None:
        """Note the obstacles [N, 2] (base frame, m) in the picture of this stamp."""
        self.guard.take_obstacles(points, stamp_ns, self.now_ns, self.steady_ns)

    def see(self, changed: bool, stamp_ns: int) -> bool:
        """Note a picture, and return whether the policy node would look at it."""
        return self.task.see(changed, stamp_ns, self._steady_ns)

    def think(self, frame: Frame) -> ActionChunk | None:
        """Look at a picture and act on it; None where the policy failed, which stops the task."""
        chunk = None
        try:
            chunk = self.policy.act(frame)
            self.task.take(chunk)
            if chunk.uncertainty is not None:
                self.guard.take_uncertainty(chunk.uncertainty, self._steady_ns)
        except PolicyError as error:
            self.task.fail(str(error))
        self._propose()
        return chunk

    @property
    def now_ns(self) -> int:
        """Return the time that was reached, on the clock of the recording."""
        assert self._now_ns is not None, 'time begins with advance()'
        return self._now_ns

    @property
    def steady_ns(self) -> int:
        """Return the time that was reached, on a clock that does not go back."""
        return self._steady_ns

    def state(self) -> tuple[TaskState, str]:
        """Return the task's state now, and why the robot stands."""
        return self.task.state(self._steady_ns)

    def _propose(self) -> None:
        state, why = self.state()
        if self._state.changed(state):
            self._listener.state(self.now_ns, state, why)
        self._policy_sent = self._steady_ns
        command = self.task.due(self.now_ns, self._steady_ns)
        if command is None:
            return
        velocity = Velocity(*self.space.to_twist(command.velocity))
        self._listener.proposed(self.now_ns, velocity, command.stamp_ns)
        self.guard.take_policy(velocity, command.stamp_ns, self.now_ns, self._steady_ns)
        self._decide()

    def _decide(self) -> None:
        self.decision = self.guard.decide(self._steady_ns)
        self._guard_sent = self._steady_ns
        self._listener.decided(self.now_ns, self.decision,
                               self.guard.observation_age_ns(self._steady_ns))
