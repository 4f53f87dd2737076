"""Pictures of recordings, as the policy sees them live; files stay open while they are used."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode
from vla_nav.training.family.augment import Light
from vla_nav.training.family.recordings import Recording

# Below the usual limit of 1,024 open files, with room for what else a training opens.
_OPEN = 256


class Pictures:
    """Windows of pictures straight from the recordings, in one light each."""

    def __init__(self, recordings: Sequence[Recording], height: int, width: int,
                 augment: float = 0.0) -> None:
        """Read pictures as [height, width]; ``augment`` is the strength of :class:`Light`."""
        self._recordings, self._size, self._augment = recordings, (height, width), augment
        self._open: OrderedDict[int, tuple[ExitStack, Episode]] = OrderedDict()
        self._process = os.getpid()

    def window(self, recording: int, rows: NDArray[np.int64],
               rng: np.random.Generator | None = None) -> Tensor:
        """Return uint8 [T, H, W, 3]; ``rng`` draws the light, None leaves it as it was."""
        images = self.read(recording, rows)
        if rng is not None and self._augment > 0:
            images = Light.draw(rng, self._augment).on(images)
        return torch.from_numpy(images)

    def read(self, recording: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return pictures uint8 [T, H, W, 3]; a picture asked for twice is read once."""
        episode = self._episode(recording)
        distinct, back = np.unique(rows, return_inverse=True)
        images = np.stack([episode.policy_image(int(row), *self._size) for row in distinct])
        return images[back]

    def close(self) -> None:
        """Close all files."""
        for stack, _ in self._open.values():
            stack.close()
        self._open.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_open': OrderedDict()}

    def _episode(self, recording: int) -> Episode:
        if self._process != os.getpid():  # HDF5 cannot share files with a forked process
            self._open, self._process = OrderedDict(), os.getpid()
        if recording in self._open:
            self._open.move_to_end(recording)
        else:
            while len(self._open) >= _OPEN:
                self._open.popitem(last=False)[1][0].close()
            stack = ExitStack()
            episode = stack.enter_context(open_episode(self._recordings[recording].ref))
            self._open[recording] = stack, episode
        return self._open[recording][1]
