"""Pictures with instructions and labels: what exports are calibrated and validated on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import Frame, NotUnderstood, Policy
from vla_nav.episodes.schema import Episode
from vla_nav.evaluation.conditions import Condition
from vla_nav.evaluation.offline import expert_episodes, recorded_episodes
from vla_nav.evaluation.rollout import STEP_NS
from vla_nav.runtimes.graph import Arrays, Graph, Shapes
from vla_nav.simulation.scenario import FIRST_EVALUATION_SEED

# Training seeds that no recipe uses: far above them, and below those of evaluation.
_CALIBRATION_SEED = 900_000
# Evaluation counts up from its first seed; these validate exports only.
_VALIDATION_SEED = FIRST_EVALUATION_SEED + 900_000
_EVERY = 5
_MOST = 400  # pictures to calibrate on: ranges do not change behind
_VALIDATION = 0.2


def calibration_drives(recordings: Path | None, drives: int) -> Iterator[Episode]:
    """Yield drives to calibrate on: the first four fifths of each recording, or the expert's."""
    if recordings is None:
        yield from expert_episodes(Condition(), drives, _CALIBRATION_SEED)
        return
    for episode in recorded_episodes(recordings):
        yield _part(episode, 0, round(len(episode) * (1 - _VALIDATION)))


def validation_drives(recordings: Path | None, drives: int) -> Iterator[Episode]:
    """Yield labelled drives that nothing is calibrated on."""
    if recordings is None:
        yield from expert_episodes(Condition(), drives, _VALIDATION_SEED)
        return
    for episode in recorded_episodes(recordings):
        yield _part(episode, round(len(episode) * (1 - _VALIDATION)), len(episode))


class Listening:
    """A graph that keeps what another one is fed."""

    def __init__(self, graph: Graph) -> None:
        """Listen to ``graph``."""
        self._graph = graph
        self.heard: list[Arrays] = []
        self.source, self.runtime, self.provider = graph.source, graph.runtime, graph.provider
        self.fallback, self.metadata = graph.fallback, graph.metadata
        self.inputs: Shapes = graph.inputs
        self.outputs: Shapes = graph.outputs

    def run(self, inputs: Arrays) -> Arrays:
        """Run the graph, and keep its inputs."""
        self.heard.append(inputs)
        return self._graph.run(inputs)


def hear(policy: Policy, listening: Listening, drives: Iterator[Episode]) -> Sequence[Arrays]:
    """Return what the policy's graph is fed over drives, thinned out."""
    for drive in drives:
        follow(policy, drive)
    return list(islice(listening.heard[::_EVERY], _MOST))


def errors(policies: Sequence[Policy], drives: Iterator[Episode]) -> list[float]:
    """Return the mean absolute error of each policy's first velocity over the same drives."""
    sums, count = np.zeros(len(policies)), 0
    for drive in drives:
        axes = policies[0].spec.action_space.names
        wanted = drive.actions[:, [drive.action_names.index(axis) for axis in axes]]
        count += wanted.size
        sums += [np.abs(follow(policy, drive) - wanted).sum() for policy in policies]
    if not count:
        raise ValueError('no drives to validate on')
    return [float(value) for value in sums / count]


def follow(policy: Policy, drive: Episode) -> NDArray[np.float32]:
    """Return the velocity [T, A] that a policy gives at once for each picture; 0 unread."""
    try:
        policy.set_instruction(drive.instruction)
    except NotUnderstood:
        return np.zeros((len(drive), policy.spec.action_space.size), np.float32)
    stamps = (STEP_NS * np.arange(1, len(drive) + 1) if drive.stamps_ns is None
              else drive.stamps_ns)
    return np.stack([policy.act(Frame(drive.images[index], int(stamp))).velocities[0]
                     for index, stamp in enumerate(stamps)])


def _part(episode: Episode, start: int, end: int) -> Episode:
    cut = slice(start, end)
    images = [episode.images[index] for index in range(start, end)]
    stamps = None if episode.stamps_ns is None else episode.stamps_ns[cut]
    return replace(episode, images=images, actions=episode.actions[cut], stamps_ns=stamps)
