"""Shards of rollouts as one memory-mapped set of frames, and its random batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MIRROR = np.array([1, 0, 2, 4, 3, *range(5, 13)])  # features with left and right exchanged
_MIRROR_AXES = np.array([1.0, -1.0, -1.0], np.float32)
_HUE_TURN = np.pi / 6
_SMALL = ('features', 'chunks', 'points', 'stage', 'arrived', 'episode', 'family')


@dataclass
class Batch:
    """Frames with one of their two instructions each; shapes as in ``Rollouts``."""

    image: Tensor  # uint8 [B, H, W, 3]
    features: Tensor
    chunk: Tensor
    points: Tensor
    stage: Tensor
    arrived: Tensor


def hue_rotation(angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return matrices [B, 3, 3] that turn the hue of RGB columns by ``angle`` [B] radians.

    A rotation about the grey axis: greys stay, and light that scales a colour commutes with it.
    """
    cos, third = np.cos(angle)[:, None, None], 1 / 3
    sin = np.sin(angle)[:, None, None] * 3 ** -0.5
    cross = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    matrix: NDArray[np.float64] = cos * np.eye(3) + (1 - cos) * third + sin * cross
    return matrix


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
        self._images = [np.load(f'{name}.images.npy', mmap_mode='r') for name in names]
        self._starts = np.cumsum([0, *(len(images) for images in self._images)])
        # The first directory holds the expert's own way, the others what became of the policy's.
        self._first = int(self._starts[len(found[0])])
        self.fields = {key: np.concatenate([np.load(f'{name}.{key}.npy') for name in names])
                       for key in _SMALL}

    def __len__(self) -> int:
        """Return the number of frames N."""
        return int(self._starts[-1])

    def images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return pictures uint8 [B, H, W, 3]."""
        shards = np.searchsorted(self._starts, indices, 'right') - 1
        return np.stack([self._images[s][i - self._starts[s]]
                         for s, i in zip(shards.tolist(), indices.tolist())])

    def batch(self, size: int, rng: np.random.Generator) -> Batch:
        """Draw frames at random, augmented: light, colour cast, left-right mirror.

        Two thirds come from the policy's drives, where there are any: its own mistakes are what
        it must learn to mend.
        """
        own = rng.random(size) < (2 / 3 if self._first < len(self) else 0.0)
        low, high = np.where(own, self._first, 0), np.where(own, len(self), self._first)
        indices = np.sort(rng.integers(low, high))
        which = rng.integers(2, size=size)
        part = {key: self.fields[key][indices, which]
                for key in ('features', 'chunks', 'points', 'stage', 'arrived')}
        images = self.images(indices)
        # Searching before the first gate turns left by convention: its mirror would be wrong.
        searching = (part['stage'] == 0) & (np.abs(part['chunks'][:, 0, :2]).sum(1) < 1e-3)
        mirror = (rng.random(size) < 0.5) & ~searching
        chunk, points, features = part['chunks'].copy(), part['points'].copy(), part['features']
        chunk[mirror] *= _MIRROR_AXES
        points[mirror, :, 0] = (1 - points[mirror, :, 0]) * points[mirror, :, 2]
        features = np.where(mirror[:, None], features[:, _MIRROR], features)
        # Hues turn in picture and instruction together, so that any hue can be asked for.
        turn = hue_rotation(rng.uniform(-_HUE_TURN, _HUE_TURN, size) * (rng.random(size) < 0.5))
        coloured = features[:, 9] > 0
        features[coloured, 10:] = np.clip(
            np.einsum('bij,bj->bi', turn[coloured], features[coloured, 10:]), 0, 1)
        gain = rng.uniform(0.8, 1.2, (size, 1, 1)) * rng.uniform(0.94, 1.06, (size, 3, 1)) * turn
        shift = rng.uniform(-15, 15, (size, 1, 1)) * np.ones((size, 3, 1))
        for image, flip, matrix in zip(images, mirror, np.concatenate([gain, shift], 2)):
            cv2.transform(image[:, ::-1].copy() if flip else image, matrix, dst=image)
        return Batch(torch.from_numpy(images), torch.from_numpy(features), torch.from_numpy(chunk),
                     torch.from_numpy(points), torch.from_numpy(part['stage']),
                     torch.from_numpy(part['arrived']))
