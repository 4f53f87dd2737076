"""A picture of any size in the network's input, and the way back of boxes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_nav.detection.contracts import Detections, DetectorError

# The grey of the margins that YOLO networks are trained with.
GREY = 114
# The coarsest stride: a network's input is so many pixels, or a multiple, high and wide.
STRIDE = 32


@dataclass(frozen=True)
class Letterbox:
    """Where a picture of ``height`` x ``width`` lies in a network's input, all in pixels.

    Shrunk or enlarged to ``rows`` x ``columns`` with its sides' ratio kept, and centred in an
    input of ``shape`` (height, width). Sizes are rounded as ultralytics rounds them, so that both
    networks see the same.
    """

    height: int
    width: int
    shape: tuple[int, int]
    rows: int
    columns: int
    top: int
    left: int

    @classmethod
    def fit(cls, height: int, width: int, size: int, square: bool = True) -> Letterbox:
        """Return the place of a picture; raise DetectorError for an empty one.

        The input is a square of ``size``, or without ``square`` as much of it as the picture
        needs, in whole strides: for a picture of 16:9 three fifths of the computation.
        """
        if height < 1 or width < 1:
            raise DetectorError(f'a picture of {width}x{height} pixels is empty: check the camera')
        scale = min(size / height, size / width)
        rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
        shape = (size, size) if square else (_whole(rows), _whole(columns))
        # Of an odd number of grey rows, the bottom gets one more; columns likewise.
        return cls(height, width, shape, rows, columns, round((shape[0] - rows) / 2 - 0.1),
                   round((shape[1] - columns) / 2 - 0.1))

    def fill(self, image: NDArray[np.uint8], target: NDArray[np.float32]) -> None:
        """Write uint8 [height, width, 3] RGB into float32 [3, *shape], 0 to 1.

        What is around the picture is left as it is: see :func:`blank`.
        """
        fitted: Any = image
        if (self.height, self.width) != (self.rows, self.columns):
            try:
                fitted = cv2.resize(image, (self.columns, self.rows),
                                    interpolation=cv2.INTER_LINEAR)
            except cv2.error as error:  # a side beyond 32767 pixels
                raise DetectorError(f'a picture of {self.width}x{self.height} pixels cannot be '
                                    f'resized: {error}') from error
        place = target[:, self.top:self.top + self.rows, self.left:self.left + self.columns]
        np.divide(fitted.transpose(2, 0, 1), np.float32(255), out=place)

    def undo(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return boxes [N, 4] of the input (left, top, right, bottom) in the picture's pixels.

        What sticks out of the picture is cut off.
        """
        gains = np.array([self.columns / self.width, self.rows / self.height] * 2, np.float32)
        shift = np.array([self.left, self.top] * 2, np.float32)
        limits = np.array([self.width, self.height] * 2, np.float32)
        return np.clip((boxes - shift) / gains, np.float32(0), limits)


def _whole(pixels: int) -> int:
    return -(-pixels // STRIDE) * STRIDE


def blank(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return a grey input float32 [3, *shape], 0 to 1."""
    return np.full((3, *shape), GREY / 255, np.float32)


def enlarged(found: Detections, size: tuple[int, int], shape: tuple[int, ...]) -> Detections:
    """Return boxes of a reduced JPEG of ``shape`` in pixels of the full one, (height, width)."""
    if tuple(shape[:2]) == tuple(size):
        return found
    height, width = size
    # A pixel of the reduced picture is a square of 2, 4 or 8; the last one may lie half outside
    # of the full picture.
    factor = np.float32(round(max(size) / max(shape[:2])))
    boxes = np.minimum(found.boxes * factor, np.array([width, height] * 2, np.float32))
    feet = None if found.feet is None else np.minimum(found.feet * factor, np.float32(height))
    return replace(found, boxes=boxes, feet=feet)
