import math

import numpy as np
import pytest

from vla_nav.contracts import ActionChunk, NotUnderstood
from vla_nav.control.executor import ChunkExecutor
from vla_nav.control.liveness import PictureWatch
from vla_nav.control.task import Task, TaskState, understand

MS = 1_000_000
S = 1_000 * MS


@pytest.fixture
def task():
    return Task(3, ChunkExecutor(), PictureWatch(500 * MS), arrived_threshold=0.7)


def feed(task, t, value=0.2, arrived=0.0, changed=True):
    task.see(changed, t, t)
    task.take(ActionChunk(np.full((4, 3), value, np.float32), 100 * MS, t, arrived))


def test_without_an_instruction_nothing_moves(task):
    feed(task, S)
    assert task.state(S) == (TaskState.IDLE, '')
    assert task.command(S, S).stamp_ns == 0 and not task.command(S, S).velocity.any()


def test_an_understood_instruction_drives_on_pictures_and_stamps_them(task):
    task.begin('go left', 'pass left')
    assert task.state(S)[0] is TaskState.STOPPED  # no picture yet
    feed(task, S)
    command = task.command(S + 50 * MS, S + 50 * MS)
    assert task.state(S)[0] is TaskState.DRIVING
    assert command.stamp_ns == S and command.velocity == pytest.approx([0.2] * 3)


def test_what_was_not_understood_means_standstill_and_says_so(task):
    task.begin('go left', 'pass left')
    feed(task, S)
    task.refuse('blub', 'unknown words')
    feed(task, S + 1)
    assert task.state(S) == (TaskState.NOT_UNDERSTOOD, 'unknown words')
    assert not task.command(S, S).velocity.any() and task.command(S, S).stamp_ns == 0


def test_a_new_instruction_drops_what_the_old_one_planned(task):
    task.begin('a', 'a')
    feed(task, S)
    task.begin('b', 'b')
    command = task.command(S, S)
    assert not command.velocity.any() and command.stamp_ns == S


def test_nan_is_a_fault_that_stays_until_the_next_instruction(task):
    task.begin('a', 'a')
    feed(task, S, value=math.nan)
    feed(task, S + MS)
    state, why = task.state(S + MS)
    assert state is TaskState.STOPPED and 'NaN' in why
    assert task.command(S + MS, S + MS).stamp_ns == 0
    task.begin('a', 'a')
    feed(task, S + 2 * MS)
    assert task.state(S + 2 * MS)[0] is TaskState.DRIVING


def test_arrival_needs_half_a_second_of_belief_without_a_break(task):
    task.begin('a', 'a')
    beliefs = [0.9] * 5 + [0.1] + [0.9] * 6
    for k, belief in enumerate(beliefs):
        assert task.state(S + k * 100 * MS)[0] is not TaskState.ARRIVED
        feed(task, S + k * 100 * MS, arrived=belief)
    end = S + (len(beliefs) - 1) * 100 * MS
    assert task.state(end)[0] is TaskState.ARRIVED
    feed(task, end + 100 * MS)
    command = task.command(end + 100 * MS, end + 100 * MS)
    assert not command.velocity.any() and command.stamp_ns == end + 100 * MS


def test_a_frozen_picture_does_not_renew_the_stamp_and_then_stops(task):
    task.begin('a', 'a')
    feed(task, S)
    for k in range(1, 6):
        task.see(False, S + k * 100 * MS, S + k * 100 * MS)
    assert task.command(S + 490 * MS, S + 490 * MS).stamp_ns == S
    assert task.state(S + 500 * MS) == (TaskState.STOPPED, 'picture frozen')
    assert task.command(S + 500 * MS, S + 500 * MS).stamp_ns == 0
    feed(task, S + 600 * MS)
    assert task.state(S + 600 * MS)[0] is TaskState.DRIVING


def test_disabling_stops_and_enabling_waits_for_a_new_picture(task):
    task.begin('a', 'a')
    feed(task, S)
    task.enable(False)
    assert task.state(S) == (TaskState.STOPPED, 'disabled') and not task.driving
    task.enable(True)
    assert not task.command(S, S).velocity.any()
    feed(task, S + MS)
    assert task.command(S + MS, S + MS).velocity.any()


def chunk(stamp_ns):
    return ActionChunk(np.full((4, 3), 0.2, np.float32), 100 * MS, stamp_ns)


def test_a_thought_that_outlasts_a_disabling_is_not_driven(task):
    task.begin('a', 'a')
    task.see(True, S, S)
    task.enable(False)
    task.enable(True)
    task.take(chunk(S))
    assert not task.command(S, S).velocity.any()
    feed(task, S + MS)
    assert task.command(S + MS, S + MS).velocity.any()


@pytest.mark.parametrize('again', [False, True])
def test_enabling_holds_nothing_against_a_new_time_or_a_new_task(task, again):
    task.begin('a', 'a')
    feed(task, 9 * S)
    task.enable(False)
    task.enable(True)
    if again:  # a bag begins again
        task.see(True, S, 9 * S)
    else:
        task.begin('b', 'b')
    task.take(chunk(S))
    assert task.command(S, 9 * S).velocity.any()


def test_without_a_task_one_more_zero_and_then_silence(task):
    assert task.due(S, S) is not None and task.due(S, S) is None
    task.begin('go left', 'pass left')
    feed(task, S)
    assert all(task.due(S, S) is not None for _ in range(3))
    task.clear()
    last = task.due(S, S)
    assert last is not None and not last.velocity.any() and task.due(S, S) is None


def test_the_policy_looks_at_news_while_it_drives(task):
    assert not task.see(True, S, S)  # nothing to do yet
    task.begin('go left', 'pass left')
    assert task.see(True, S + 1, S + 1) and not task.see(False, S + 2, S + 2)
    task.enable(False)
    assert not task.see(True, S + 3, S + 3)


@pytest.mark.parametrize(('text', 'state'), [
    ('go left', TaskState.STOPPED), ('blub', TaskState.NOT_UNDERSTOOD), (' ', TaskState.IDLE)])
def test_what_a_text_means_for_the_task(task, text, state):
    class Reader:
        def set_instruction(self, text):
            if text == 'blub':
                raise NotUnderstood('unknown words')
            return 'pass left'

        def reset(self):
            pass

    understand(Reader(), text)(task)
    assert task.state(S)[0] is state
    assert task.reading == ('pass left' if text == 'go left' else '')
