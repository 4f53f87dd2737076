"""Run one process a node: restart what dies, stop everything in order, leave nothing behind.

Time is an argument in seconds of a steady clock. The supervisor does not wait or sleep while the
graph runs; its owner calls :meth:`Supervisor.poll` a few times a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from vla_nav.orphans import die_with_parent

FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 8.0
# A process that lived this long has earned its restarts back.
HEALTHY_AFTER_S = 30.0


@dataclass(frozen=True)
class Program:
    """A process to keep alive; ``may_finish`` if an exit with status 0 is its proper end."""

    name: str
    command: Sequence[str]
    may_finish: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Child:
    program: Program
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    restart_at: float | None = None
    finished: bool = False


class Supervisor:
    """Keeps the given programs running, each in a session of its own.

    Their output goes to ``log_dir/<name>.log``. ``say`` is told of each death and restart.
    """

    def __init__(self, programs: Sequence[Program], log_dir: Path, max_restarts: int = 5,
                 say: Callable[[str], None] = lambda text: None) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._children = {p.name: _Child(p, log_dir / f'{p.name}.log') for p in programs}
        self._max_restarts = max_restarts
        self._say = say

    def start(self, now: float) -> None:
        """Start every program. A child is told to end when the calling thread does."""
        for child in self._children.values():
            self._spawn(child, now)

    def poll(self, now: float) -> None:
        """Notice what has ended, and start again what is due."""
        for child in self._children.values():
            if child.process is not None and child.process.poll() is not None:
                self._ended(child, now)
            if child.restart_at is not None and now >= child.restart_at:
                child.restarts += 1
                self._spawn(child, now)

    @property
    def running(self) -> dict[str, int]:
        """Return name and process id of what runs now."""
        return {name: child.process.pid for name, child in self._children.items()
                if child.process is not None and child.process.poll() is None}

    @property
    def finished(self) -> list[str]:
        """Return the names of programs that have come to their proper end."""
        return [name for name, child in self._children.items() if child.finished]

    @property
    def given_up(self) -> list[str]:
        """Return the names of programs that died too often to be started again."""
        return [name for name, child in self._children.items()
                if not child.finished and child.process is None and child.restart_at is None
                and child.restarts >= self._max_restarts]

    @property
    def restarts(self) -> dict[str, int]:
        """Return how often each program has been started again."""
        return {name: child.restarts for name, child in self._children.items()}

    def last_words(self, name: str, lines: int = 5) -> str:
        """Return the end of a program's log, for error messages."""
        text = self._children[name].log.read_text(encoding='utf-8', errors='replace')
        return '\n'.join(text.splitlines()[-lines:])

    def stop(self, patience_s: float = 4.0) -> None:
        """End everything: Ctrl-C once to each, then SIGTERM, then SIGKILL to its whole group."""
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            alive = [c.process for c in self._children.values()
                     if c.process is not None and c.process.poll() is None]
            for process in alive:
                _signal_group(process.pid, sent)
            for process in alive:
                try:
                    process.wait(patience_s)
                except subprocess.TimeoutExpired:
                    # Only the first one that hangs may use up the patience.
                    patience_s = min(patience_s, 0.5)
        for child in self._children.values():
            if child.process is not None:
                # What a node has started itself shares its group and may have outlived it.
                _signal_group(child.process.pid, signal.SIGKILL)
            child.process, child.restart_at = None, None

    def _spawn(self, child: _Child, now: float) -> None:
        with child.log.open('ab') as log:
            child.process = _start(child.program, log)
        child.started, child.restart_at = now, None

    def _ended(self, child: _Child, now: float) -> None:
        assert child.process is not None
        name, status = child.program.name, child.process.returncode
        _signal_group(child.process.pid, signal.SIGKILL)
        child.process = None
        if status == 0 and child.program.may_finish:
            child.finished = True
            self._say(f'{name} has finished')
            return
        how = f'signal {-status}' if status < 0 else f'status {status}'
        if now - child.started >= HEALTHY_AFTER_S:
            child.restarts = 0
        if child.restarts >= self._max_restarts:
            self._say(f'{name} ended with {how} after {child.restarts} restarts; giving up. '
                      f'See {child.log}')
            return
        delay = min(FIRST_DELAY_S * 2 ** child.restarts, LONGEST_DELAY_S)
        child.restart_at = now + delay
        self._say(f'{name} ended with {how}; starting it again in {delay:g} s. See {child.log}')


def _start(program: Program, log: IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own keeps the terminal's Ctrl-C from reaching a node a second time.
    return subprocess.Popen(
        list(program.command), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        env={**os.environ, **program.environment}, start_new_session=True,
        preexec_fn=die_with_parent)


def _signal_group(group: int, sent: signal.Signals) -> None:
    try:
        os.killpg(group, sent)
    except ProcessLookupError:
        pass
