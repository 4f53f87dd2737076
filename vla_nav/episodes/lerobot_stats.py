"""The statistics that LeRobot keeps beside a dataset, gathered episode by episode."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.episodes.schema import Episode

_PICTURES = 10  # an episode; neighbours hardly differ


class _Moments:
    """Minimum, maximum, mean and standard deviation of rows [N, D]."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.low, self.high = np.full(size, np.inf), np.full(size, -np.inf)
        self.sum, self.squares = np.zeros(size), np.zeros(size)

    def add(self, rows: NDArray[Any], count: int) -> None:
        values = np.asarray(rows, np.float64)
        self.count += count
        self.low = np.minimum(self.low, values.min(0))
        self.high = np.maximum(self.high, values.max(0))
        share = count / len(values)
        self.sum += values.sum(0) * share
        self.squares += (values ** 2).sum(0) * share

    def to_dict(self, shape: tuple[int, ...]) -> dict[str, Any]:
        mean = self.sum / self.count
        deviation = np.sqrt(np.maximum(self.squares / self.count - mean ** 2, 0.0))
        return {'min': self.low.reshape(shape).tolist(), 'max': self.high.reshape(shape).tolist(),
                'mean': mean.reshape(shape).tolist(), 'std': deviation.reshape(shape).tolist(),
                'count': [self.count]}


class Statistics:
    """Of actions and odometry by column, of pictures by channel, scaled to [0, 1]."""

    def __init__(self) -> None:
        self._moments: dict[str, tuple[_Moments, tuple[int, ...]]] = {}

    def add(self, episode: Episode, camera: str, state: str) -> None:
        """Take an episode in; ten of its pictures stand for all."""
        self._add('action', episode.actions, len(episode), (-1,))
        if episode.odometry is not None:
            self._add(state, episode.odometry, len(episode), (-1,))
        chosen = np.unique(np.linspace(0, len(episode) - 1, _PICTURES).astype(int))
        pixels = np.concatenate([episode.images[int(i)].reshape(-1, 3) for i in chosen])
        self._add(camera, pixels / 255.0, len(chosen), (3, 1, 1))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``meta/stats.json``."""
        return {key: moments.to_dict(shape) for key, (moments, shape) in self._moments.items()}

    def _add(self, key: str, rows: NDArray[Any], count: int, shape: tuple[int, ...]) -> None:
        if key not in self._moments:
            self._moments[key] = _Moments(rows.shape[1]), shape
        self._moments[key][0].add(rows, count)
