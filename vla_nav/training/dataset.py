"""Shards of rollouts as one memory-mapped set of frames, and its random batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_nav.training.pictures import Pictures

# Where left and right are exchanged: instruction features, axes of the velocity.
MIRROR_TEXT = np.array([1, 0, 2, 4, 3, *range(5, 13)])
MIRROR_AXES = np.array([1.0, -1.0, -1.0], np.float32)
_HUE_TURN = np.pi / 6
# The share of windows that begin with what the memory knew there.
_KNOWN = 0.7
_SMALL = ('features', 'chunks', 'points', 'stage', 'arrived', 'episode', 'family')


@dataclass
class Batch:
    """Frames with one of their two instructions each; shapes as in ``Rollouts``.

    Of windows of T frames, one after the other, there are W = B / T.
    """

    image: Tensor  # uint8 [B, H, W, 3]
    features: Tensor
    chunk: Tensor
    points: Tensor
    stage: Tensor
    arrived: Tensor
    before: Tensor | None = None  # float32 [W, M], the memory's state before each window


def hue_rotation(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return matrices [B, 3, 3] that turn the hue of RGB columns by ``angle`` [B] radians.

    A rotation about the grey axis: greys stay, and light that scales a colour commutes with it.
    """
    cos, third = np.cos(angle)[:, None, None], 1 / 3
    sin = np.sin(angle)[:, None, None] * 3 ** -0.5
    cross = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    matrix: NDArray[np.float64] = cos * np.eye(3) + (1 - cos) * third + sin * cross
    return matrix


def other_light(turn: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return maps [B, 3, 4] of RGB: brighter or darker, a colour cast, ``turn`` [B, 3, 3]."""
    size = len(turn)
    gain = rng.uniform(0.8, 1.2, (size, 1, 1)) * rng.uniform(0.94, 1.06, (size, 3, 1)) * turn
    shift = rng.uniform(-15, 15, (size, 1, 1)) * np.ones((size, 3, 1))
    return np.concatenate([gain, shift], 2)


class Frames:
    """All frames below some directories; pictures stay on disk until they are asked for."""

    def __init__(self, directories: list[Path]) -> None:
        """Open every shard, in the order of the directories and of the names in them."""
        found = [[path.with_name(path.name.removesuffix('.images.npy'))
                  for path in sorted(directory.glob('*.images.npy'))]
                 for directory in directories]
        names = [name for some in found for name in some]
        if not all(found):
            raise FileNotFoundError(f'no rollouts in {", ".join(map(str, directories))}: '
                                    'collect them first')
        self._shards = [Pictures(name) for name in names]
        self._starts = np.cumsum([0, *map(len, self._shards)])
        # The first directory holds the expert's own way, the others what became of the policy's.
        self._first = int(self._starts[len(found[0])])
        self.fields = {key: np.concatenate([np.load(f'{name}.{key}.npy') for name in names])
                       for key in _SMALL}
        # Frames [N, 2] that search before the first gate, which turns left by convention: their
        # mirror would be wrong.
        still = np.abs(self.fields['chunks'][:, :, 0, :2]).sum(-1) < 1e-3
        self.searching = (self.fields['stage'] == 0) & still
        lengths = np.diff(self.bounds)[:, 0]
        self._begin, self._end = (np.repeat(bound, lengths) for bound in self.bounds.T)

    def __len__(self) -> int:
        """Return the number of frames N."""
        return int(self._starts[-1])

    @property
    def bounds(self) -> NDArray[np.int64]:
        """Return the first frame of each episode, and the one after its last [E, 2]."""
        starts = np.flatnonzero(np.diff(self.fields['episode'], prepend=-1))
        return np.stack([starts, np.append(starts[1:], len(self))], 1)

    def images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return pictures uint8 [B, H, W, 3]."""
        shards = np.searchsorted(self._starts, indices, 'right') - 1
        return np.stack([self._shards[s][i] for s, i in zip(
            shards.tolist(), (indices - self._starts[shards]).tolist())])

    def _draw(self, count: int, window: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the first frames [W] of windows that lie within one episode each."""
        own = rng.random(count) < (2 / 3 if self._first < len(self) else 0.0)
        low, high = np.where(own, self._first, 0), np.where(own, len(self), self._first)
        first = np.sort(rng.integers(low, high))
        return np.maximum(self._begin[first], np.minimum(first, self._end[first] - window))

    def batch(self, size: int, rng: np.random.Generator, window: int = 1,
              states: NDArray[np.float16] | None = None) -> Batch:
        """Draw frames at random, augmented: light, colour cast, left-right mirror.

        Two thirds come from the policy's drives, where there are any: its own mistakes are what
        it must learn to mend. Windows of several consecutive frames are augmented as one; with
        the memory's ``states`` [N, M] after each frame, most of them begin with what it knew, and
        those are neither mirrored nor turned in hue, since it has not seen them so.
        """
        count = size // window
        first = self._draw(count, window, rng)
        which = rng.integers(2, size=count)
        known = np.zeros(count, bool) if states is None else rng.random(count) < _KNOWN
        which[known] = 0
        indices = (first[:, None] + np.arange(window)).ravel()
        asked = np.repeat(which, window)
        searching = self.searching[indices, asked].reshape(count, window).any(1)
        mirrored = (rng.random(count) < 0.5) & ~searching & ~known
        # Hues turn in picture and instruction together, so that any hue can be asked for.
        turn = hue_rotation(rng.uniform(-_HUE_TURN, _HUE_TURN, count)
                            * ((rng.random(count) < 0.5) & ~known))
        light = np.repeat(other_light(turn, rng), window, 0)
        turn, mirror = np.repeat(turn, window, 0), np.repeat(mirrored, window)

        part = {key: self.fields[key][indices, asked]
                for key in ('features', 'chunks', 'points', 'stage', 'arrived')}
        images = self.images(indices)
        chunk, points, features = part['chunks'].copy(), part['points'].copy(), part['features']
        chunk[mirror] *= MIRROR_AXES
        points[mirror, :, 0] = (1 - points[mirror, :, 0]) * points[mirror, :, 2]
        features = np.where(mirror[:, None], features[:, MIRROR_TEXT], features)
        coloured = features[:, 9] > 0
        features[coloured, 10:] = np.clip(
            np.einsum('bij,bj->bi', turn[coloured], features[coloured, 10:]), 0, 1)
        for image, flip, matrix in zip(images, mirror, light):
            cv2.transform(image[:, ::-1].copy() if flip else image, matrix, dst=image)
        before = None
        if states is not None:
            known &= first > self._begin[first]
            before = torch.from_numpy(
                np.where(known[:, None], states[first - 1], 0).astype(np.float32))
        return Batch(torch.from_numpy(images), torch.from_numpy(features), torch.from_numpy(chunk),
                     torch.from_numpy(points), torch.from_numpy(part['stage']),
                     torch.from_numpy(part['arrived']), before)
