"""The thread in which a policy thinks, and its mailbox that keeps the newest picture only."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vla_nav.contracts import ActionChunk, Frame, Policy
from vla_nav.control.diagnostics import Latency, Rate
from vla_nav.control.pace import has_time_to_catch_up
from vla_nav.control.task import Task, understand
from vla_nav.nodes.running import steady_ns

# Steps between two pictures from which on one was missed.
_MISSED = 1.5


class Thinker:
    """Runs the policy beside the node's executor, so that slow thinking delays no message.

    ``lock`` guards ``task``, which this thread and the node share. ``decode`` makes a frame of a
    message. ``thought`` is called, in this thread, after each change of the task, with the new
    chunk where there is one.
    """

    def __init__(self, policy: Policy, task: Task, decode: Callable[[Any, int], Frame],
                 thought: Callable[[ActionChunk | None], None]) -> None:
        """Start the thread."""
        self.lock = threading.Lock()
        self.task = task
        self.rate, self.decoding, self.inference = Rate(), Latency(), Latency()
        self.dropped = self.undecodable = 0
        self.trouble = ''
        self._policy = policy
        self._decode = decode
        self._thought = thought
        self._wake = threading.Condition()
        self._order: str | None = None
        self._picture: tuple[Any, int] | None = None
        self._began_ns: int | None = None
        self._newest_ns: int | None = None
        self._single_s = math.inf  # the shortest time that one run has taken
        self._ending = False
        self._thread = threading.Thread(target=self._run, name='thinker', daemon=True)
        self._thread.start()

    def instruct(self, text: str) -> None:
        """Take an instruction; it comes before any picture, and '' means no task."""
        with self._wake:
            self._order, self._picture = text, None
            self._wake.notify()
        # What was planned for the old one ends now. Only after the order is there: from then on
        # no chunk of the old one comes in.
        with self.lock:
            self.task.executor.reset()

    def show(self, message: Any, stamp_ns: int) -> None:
        """Take a picture; one that has not been looked at yet is dropped."""
        with self._wake:
            self.dropped += self._picture is not None
            self._picture = message, stamp_ns
            self._wake.notify()

    def busy_ns(self, steady_ns: int) -> int:
        """Return for how long the picture that is thought about now has been; 0 for none."""
        began_ns = self._began_ns
        return 0 if began_ns is None else steady_ns - began_ns

    def thinking_s(self) -> float:
        """Return what decoding and inference take together: the sum of their medians."""
        found = (part.milliseconds() for part in (self.decoding, self.inference))
        return sum(part.get('p50', 0.0) for part in found) * 1e-3

    def end(self, patience_s: float = 2.0) -> None:
        """End the thread; a policy that hangs is left behind as a daemon."""
        with self._wake:
            self._ending = True
            self._wake.notify()
        self._thread.join(patience_s)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(
                    lambda: self._ending or self._order is not None or self._picture)
                if self._ending:
                    return
                order, self._order = self._order, None
                picture = None
                if order is None:
                    picture, self._picture = self._picture, None
            chunk = None
            try:
                if order is not None:
                    self._follow(order)
                elif picture is not None:
                    self._began_ns = steady_ns()
                    chunk = self._look(*picture)
            except Exception as error:  # whatever goes wrong in a policy must stop the robot
                with self.lock:
                    self.task.fail(f'{error}' or repr(error))
            self._began_ns = None
            self._thought(chunk)

    def _follow(self, text: str) -> None:
        self.trouble, self._newest_ns = '', None  # the memory begins anew, and misses nothing
        tell = understand(self._policy, text)
        with self.lock:
            tell(self.task)

    def _look(self, message: Any, stamp_ns: int) -> ActionChunk | None:
        began = steady_ns()
        try:
            frame = self._decode(message, stamp_ns)
        except ValueError as error:
            # One damaged picture is a picture less, no more; if none is good, the age of the
            # last good one stops the robot.
            self.undecodable += 1
            self.trouble = str(error)
            return None
        decoded = steady_ns()
        step_ns = self._policy.spec.step_ns
        missed = self._newest_ns is not None and stamp_ns - self._newest_ns > _MISSED * step_ns
        quick = has_time_to_catch_up(self._single_s, step_ns * 1e-9)
        chunk = self._policy.act(replace(frame, catch_up=quick))
        done = steady_ns()
        self._newest_ns = stamp_ns
        if not (missed and quick):
            self._single_s = min(self._single_s, (done - decoded) * 1e-9)
        self.trouble = ''
        self.decoding.add(decoded - began)
        self.inference.add(done - decoded)
        self.rate.tick(done)
        with self.lock:
            if self._is_outdated():
                return None
            self.task.take(chunk)
        return chunk

    def _is_outdated(self) -> bool:
        """Return whether there is a newer order. May be called under ``lock``."""
        with self._wake:  # under which nobody asks for ``lock``
            return self._order is not None
