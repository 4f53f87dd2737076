"""How near a policy's velocities are to the expert's on recorded pictures, beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import Frame, NotUnderstood, Policy
from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode, EpisodeError
from vla_nav.episodes.store import find_episodes
from vla_nav.evaluation.baselines import DriveStatistics
from vla_nav.evaluation.conditions import Condition, draw, make_task, plan
from vla_nav.evaluation.drivers import load_bundle
from vla_nav.evaluation.metrics import error_table
from vla_nav.evaluation.rollout import STEP_NS, STEP_S
from vla_nav.simulation.expert import Expert
from vla_nav.simulation.judge import Judge
from vla_nav.simulation.world import World
from vla_nav.spaces import AXES

PREDICTORS = ('policy', 'text-blind', 'image-blind', 'previous action', 'step-index',
              'constant mean', 'constant median')


def expert_episodes(condition: Condition, episodes: int, first_seed: int) -> Iterator[Episode]:
    """Let the expert drive and yield what it saw and did: pictures, labels, instruction."""
    world = World()
    try:
        for index, (seed, cell) in enumerate(plan(condition, episodes, first_seed)):
            task = make_task(draw(condition, seed, cell), condition, index)
            world.load(task.scenario)
            judge, expert = Judge(world), Expert(world)
            pictures, actions = [], []
            while not judge.done:
                pictures.append(world.render())
                actions.append(expert.act())
                world.advance(actions[-1], STEP_S)
                judge.update(world)
            yield Episode(pictures, np.array(actions, np.float32), None, task.instruction,
                          scenario=cell)
    finally:
        world.close()


def recorded_episodes(directory: Path) -> Iterator[Episode]:
    """Yield the recordings under ``directory``; raise the first EpisodeError met."""
    references, errors = find_episodes(directory)
    if errors:
        raise errors[0]
    if not references:
        raise EpisodeError(directory, 'file', 'holds no episodes')
    for reference in references:
        with open_episode(reference) as episode:
            yield episode


def measure(bundle: str, episodes: Iterable[Episode], statistics: DriveStatistics,
            note: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Compare all predictors with the labels; ``note`` is called after each episode.

    Every predictor's first velocity is compared with the label of the same picture; for the
    policy also each row of its chunk with the label that many steps later. The pictures and the
    way are the expert's: no error here leads to another picture, as it does in closed loop.
    """
    policies = {'policy': load_bundle(bundle), 'text-blind': load_bundle(bundle, text='blind'),
                'image-blind': load_bundle(bundle, image='blind')}
    axes = policies['policy'].spec.action_space.names
    chosen = [AXES.index(name) for name in axes]
    labels: list[NDArray[np.float32]] = []
    predicted: dict[str, list[NDArray[Any]]] = {name: [] for name in PREDICTORS}
    late: list[list[NDArray[Any]]] = [[] for _ in range(policies['policy'].spec.chunk)]
    for episode in episodes:
        wanted = _label(episode, axes)
        labels.append(wanted)
        for name, policy in policies.items():
            chunks = _chunks(policy, episode)
            predicted[name].append(chunks[:, 0])
            for row in range(chunks.shape[1] if name == 'policy' else 0):
                due = len(wanted) - row
                if due > 0:
                    late[row].append(np.abs(chunks[:due, row] - wanted[row:]))
        steps = np.minimum(np.arange(len(wanted)), len(statistics.by_step) - 1)
        predicted['previous action'].append(np.vstack([0 * wanted[:1], wanted[:-1]]))
        predicted['step-index'].append(statistics.by_step[steps][:, chosen])
        for name, row_of in (('constant mean', statistics.mean),
                             ('constant median', statistics.median)):
            predicted[name].append(np.tile(row_of[chosen], (len(wanted), 1)))
        note()
    if not labels:
        raise ValueError('no episodes to compare')
    expected = np.concatenate(labels)
    return {
        'episodes': len(labels), 'samples': len(expected),
        'predictors': {name: error_table(np.concatenate(predicted[name]), expected, axes)
                       for name in PREDICTORS},
        'chunk_mae': [float(np.concatenate(errors).mean()) for errors in late if errors],
    }


def _label(episode: Episode, axes: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the labels [T, A] in the policy's order of axes."""
    missing = [name for name in axes if name not in episode.action_names]
    if missing:
        raise EpisodeError(episode.scenario or 'episode', 'action_names',
                           f'lacks {missing}, which the policy drives')
    return episode.actions[:, [episode.action_names.index(name) for name in axes]]


def _chunks(policy: Policy, episode: Episode) -> NDArray[np.float32]:
    """Return the policy's velocities [T, K, A] for the pictures; zeros for an unread text."""
    spec = policy.spec
    stamps = episode.stamps_ns if episode.stamps_ns is not None else (
        STEP_NS * np.arange(1, len(episode) + 1))
    try:
        policy.set_instruction(episode.instruction)
    except NotUnderstood:
        return np.zeros((len(episode), spec.chunk, spec.action_space.size), np.float32)
    policy.reset()
    return np.stack([policy.act(Frame(episode.images[i], int(stamp))).velocities
                     for i, stamp in enumerate(stamps)])
