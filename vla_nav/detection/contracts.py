"""What the detector's parts hand to each other: pictures in, boxes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class DetectorError(RuntimeError):
    """The detector failed to load, to run or to give finite numbers."""


@dataclass(frozen=True)
class Detections:
    """What was found in one picture, best first.

    ``boxes`` float32 [N, 4]: left, top, right, bottom in pixels of the picture that was given;
    ``scores`` float32 [N] in [0, 1]; ``classes`` int64 [N], numbers of ``DetectorSpec.classes``.
    ``feet`` float32 [N]: the row that each may reach down to; None where that is its box's own
    lower edge.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    feet: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.scores)

    def standing(self) -> NDArray[np.float32]:
        """Return the boxes [N, 4] drawn down to the feet: what an obstacle is placed by."""
        if self.feet is None:
            return self.boxes
        return np.column_stack((self.boxes[:, :3], self.feet))


@dataclass(frozen=True)
class DetectorSpec:
    """What a caller must know of a detector: its classes, and the longer side of its input.

    Boxes below ``score_threshold`` are not reported; of boxes of one class that overlap by more
    than ``iou_threshold`` only the best is. ``provider`` is what the network really runs on.
    """

    name: str
    classes: tuple[str, ...]
    image_size: int
    score_threshold: float
    iou_threshold: float
    provider: str = 'none'


class Detector(Protocol):
    """A detector: one picture in, boxes out; nothing is remembered between pictures."""

    @property
    def spec(self) -> DetectorSpec:
        """Return the static description."""

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Return what is in uint8 [H, W, 3] RGB; raise :class:`DetectorError` for no numbers."""
