"""Which windows make a step, and their tensors: depends on seed, epoch, step and rank alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vla_nav.spaces import ActionSpace
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.recordings import Recording
from vla_nav.training.family.windows import Shape, Track


class Source(Protocol):
    """Gives what the network sees: pictures uint8 [T, H, W, 3], or what is kept of them [T, P]."""

    def window(self, recording: int, rows: NDArray[np.int64],
               rng: np.random.Generator | None = None) -> Tensor:
        """Return the pictures ``rows`` of a recording; ``rng`` draws one light for all."""


class Batch(NamedTuple):
    """B windows.

    ``inputs`` [B, T, ...] of a source, ``recording`` int64 [B], ``targets`` float32
    [B, T, K, A] normalised, ``mask`` bool [B, T, K, A] where a target counts: not behind a
    recording's end, and not along an axis that its robot lacks. ``arrived`` float32 [B, T] is 1
    where the task is done, NaN where nobody knows.
    """

    inputs: Tensor
    recording: Tensor
    targets: Tensor
    mask: Tensor
    arrived: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``."""
        return Batch(*(part.to(device, non_blocking=True) for part in self))


@dataclass(frozen=True)
class Share:
    """The part of each step that one process does, in ``accumulate`` parts."""

    rank: int = 0
    ranks: int = 1
    accumulate: int = 1


class Labels:
    """Targets and masks of windows of recordings."""

    def __init__(self, recordings: Sequence[Recording], shape: Shape, space: ActionSpace) -> None:
        """Find the labels of every picture."""
        self.tracks = [Track.of(recording, shape) for recording in recordings]
        self.axes = space.size
        self._actions = [space.normalise(recording.actions) for recording in recordings]
        self._present = [recording.present for recording in recordings]
        self._arrived = [recording.arrived for recording in recordings]

    def of(self, recording: int, pictures: NDArray[np.int64], there: NDArray[np.bool_]
           ) -> tuple[Tensor, Tensor, Tensor]:
        """Return targets and mask [T, K, A] and arrival [T] of a window."""
        track = self.tracks[recording]
        return (torch.from_numpy(self._actions[recording][track.rows[pictures]]),
                torch.from_numpy((track.due[pictures] & there[:, None])[..., None]
                                 & self._present[recording]),
                torch.from_numpy(np.where(there, self._arrived[recording][pictures],
                                          np.float32('nan'))))


class TrainingSteps(Dataset[list[Batch]]):
    """``steps[epoch * per_epoch + step]`` is what one process does in that step."""

    def __init__(self, source: Source, labels: Labels, members: Sequence[int], stride: int,
                 batch: int, seed: int, share: Share) -> None:
        """Draw windows of the recordings ``members``, ``batch`` of them a step in all."""
        parts = share.ranks * share.accumulate
        if batch % parts:
            raise TrainingError(
                f'train.batch={batch} windows cannot be shared by {share.ranks} processes in '
                f'{share.accumulate} parts each: set train.batch to a multiple of {parts}, or '
                'another train.accumulate')
        self._source, self._labels, self._members = source, labels, members
        self._stride, self._batch, self._seed, self._share = stride, batch, seed, share
        self._windows = sum(len(labels.tracks[m].starts(stride, 0.0)) for m in members)
        self.per_epoch = -(-self._windows // batch)
        self._planned: tuple[int, NDArray[np.int64]] | None = None

    def __getitem__(self, index: int) -> list[Batch]:
        epoch, step = divmod(index, self.per_epoch)
        if self._planned is None or self._planned[0] != epoch:
            self._planned = epoch, self._plan(epoch)
        rows = self._planned[1][step][self._share.rank::self._share.ranks]
        return [self._gather(rows[part::self._share.accumulate], epoch)
                for part in range(self._share.accumulate)]

    def _plan(self, epoch: int) -> NDArray[np.int64]:
        """Return (recording, first picture) of every window, int64 [steps, batch, 2]."""
        rng = np.random.default_rng([self._seed, epoch])
        windows = np.concatenate([
            np.stack(np.broadcast_arrays(m, self._labels.tracks[m].starts(
                self._stride, rng.random())), axis=1) for m in self._members])
        # The last batch is filled up from the beginning of the order, so that all are equal.
        order = np.resize(rng.permutation(len(windows)), self.per_epoch * self._batch)
        return windows[order].reshape(self.per_epoch, self._batch, 2)

    def _gather(self, rows: NDArray[np.int64], epoch: int) -> Batch:
        inputs, labels = [], []
        for recording, first in rows.tolist():
            pictures, there = self._labels.tracks[recording].window(first)
            rng = np.random.default_rng([self._seed, epoch, recording, first])
            inputs.append(self._source.window(recording, pictures, rng))
            labels.append(self._labels.of(recording, pictures, there))
        return Batch(torch.stack(inputs), torch.from_numpy(rows[:, 0].copy()),
                     *map(torch.stack, zip(*labels)))


def whole_drives(source: Source, labels: Labels, members: Sequence[int], batch: int,
                 share: Share) -> Iterator[Iterator[Batch]]:
    """Yield groups of recordings, each as windows in order for one memory, as on the robot.

    Recordings of a group have similar lengths; one that has ended repeats its last picture and
    does not count. Of several processes each gets its own groups.
    """
    ordered = sorted(members, key=lambda m: (len(labels.tracks[m].stamps_ns), m))
    groups = [ordered[i:i + batch] for i in range(0, len(ordered), batch)]
    for group in groups[share.rank::share.ranks]:
        yield _drive(source, labels, group)


def _drive(source: Source, labels: Labels, group: Sequence[int]) -> Iterator[Batch]:
    segments = [labels.tracks[m].segments() for m in group]
    for step in range(max(map(len, segments))):
        inputs, found = [], []
        for member, own in zip(group, segments):
            pictures, there = own[min(step, len(own) - 1)]
            found.append(labels.of(member, pictures, there & (step < len(own))))
            inputs.append(source.window(member, pictures))
        yield Batch(torch.stack(inputs), torch.tensor(group), *map(torch.stack, zip(*found)))
