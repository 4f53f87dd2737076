"""What a network on a tub must beat: ridge regression on histograms of oriented gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_nav.policies.track import ODD
from vla_nav.training.tub.frames import Indices, blocked
from vla_nav.training.tub.ridge import Ridge, best_strength

_BINS, _CELL, _CLIP = 9, 8, 0.2


def gradient_histogram(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the descriptor of a picture [H, W] (Dalal and Triggs, CVPR 2005).

    Nine unsigned orientations, cells of 8 x 8 pixels, blocks of 2 x 2 cells, clipped L2 norm.
    """
    picture = grey.astype(np.float32)
    down, right = np.gradient(picture)
    place = np.arctan2(down, right) % np.pi / np.pi * _BINS - 0.5
    lower = np.floor(place)
    share, size = place - lower, np.hypot(down, right)
    rows, columns = grey.shape[0] // _CELL, grey.shape[1] // _CELL
    y, x = np.mgrid[:rows * _CELL, :columns * _CELL]
    cell = (y // _CELL * columns + x // _CELL) * _BINS
    cells = np.zeros(rows * columns * _BINS)
    for bins, weight in ((lower, 1 - share), (lower + 1, share)):
        where = cell + bins[:rows * _CELL, :columns * _CELL].astype(np.int64) % _BINS
        cells += np.bincount(where.ravel(), (size * weight)[:rows * _CELL, :columns * _CELL]
                             .ravel(), len(cells))
    grid = cells.reshape(rows, columns, _BINS)
    blocks = np.concatenate([grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]], -1)
    blocks = np.minimum(blocks / _norm(blocks), _CLIP)
    return (blocks / _norm(blocks)).astype(np.float32).ravel()


class HistogramRidge:
    """Ridge regression on histograms, its strength tuned for each axis by inner blocks.

    ``mirrored`` also trains on every picture mirrored, with steering turned round. That needs no
    more rows: what turns round in a mirror is linear in the difference of a picture's features
    and its mirror's, what does not in their sum.
    """

    def __init__(self, grey: NDArray[np.uint8], mirrored: bool) -> None:
        """Compute the kernels of all pictures [T, H, W] once for all folds."""
        features = np.stack([gradient_histogram(picture) for picture in grey])
        sums = [features, features]
        if mirrored:
            turned = np.stack([gradient_histogram(picture[:, ::-1]) for picture in grey])
            sums = [features + turned, features - turned]
        self._kernels = [(side @ side.T).astype(np.float64) for side in sums]
        self._mirrored = mirrored

    def predict(self, actions: NDArray[np.float32], train: Indices, test: Indices,
                inner: int) -> NDArray[np.float64]:
        """Return predictions [N, 2] for ``test`` after tuning and training on ``train``."""
        out = []
        for axis, kernel in enumerate(self._kernels):
            target = actions[:, axis].astype(np.float64)
            centred = not (self._mirrored and axis == ODD)
            strength = best_strength(kernel, target, blocked(train, inner), centred)
            ridge = Ridge(kernel, target[train, None], train, centred)
            out.append(ridge.predict(test, strength))
        return np.concatenate(out, axis=1)


def _norm(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    # The constant keeps the noise of an even wall from becoming a strong edge.
    return np.asarray(np.sqrt((blocks ** 2).sum(-1, keepdims=True) + 1.0))
