"""A tub's frames as arrays, blocks of them, and the chunks of actions that follow each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_nav.episodes.from_tub import episodes_from_tub
from vla_nav.episodes.schema import EpisodeError
from vla_nav.observations.preprocess import to_policy_image
from vla_nav.spaces import DIFFERENTIAL_2D

SPACE = DIFFERENTIAL_2D
RATE_HZ = 20.0
GAP = 20
PHRASES = ('follow the track', 'drive along the track', '트랙을 따라가 주세요')

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class TubFrames:
    """T frames in their order.

    ``images`` uint8 [T, H, W, 3] as the policy sees them, ``grey`` uint8 [T, ...] in the
    camera's own size, ``actions`` float32 [T, 2] normalised along SPACE (throttle, and steering
    with + to the left), ``runs`` int64 [T] the recording without a gap that each belongs to.
    """

    images: NDArray[np.uint8]
    grey: NDArray[np.uint8]
    actions: NDArray[np.float32]
    runs: Indices


def load_frames(path: Path, height: int, width: int) -> TubFrames:
    """Read a tub; raise EpisodeError where it holds nothing to learn from."""
    images, grey, actions, stamps = [], [], [], []
    for episode in episodes_from_tub(path, PHRASES[0], RATE_HZ, longest=1_000_000, space=SPACE):
        assert episode.stamps_ns is not None
        for index in range(len(episode)):
            picture = episode.images[index]
            images.append(to_policy_image(picture, height, width))
            grey.append(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8))
        actions.append(SPACE.normalise(episode.actions))
        stamps.append(episode.stamps_ns)
    if not images:
        raise EpisodeError(path, 'records', 'there is none; record a drive first')
    steps = np.diff(np.concatenate(stamps), prepend=0)
    breaks = (steps < 0) | (steps > round(1.5e9 / RATE_HZ))
    return TubFrames(np.stack(images), np.stack(grey), np.concatenate(actions),
                     np.cumsum(breaks))


@dataclass(frozen=True)
class Fold:
    """Frames to train on, and frames to test on, both in their order."""

    train: Indices
    test: Indices


def blocked(indices: Indices, count: int, gap: int = GAP) -> list[Fold]:
    """Cut ``indices`` into blocks, each the test of a fold.

    Consecutive frames are nearly the same picture; so ``gap`` frames on either side of a test
    frame are neither trained nor tested on.
    """
    if len(indices) < count * (gap + 1):
        raise ValueError(f'{len(indices)} frames are too few for {count} blocks with gaps of '
                         f'{gap}; at least {count * (gap + 1)} are needed')
    folds = []
    for test in np.array_split(indices, count):
        after = np.searchsorted(test, indices).clip(0, len(test) - 1)
        before = (after - 1).clip(0)
        distance = np.minimum(np.abs(indices - test[after]), np.abs(indices - test[before]))
        folds.append(Fold(indices[distance > gap], test))
    return folds


def chunk_labels(frames: TubFrames, indices: Indices, chunk: int
                 ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return actions [N, chunk, 2] from each frame on, and which of them count, [N, chunk].

    A step counts as long as it and all before it are of ``indices`` and of the same run: an
    action out of a gap or a test block is never a label.
    """
    allowed = np.zeros(len(frames.actions) + chunk, bool)
    allowed[indices] = True
    steps = indices[:, None] + np.arange(chunk)
    inside = np.minimum(steps, len(frames.actions) - 1)
    known = allowed[steps] & (frames.runs[inside] == frames.runs[indices][:, None])
    return frames.actions[inside], np.logical_and.accumulate(known, axis=1)
