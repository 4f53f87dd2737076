"""Recorded episodes as training frames: pictures, instruction features, chunks of what was driven.

A recording tells what was driven, not what would have been right elsewhere, and neither where
the goal is in the picture: chunks are its only labels, masked where it does not reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import NotUnderstood
from vla_nav.embodiments import project
from vla_nav.episodes.fingerprint import picture_hash
from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode, EpisodeError
from vla_nav.episodes.store import EpisodeRef, find_episodes
from vla_nav.language.reader import InstructionReader
from vla_nav.observations.align import nearest_previous
from vla_nav.spaces import ActionSpace

# A picture this many steps before the wanted time still stands for it.
_TOLERANCE_STEPS = 1.5


@dataclass(frozen=True)
class RecordedEpisode:
    """One recording of T frames for a model of K rows and A axes.

    ``images`` uint8 [T, H, W, 3], ``features`` float32 [13], ``chunks`` float32 [T, K, A]
    normalised, ``known`` bool [T, K, A]: rows past the recording's end and axes that the robot
    lacks are not. ``past`` int64 [T, P] are the frames 0, 1, ... P - 1 steps before each, -1
    where there is none. ``pictures`` is their fingerprint.
    """

    name: str
    scenario: str
    images: NDArray[np.uint8]
    features: NDArray[np.float32]
    chunks: NDArray[np.float32]
    known: NDArray[np.bool_]
    past: NDArray[np.int64]
    pictures: str

    def __len__(self) -> int:
        return len(self.chunks)


def load_recorded(directories: Sequence[Path], reader: InstructionReader, space: ActionSpace,
                  height: int, width: int, chunk: int, step_ns: int,
                  past: int) -> list[RecordedEpisode]:
    """Read all episodes below the directories; raise EpisodeError for one that cannot teach."""
    refs: list[EpisodeRef] = []
    for directory in directories:
        found, errors = find_episodes(directory)
        if errors:
            raise errors[0]
        refs += found
    if not refs:
        raise EpisodeError(', '.join(map(str, directories)), 'episodes', 'there are none; make '
                           'some with `vla-nav record` and `vla-nav data convert`')
    episodes = []
    for ref in refs:
        with open_episode(ref) as episode:
            episodes.append(_load(episode, str(ref), reader, space, height, width, chunk, step_ns,
                                  past))
    return episodes


def _load(episode: Episode, source: str, reader: InstructionReader, space: ActionSpace,
          height: int, width: int, chunk: int, step_ns: int, past: int) -> RecordedEpisode:
    if episode.stamps_ns is None:
        raise EpisodeError(source, 'stamps_ns', 'are missing, so what was driven when is unknown; '
                           'convert it with its true rate (vla-nav data convert --rate)')
    try:
        features = reader.read(episode.instruction).features
    except NotUnderstood as error:
        raise EpisodeError(source, 'instruction', f'{error} Convert it again with --instruction'
                           ) from error
    try:
        actions, present = project(episode.actions, episode.action_names, space)
    except ValueError as error:
        raise EpisodeError(source, 'actions', str(error)) from error
    rows, known = future_rows(episode.stamps_ns, episode.actions, chunk, step_ns)
    images = np.stack([episode.policy_image(i, height, width) for i in range(len(episode))])
    before = episode.stamps_ns[:, None] - step_ns * np.arange(past)
    return RecordedEpisode(
        source, episode.scenario, images, np.asarray(features, np.float32), actions[rows],
        known[..., None] & present,
        _nearest(episode.stamps_ns, before, round(_TOLERANCE_STEPS * step_ns)),
        picture_hash(episode))


def future_rows(stamps_ns: NDArray[np.int64], actions: NDArray[np.float32], chunk: int,
                step_ns: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return (rows [T, K] in force at each frame's time plus k steps, known [T, K]).

    After the last frame nothing is known, except where the robot stood still there: it was left
    standing.
    """
    at = stamps_ns[:, None] + step_ns * np.arange(chunk)
    rows = _nearest(stamps_ns, at, round(_TOLERANCE_STEPS * step_ns))
    if not np.any(actions[-1]):
        rows = np.where(at > stamps_ns[-1], len(stamps_ns) - 1, rows)
        return np.maximum(rows, 0), rows >= 0
    return np.maximum(rows, 0), (rows >= 0) & (at <= stamps_ns[-1])


def _nearest(stamps_ns: NDArray[np.int64], at: NDArray[np.int64],
             tolerance_ns: int) -> NDArray[np.int64]:
    return nearest_previous(stamps_ns, at.reshape(-1), tolerance_ns).reshape(at.shape)
