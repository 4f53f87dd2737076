"""A slow model looks at the newest picture, and its chunks keep the stamp of what they saw."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_nav.contracts import ActionChunk, Frame, PolicySpec
from vla_nav.control import follower
from vla_nav.control.pace import allowed_age_s, too_slow
from vla_nav.evaluation.delay import measure, plot
from vla_nav.evaluation.rollout import Robot
from vla_nav.spaces import OMNI_3D

STEP_NS = 100_000_000
START = 10  # steps; a stamp of 0 means that there is no picture
CHUNK = 8
SPEC = PolicySpec('forward', OMNI_3D, 96, 128, STEP_NS, CHUNK, max_observation_age_s=0.5)


class Forward:
    """Drives 1 cm/s forward for each row of its chunk, and notes what it is shown."""

    spec = SPEC

    def __init__(self):
        self.seen = []

    def reset(self):
        pass

    def set_instruction(self, text):
        return text

    def act(self, frame: Frame):
        self.seen.append(frame.stamp_ns // STEP_NS - START)
        rows = np.zeros((CHUNK, 3), np.float32)
        rows[:, 0] = 0.01 * np.arange(1, CHUNK + 1)
        return ActionChunk(rows, STEP_NS, frame.stamp_ns)


@pytest.fixture(autouse=True)
def without_rejoining(monkeypatch):
    """Let the rows through as they are; how a follower changes them has its own tests."""
    monkeypatch.setattr(follower, 'REJOIN_S', math.inf)


def run(delay_steps, steps=12):
    """Return which pictures the model saw, and the row that was driven in each step."""
    policy = Forward()
    robot = Robot(policy, 'go', delay_steps * STEP_NS)
    image, speeds, shown = np.zeros((96, 128, 3), np.uint8), [], []
    for step in range(1, steps + 1):
        now_ns = (START + step) * STEP_NS
        if robot.looks(now_ns):
            shown.append(step)
        speeds.append(robot.step(image, now_ns).linear_x)
    assert shown == policy.seen
    return policy.seen, [100 * speed for speed in speeds]


def rounded(rows):
    return [round(row) for row in rows]


def test_without_delay_each_picture_is_looked_at_and_the_first_row_driven():
    seen, rows = run(0)
    assert seen == list(range(1, 13)) and rows[0] == pytest.approx(1)
    assert max(rounded(rows)) <= 2  # of older chunks a later row is due, with less weight


def test_rows_that_passed_while_the_model_was_thinking_are_dropped():
    seen, rows = run(3)
    assert seen == [1, 4, 7, 10]
    assert rounded(rows) == [0, 0, 0, 4, 5, 6, 4, 5, 6, 4, 5, 6]


def test_a_model_of_400_ms_bridges_with_a_chunk_of_800_ms_and_the_guard_lets_it():
    _, rows = run(4, 16)
    assert rounded(rows)[4:] == [5, 6, 7, 8] * 3


def test_what_takes_longer_than_a_chunk_leaves_gaps():
    _, rows = run(6, 24)
    assert rounded(rows)[6:18] == [7, 8, 0, 0, 0, 0] * 2


def test_a_robot_that_was_slower_than_planned_makes_up_for_it(monkeypatch):
    monkeypatch.undo()
    _, late = run(3, 4)
    # It stood for three rows, 0.6 cm, and makes up for them in the first 0.4 s.
    assert late == [0, 0, 0, pytest.approx(4 + 0.6 / 0.4)]


def test_pictures_may_be_older_by_two_delays():
    assert allowed_age_s(0.5, 0.0) == 0.5 and allowed_age_s(0.5, 0.4) == pytest.approx(1.3)


@pytest.mark.parametrize(('thinking_s', 'period_s', 'model_delay_s', 'reach_s', 'says'), [
    (0.005, 0.05, 0.0, 0.8, ''), (0.1, 0.5, 0.0, 0.8, ''), (0.2, 0.05, 0.0, 0.8, ''),
    (0.32, 0.05, 0.0, 0.8, 'model_delay:=0.35'), (0.32, 0.05, 0.35, 0.8, ''),
    # Of a chunk that does not reach either, first what keeps the guard from stopping.
    (0.7, 0.05, 0.4, 0.8, 'model_delay:=0.70'),
    (0.41, 0.05, 0.45, 0.8, 'does not reach'), (0.41, 0.05, 0.45, 1.6, '')])
def test_a_model_that_is_too_slow_is_told_what_helps(thinking_s, period_s, model_delay_s, reach_s,
                                                     says):
    found = too_slow(SPEC, thinking_s, period_s, model_delay_s, reach_s)
    assert says in found and bool(says) == bool(found)


def test_each_delay_drives_the_same_episodes_and_is_compared_with_the_first():
    noted = []
    result = measure('straight', [0, 400], 2, 1_000_000,
                     note=lambda delay, record: noted.append((delay, record.seed)))
    assert [delay for delay, _ in noted] == [0, 0, 400, 400] and noted[0][1] == noted[2][1]
    assert [row['delay_ms'] for row in result['delays']] == [0, 400]
    assert all(len(row['minus_first']) == 3 for row in result['delays'])
    assert plot(result).startswith(b'\x89PNG')
