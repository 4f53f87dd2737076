"""Many pieces of work over many processes: what a dead worker had in hand is done again."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from types import TracebackType
from typing import Any, Protocol, TypeVar

from vla_nav.contracts import PolicyError
from vla_nav.orphans import end_with_parent

ATTEMPTS = 3
# Enough that no worker waits for its next piece, few enough to have in hand when one dies.
_IN_HAND = 2
# The software renderer's own threads would only contend with the other workers.
PINNED = {'LP_NUM_THREADS': '0'}
Result = TypeVar('Result')


class GivenUp(RuntimeError):
    """A piece of work failed at each attempt; the message says how."""


class Crew(Protocol):
    """Processes that take work: ``size`` of them.

    Work that raises, or whose worker dies, raises from its future. A :class:`BrokenExecutor`
    means that all of them are gone, and that ``renew`` brings new ones.
    """

    size: int

    def submit(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have a worker call ``work``."""

    def renew(self) -> None:
        """Replace workers that are gone."""


class LocalCrew:
    """Processes of this machine."""

    def __init__(self, size: int) -> None:
        """Have ``size`` workers, started when they are needed."""
        self.size = size
        self._pool = self._started()

    def submit(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have a worker call ``work``."""
        return self._pool.submit(work, *arguments)

    def renew(self) -> None:
        """Begin with new processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._pool = self._started()

    def __enter__(self) -> LocalCrew:
        """Return the crew."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Let the workers end what they have begun."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _started(self) -> ProcessPoolExecutor:
        # Forked children would share the parent's GL state; spawned ones open their own.
        return ProcessPoolExecutor(self.size, multiprocessing.get_context('spawn'), _start)


def finish(crew: Crew, work: Callable[..., Result], jobs: Sequence[tuple[Any, ...]],
           ) -> Iterator[tuple[int, Result | GivenUp]]:
    """Yield the index of each job and what ``work(*job)`` returns, as they end.

    What fails is tried again after the others, three times in all; then :class:`GivenUp` takes
    the place of its result. Where one dead worker takes all others with it, what was in hand is
    tried again one by one, so that no job is given up for another's fault. A
    :class:`PolicyError` is raised at once: it would be the same each time.
    """
    waiting, alone = deque(range(len(jobs))), deque[int]()
    failures: Counter[int] = Counter()
    running: dict[Future[Result], int] = {}

    def failed(index: int, error: Exception, again: deque[int]) -> Iterator[tuple[int, GivenUp]]:
        failures[index] += 1
        if failures[index] < ATTEMPTS:
            again.append(index)
        else:
            yield index, GivenUp(f'failed {ATTEMPTS} times, the last with '
                                 f'{type(error).__name__}: {error}')

    while waiting or alone or running:
        if not running and alone:
            index = alone.popleft()
            running[_submitted(crew, work, jobs[index])] = index
        while waiting and not alone and len(running) < crew.size * _IN_HAND:
            index = waiting.popleft()
            running[_submitted(crew, work, jobs[index])] = index
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        broken = [future for future in done if isinstance(future.exception(), BrokenExecutor)]
        if broken:
            done, _ = wait(running)  # none of them is left to work
        lost = []
        for future in done:
            index, error = running.pop(future), future.exception()
            if error is None:
                yield index, future.result()
            elif isinstance(error, BrokenExecutor):
                lost.append((index, error))
            elif isinstance(error, PolicyError) or not isinstance(error, Exception):
                raise error
            else:
                yield from failed(index, error, waiting)
        if lost:
            crew.renew()
        if len(lost) == 1:
            yield from failed(*lost[0], alone)
        else:
            alone.extend(sorted(index for index, _ in lost))


def _submitted(crew: Crew, work: Callable[..., Result], job: tuple[Any, ...]) -> Future[Result]:
    try:
        return crew.submit(work, *job)
    except BrokenExecutor as error:  # a worker has died since the last result
        future = Future[Result]()
        future.set_exception(error)
        return future


def _start() -> None:
    end_with_parent()
    for name, value in PINNED.items():
        os.environ.setdefault(name, value)
