"""A delayed policy looks at the newest picture and its chunks keep the stamp of what they saw."""

from __future__ import annotations

import numpy as np
from bundles import STEP_NS, write_bundle

from vla_nav.contracts import Frame
from vla_nav.control.executor import ChunkExecutor
from vla_nav.evaluation.delay import DelayedPolicy
from vla_nav.runtimes import load_policy


def _run(tmp_path, delay_steps, steps=12):
    policy = DelayedPolicy(load_policy(write_bundle(tmp_path)), delay_steps * STEP_NS)
    policy.set_instruction('go')
    policy.reset()
    executor, moved, stamps = ChunkExecutor(), [], []
    for step in range(1, steps + 1):
        chunk = policy.act(Frame(np.zeros((96, 128, 3), np.uint8), step * STEP_NS))
        executor.put(chunk)
        if len(chunk.velocities):
            stamps.append((step, chunk.stamp_ns // STEP_NS))
        command = executor.command(step * STEP_NS)
        moved.append(command is not None)
    return policy, moved, stamps


def test_without_delay_nothing_changes(tmp_path):
    policy, moved, stamps = _run(tmp_path, 0)
    assert all(moved) and stamps == [(step, step) for step in range(1, 13)]
    assert policy.spec.max_observation_age_s == 0.5


def test_chunks_come_late_and_the_robot_drives_on_with_what_is_left(tmp_path):
    policy, moved, stamps = _run(tmp_path, 3)
    assert stamps == [(4, 1), (7, 4), (10, 7)]
    assert moved == [False] * 3 + [True] * 9  # chunks of eight steps outlast six
    assert policy.spec.max_observation_age_s == 0.5 + 0.6


def test_what_takes_longer_than_a_chunk_leaves_gaps(tmp_path):
    _, moved, stamps = _run(tmp_path, 6, 24)
    assert stamps == [(7, 1), (13, 7), (19, 13)]
    assert moved[6:12] == [True, True, False, False, False, False]
