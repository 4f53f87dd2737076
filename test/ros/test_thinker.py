"""The thinking thread: newest picture only, faults stop, old thoughts are dropped."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from vla_nav.contracts import ActionChunk, Frame, NotUnderstood
from vla_nav.control.executor import ChunkExecutor
from vla_nav.control.liveness import PictureWatch
from vla_nav.control.task import Task, TaskState
from vla_nav.nodes.running import steady_ns
from vla_nav.nodes.thinker import Thinker


class SlowPolicy:
    """Thinks until it is let go, and fails as its picture says."""

    spec = SimpleNamespace(step_ns=100_000_000)

    def __init__(self):
        self.seen, self.thinking, self.go = [], threading.Event(), threading.Event()
        self.caught_up = []
        self.reading, self.read = threading.Event(), threading.Event()

    def reset(self):
        pass

    def set_instruction(self, text):
        if text == 'blub':
            raise NotUnderstood('what is blub?')
        if text == 'slow':
            self.reading.set()
            assert self.read.wait(10)
        return f'read: {text}'

    def act(self, frame):
        self.seen.append(frame.stamp_ns)
        self.caught_up.append(frame.catch_up)
        self.thinking.set()
        assert self.go.wait(10)
        if isinstance(frame.image, Exception):
            raise frame.image
        return ActionChunk(np.full((4, 3), 0.2, np.float32), 100_000_000, frame.stamp_ns)


class Watched:
    """A lock that lets something happen once, just before it is taken or after it was left."""

    def __init__(self):
        self._lock = threading.Lock()
        self.before = self.after = None

    def __enter__(self):
        happen, self.before = self.before, None
        if happen is not None:
            happen()
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()
        happen, self.after = self.after, None
        if happen is not None:
            happen()


class Bench:
    def __init__(self):
        self.policy = SlowPolicy()
        self.task = Task(3, ChunkExecutor(), PictureWatch(0), 0.5)
        self._thoughts = threading.Semaphore(0)
        self.thinker = Thinker(self.policy, self.task, self._decode,
                               lambda chunk: self._thoughts.release())

    @staticmethod
    def _decode(message, stamp_ns):
        if message == 'damaged':
            raise ValueError('cannot decode')
        return Frame(message, stamp_ns)

    def show(self, message, stamp_ns):
        self.task.see(True, stamp_ns, steady_ns())
        self.thinker.show(message, stamp_ns)

    def await_thoughts(self, count=1):
        for _ in range(count):
            assert self._thoughts.acquire(timeout=10)

    @property
    def state(self):
        return self.task.state(steady_ns())

    def command(self):
        return self.task.command(1, steady_ns()).velocity


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.policy.go.set()
    bench.policy.read.set()
    bench.thinker.end()


def test_only_the_newest_picture_waits_while_the_policy_thinks(bench):
    bench.thinker.instruct('go')
    bench.await_thoughts()
    bench.show(None, 1)
    assert bench.policy.thinking.wait(10)
    for stamp in (2, 3, 4):
        bench.show(None, stamp)
    bench.policy.go.set()
    bench.await_thoughts(2)
    assert bench.policy.seen == [1, 4] and bench.thinker.dropped == 2


def test_the_robot_drives_on_with_the_last_chunk_while_the_policy_thinks(bench):
    bench.policy.go.set()
    bench.thinker.instruct('go')
    bench.show(None, 1)
    bench.await_thoughts(2)
    assert bench.thinker.busy_ns(steady_ns()) == 0
    bench.policy.go.clear()
    bench.policy.thinking.clear()
    bench.show(None, 2)
    assert bench.policy.thinking.wait(10) and bench.thinker.busy_ns(steady_ns()) > 0
    # At 20 Hz, up to the end of the chunk; then it stands, but not for cause.
    sent = [bench.task.command(now, steady_ns()) for now in range(1, 400_000_000, 50_000_000)]
    assert len(sent) == 8 and all(one.velocity.any() and one.stamp_ns == 1 for one in sent)
    end = bench.task.command(400_000_001, steady_ns())
    assert not end.velocity.any() and end.stamp_ns == 2


def test_what_was_thought_for_the_old_instruction_is_not_driven(bench):
    bench.thinker.instruct('old')
    bench.await_thoughts()
    bench.show(None, 1)
    assert bench.policy.thinking.wait(10)
    bench.thinker.instruct('new')
    bench.policy.go.set()
    bench.await_thoughts(2)
    assert bench.task.instruction == 'new' and not bench.command().any()


@pytest.mark.parametrize('when', ['as the chunk is taken', 'as the order comes'])
def test_a_chunk_of_the_old_task_is_not_driven_while_the_new_one_is_read(bench, when):
    bench.thinker.instruct('old')
    bench.await_thoughts()
    bench.show(None, 1)
    assert bench.policy.thinking.wait(10)

    def end_the_thought():
        bench.policy.go.set()
        bench.await_thoughts()
    lock = bench.thinker.lock = Watched()
    if when == 'as the order comes':
        lock.after = end_the_thought  # once what was planned has been dropped
        bench.thinker.instruct('slow')
    else:
        lock.before = lambda: bench.thinker.instruct('slow')
        end_the_thought()
    assert bench.policy.reading.wait(10)
    assert bench.task.instruction == 'old' and not bench.command().any()
    bench.policy.read.set()
    bench.await_thoughts()
    assert bench.task.instruction == 'slow'


@pytest.mark.parametrize('fault', [RuntimeError('the network fell over'), MemoryError()])
def test_whatever_goes_wrong_in_the_policy_stops_the_robot(bench, fault):
    bench.policy.go.set()
    bench.thinker.instruct('go')
    bench.show(fault, 1)
    bench.await_thoughts(2)
    state, why = bench.state
    assert state is TaskState.STOPPED and (str(fault) or 'MemoryError') in why
    bench.thinker.instruct('go')
    bench.show(None, 2)
    bench.await_thoughts(2)
    assert bench.state[0] is TaskState.DRIVING and bench.command().any()


def test_a_damaged_picture_is_a_picture_less(bench):
    bench.policy.go.set()
    bench.thinker.instruct('go')
    bench.show('damaged', 1)
    bench.await_thoughts(2)
    assert bench.thinker.trouble == 'cannot decode' and bench.thinker.undecodable == 1
    bench.show(None, 2)
    bench.await_thoughts()
    assert not bench.thinker.trouble and bench.command().any()


def test_nonsense_and_nothing_are_no_tasks(bench):
    bench.thinker.instruct('blub')
    bench.await_thoughts()
    assert bench.task._state is TaskState.NOT_UNDERSTOOD
    bench.thinker.instruct('  ')
    bench.await_thoughts()
    assert bench.task._state is TaskState.IDLE


@pytest.mark.parametrize(('step_ns', 'quick'), [(10**12, True), (1, False)])
def test_a_policy_catches_up_with_missed_pictures_where_it_is_quick(bench, step_ns, quick):
    bench.policy.spec = SimpleNamespace(step_ns=step_ns)
    bench.policy.go.set()
    bench.thinker.instruct('go')
    bench.await_thoughts()
    for stamp in (1, 2 * step_ns, 9 * step_ns):
        bench.show(None, stamp)
        bench.await_thoughts()
    assert bench.policy.caught_up == [False, quick, quick]  # the first one tells how quick
