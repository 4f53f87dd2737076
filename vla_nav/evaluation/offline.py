"""How near a policy's velocities are to the expert's on recorded pictures, beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import Frame, NotUnderstood, Policy
from vla_nav.episodes.fingerprint import picture_hash
from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode, EpisodeError
from vla_nav.episodes.store import find_episodes
from vla_nav.evaluation.baselines import DriveStatistics
from vla_nav.evaluation.blind import ImageBlindPolicy, TextBlindPolicy
from vla_nav.evaluation.conditions import Condition, tasks
from vla_nav.evaluation.drivers import load_bundle
from vla_nav.evaluation.labels import ChunkErrors, earlier, intervals
from vla_nav.evaluation.metrics import error_table
from vla_nav.evaluation.rollout import STEP_NS, STEP_S
from vla_nav.language.grammar import language_of
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
        for task in tasks(condition, episodes, first_seed):
            world.load(task.scenario)
            judge, expert = Judge(world), Expert(world)
            pictures, actions = [], []
            while not judge.done:
                pictures.append(world.render())
                actions.append(expert.act())
                world.advance(actions[-1], STEP_S)
                judge.update(world)
            yield Episode(pictures, np.array(actions, np.float32), None, task.instruction,
                          scenario=task.scenario.cell)
    finally:
        world.close()


def recorded_episodes(directory: Path, without: frozenset[str] = frozenset()
                      ) -> Iterator[Episode]:
    """Yield the recordings under ``directory``; raise the first EpisodeError met.

    Drives whose pictures are among the fingerprints ``without`` are left out.
    """
    references, errors = find_episodes(directory)
    if errors:
        raise errors[0]
    if not references:
        raise EpisodeError(directory, 'file', 'holds no episodes')
    for reference in references:
        with open_episode(reference) as episode:
            if picture_hash(episode) not in without:
                yield episode


def measure(bundle: str, episodes: Iterable[Episode], statistics: DriveStatistics,
            note: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Compare all predictors with the labels; ``note`` is called after each episode.

    Every predictor's first velocity is compared with the label of the same picture; for the
    policy also each row of its chunk with the label of its time ('chunk_mae'), beside holding
    the action before the picture ('hold_mae'). The pictures and the way are the expert's: no
    error here leads to another picture, as it does in closed loop. Intervals resample episodes.
    An axis is of the robots that have it; raises EpisodeError where none has. Texts that the
    policy refuses, that it reads into other words, and that it takes as they are stand apart
    ('wordings').
    """
    policy = load_bundle(bundle)
    spec = policy.spec
    drivers = {'policy': policy, 'text-blind': TextBlindPolicy(policy),
               'image-blind': ImageBlindPolicy(policy)}
    chosen = [AXES.index(name) for name in spec.action_space.names]
    predicted: dict[str, list[NDArray[Any]]] = {name: [] for name in PREDICTORS}
    labels: list[NDArray[np.float32]] = []
    scenarios: list[str] = []
    languages: list[str] = []
    wordings: list[str] = []
    chunk, hold = ChunkErrors(spec.chunk), ChunkErrors(spec.chunk)
    for episode in episodes:
        wanted, stamps = _label(episode, spec.action_space.names), _stamps(episode)
        before = earlier(wanted, stamps, spec.step_ns)
        labels.append(wanted)
        scenarios.append(episode.scenario)
        languages.append(language_of(episode.instruction))
        for name, driver in drivers.items():
            read = _told(driver, episode.instruction)
            chunks = _chunks(driver, episode, stamps, read is not None)
            predicted[name].append(chunks[:, 0])
            if name == 'policy':
                wordings.append(_wording(episode.instruction, read))
                chunk.add(chunks, wanted, stamps, spec.step_ns)
                hold.add(np.repeat(before[:, None], spec.chunk, 1), wanted, stamps, spec.step_ns)
        steps = np.rint((stamps - stamps[0]) / spec.step_ns).astype(np.int64)
        predicted['previous action'].append(before)
        predicted['step-index'].append(
            statistics.by_step[np.minimum(steps, len(statistics.by_step) - 1)][:, chosen])
        for name, row_of in (('constant mean', statistics.mean),
                             ('constant median', statistics.median)):
            predicted[name].append(np.tile(row_of[chosen], (len(wanted), 1)))
        note()
    if not labels:
        raise ValueError('no episodes to compare')
    expected = np.concatenate(labels)
    known = ~np.isnan(expected)
    driven = np.any(known, axis=0).tolist()
    missing = [name for name, there in zip(spec.action_space.names, driven) if not there]
    if missing:
        raise EpisodeError(scenarios[0] or 'episode', 'action_names', f'lacks {missing}, which '
                           'the policy drives, and so do all others: add recordings of a robot '
                           'that has it, or take a policy without')
    return {
        'episodes': len(labels), 'samples': len(expected),
        'predictors': {name: error_table(np.concatenate(predicted[name]), expected,
                                         spec.action_space.names, known=known)
                       for name in PREDICTORS},
        'chunk_mae': chunk.means(), 'hold_mae': hold.means(),
        **intervals(predicted, labels, {'scenarios': scenarios, 'languages': languages,
                                        'wordings': wordings}),
    }


def _told(policy: Policy, text: str) -> str | None:
    """Give the policy an instruction; return how it was read, None where it is refused."""
    try:
        return policy.set_instruction(text)
    except NotUnderstood:
        return None


def _wording(text: str, read: str | None) -> str:
    """Return what became of an instruction: 'refused', 'canonical', or 'put in other words'."""
    if read is None:
        return 'refused'
    same = text.casefold().strip(' .') == read.casefold().strip(' .')
    return 'canonical' if same else 'put in other words'


def _label(episode: Episode, axes: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the labels [T, A] in the policy's order of axes, NaN where the robot lacks one."""
    names = episode.action_names
    if not {*names} & {*axes}:
        raise EpisodeError(episode.scenario or 'episode', 'action_names', f'are {list(names)}, '
                           f'the policy drives {list(axes)}: there is nothing to compare')
    labels = [episode.actions[:, names.index(name)] if name in names
              else np.full(len(episode), np.nan, np.float32) for name in axes]
    return np.stack(labels, axis=1)


def _stamps(episode: Episode) -> NDArray[np.int64]:
    return episode.stamps_ns if episode.stamps_ns is not None else (
        STEP_NS * np.arange(1, len(episode) + 1))


def _chunks(policy: Policy, episode: Episode, stamps: NDArray[np.int64], told: bool
            ) -> NDArray[np.float32]:
    """Return the policy's velocities [T, K, A] for the pictures; zeros for an unread text."""
    spec = policy.spec
    if not told:
        return np.zeros((len(episode), spec.chunk, spec.action_space.size), np.float32)
    policy.reset()
    return np.stack([policy.act(Frame(episode.images[i], int(stamp))).velocities
                     for i, stamp in enumerate(stamps)])
