"""What one recorded episode is, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_nav.observations.decode import decode_compressed
from vla_nav.observations.preprocess import to_policy_image
from vla_nav.spaces import AXES

FORMAT_VERSION = 1


class EpisodeError(ValueError):
    """A recording cannot be read or written: in which file, which field, and what is wrong."""

    def __init__(self, file: object, field: str, problem: str) -> None:
        super().__init__(f'{file}: {field}: {problem}')
        self.file, self.field, self.problem = str(file), field, problem


class Pictures(Protocol):
    """T pictures, read one by one: ``pictures[i]`` is uint8 [H, W, 3] RGB."""

    def __len__(self) -> int:
        """Return T."""

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """Return one picture, index 0 to T - 1."""


class JpegPictures:
    """Pictures kept as the camera's JPEG bytes and decoded when asked for."""

    def __init__(self, jpeg: Sequence[bytes], source: str = '(memory)') -> None:
        """Keep ``jpeg`` without a copy; ``source`` names its file in errors."""
        self._jpeg, self._source = jpeg, source

    def __len__(self) -> int:
        return len(self._jpeg)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        return self.decode(index)

    def decode(self, index: int, min_height: int = 0, min_width: int = 0) -> NDArray[np.uint8]:
        """Return one picture, reduced while decoding as a live node does it."""
        try:
            return decode_compressed(self.encoded(index), min_height, min_width)
        except ValueError as error:
            raise EpisodeError(self._source, f'jpeg[{index}]', str(error)) from error

    def encoded(self, index: int) -> bytes:
        """Return one picture's JPEG bytes as they were recorded."""
        return bytes(self._jpeg[index])


@dataclass(frozen=True)
class Episode:
    """One run of the robot after one instruction.

    ``actions`` float32 [T, A] are SI velocities along ``action_names``, row t being what was
    commanded on seeing picture t. ``stamps_ns`` int64 [T] are the pictures' stamps, None in
    recordings that have none. ``success`` tells whether the run ends with its task done, None
    where nobody said. ``odometry`` float32 [T, 6] is (x, y, yaw) in the odom frame and
    (vx, vy, wz) in the base frame, where it was recorded. ``scenario`` is the stratum.
    """

    images: Pictures
    actions: NDArray[np.float32]
    stamps_ns: NDArray[np.int64] | None
    instruction: str
    action_names: tuple[str, ...] = AXES
    embodiment: str = 'omni'
    scenario: str = ''
    odometry: NDArray[np.float32] | None = field(default=None)
    success: bool | None = None

    def __len__(self) -> int:
        return len(self.actions)

    def policy_image(self, index: int, height: int, width: int) -> NDArray[np.uint8]:
        """Return picture ``index`` as a policy that takes [height, width, 3] sees it live."""
        image = (self.images.decode(index, height, width)
                 if isinstance(self.images, JpegPictures) else self.images[index])
        return to_policy_image(image, height, width)

    def check(self, source: str) -> None:
        """Raise EpisodeError naming ``source`` and the field that breaks the contract."""
        length = len(self.actions)
        unknown = [name for name in self.action_names if name not in AXES]
        if unknown or not self.action_names:
            raise EpisodeError(source, 'action_names', f'{list(self.action_names)} must be out of '
                               f'{list(AXES)}')
        if length == 0 or self.actions.shape != (length, len(self.action_names)):
            raise EpisodeError(source, 'actions', f'the shape is {self.actions.shape}, expected '
                               f'[T > 0, {len(self.action_names)}]')
        if not np.isfinite(self.actions).all():
            row = int(np.argmin(np.isfinite(self.actions).all(axis=1)))
            raise EpisodeError(source, f'actions[{row}]', f'is not finite: {self.actions[row]}')
        if len(self.images) != length:
            raise EpisodeError(source, 'images', f'{len(self.images)} pictures for {length} '
                               'actions')
        if self.stamps_ns is not None and self.stamps_ns.shape != (length,):
            raise EpisodeError(source, 'stamps_ns', f'the shape is {self.stamps_ns.shape}, '
                               f'expected [{length}]')
        if self.odometry is not None and self.odometry.shape != (length, 6):
            raise EpisodeError(source, 'odometry', f'the shape is {self.odometry.shape}, '
                               f'expected [{length}, 6]')
