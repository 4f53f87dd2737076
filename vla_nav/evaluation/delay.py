"""A model that takes its time: the chunk comes later, and the robot drives on with the last."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vla_nav.contracts import ActionChunk, Frame, Policy, PolicySpec
from vla_nav.evaluation.conditions import Condition, draw, make_task, plan
from vla_nav.evaluation.drivers import load_bundle
from vla_nav.evaluation.metrics import wilson_interval
from vla_nav.evaluation.rollout import drive
from vla_nav.simulation.judge import Judge
from vla_nav.simulation.world import World


class DelayedPolicy:
    """A policy whose chunks come ``delay_ns`` of picture time after their pictures.

    As on the robot: while it thinks it looks at nothing, and then at the newest picture. What it
    gives keeps the stamp of the picture that it saw, so that the executor drops what has passed.
    Pictures may be older by the delay, and by that of the chunk that replaces what they gave.
    """

    def __init__(self, policy: Policy, delay_ns: int) -> None:
        """Delay ``policy``; 0 leaves it as it is."""
        self._policy, self._delay_ns = policy, delay_ns
        self.spec: PolicySpec = replace(
            policy.spec,
            max_observation_age_s=policy.spec.max_observation_age_s + 2e-9 * delay_ns)
        self._thought: tuple[int, ActionChunk] | None = None  # when it is done, and what it is
        self._arrived = 0.0

    def reset(self) -> None:
        """Forget the past, and what is being thought."""
        self._policy.reset()
        self._thought, self._arrived = None, 0.0

    def set_instruction(self, text: str) -> str:
        """Pass the text on."""
        self._thought, self._arrived = None, 0.0
        return self._policy.set_instruction(text)

    def act(self, frame: Frame) -> ActionChunk:
        """Return the chunk that is ready by this frame; one of no rows where there is no new."""
        ready = None
        if self._thought is not None and frame.stamp_ns >= self._thought[0]:
            ready, self._thought = self._thought[1], None
        if self._thought is None:
            chunk = self._policy.act(frame)
            if not self._delay_ns:
                return chunk
            self._thought = frame.stamp_ns + self._delay_ns, chunk
        if ready is None:
            nothing = np.zeros((0, self.spec.action_space.size), np.float32)
            return ActionChunk(nothing, self.spec.step_ns, frame.stamp_ns, self._arrived)
        self._arrived = ready.arrived
        return ready


def measure(bundle: str, delays_ms: Sequence[int], episodes: int, first_seed: int,
            note: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Return the closed-loop success for each added delay, on the same episodes."""
    policy, condition, world = load_bundle(bundle), Condition(), World()
    rows: list[dict[str, Any]] = []
    try:
        for delay in delays_ms:
            wins = 0
            delayed = DelayedPolicy(policy, delay * 1_000_000)
            for index, (seed, cell) in enumerate(plan(condition, episodes, first_seed)):
                task = make_task(draw(condition, seed, cell), condition, index)
                world.load(task.scenario)
                judge = Judge(world)
                drive(world, judge, delayed, task.instruction)
                wins += judge.outcome().success
                note()
            rows.append({'delay_ms': delay, 'success': wins, 'rate': wins / episodes,
                         'ci95': list(wilson_interval(wins, episodes))})
    finally:
        world.close()
    first = rows[0]['rate']
    return {'policy': bundle, 'episodes': episodes, 'first_seed': first_seed, 'delays': [
        {**row, 'relative': row['rate'] / first if first else None} for row in rows]}


def plot(result: Mapping[str, Any]) -> bytes:
    """Return a PNG of success against delay, with 95 % intervals."""
    rows = result['delays']
    rates = np.array([row['rate'] for row in rows])
    low, high = np.array([row['ci95'] for row in rows]).T
    figure = Figure(figsize=(6, 3.2), layout='constrained')
    axes = figure.subplots()
    axes.errorbar([row['delay_ms'] for row in rows], rates, (rates - low, high - rates),
                  fmt='o-', capsize=3, color='#2a6f97')
    axes.set(xlabel='added delay of the model, ms', ylabel='success', ylim=(0, 1.02),
             title=f'{result["policy"]}, {result["episodes"]} episodes each, 95 % intervals')
    axes.grid(alpha=0.3)
    out = io.BytesIO()
    figure.savefig(out, format='png', dpi=120)
    return out.getvalue()
