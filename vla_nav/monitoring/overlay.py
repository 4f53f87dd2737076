"""The camera's picture with what the robot makes of it drawn in."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_nav.monitoring.boxes import Box

_PATH, _BOX, _TEXT, _DARK = (255, 170, 0), (0, 230, 118), (240, 240, 240), (24, 26, 30)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Text has this height in a picture of 480 lines, and is never too small to read.
_SCALE, _SMALLEST, _LINES = 0.6, 0.35, 480


def overlay(picture: NDArray[np.uint8], path: ArrayLike, boxes: Sequence[Box],
            words: str) -> NDArray[np.uint8]:
    """Return a copy of uint8 [H, W, 3] RGB with path, boxes and a line of words.

    ``path`` [N, 2] and boxes are in pixels of the picture; of the words, ASCII is drawn.
    """
    canvas = np.ascontiguousarray(picture).copy()
    height, width = canvas.shape[:2]
    scale = max(_SMALLEST, _SCALE * height / _LINES)
    # OpenCV's coordinates are 32 bits wide; a point just before the camera lies anywhere.
    points = np.clip(np.reshape(path, (-1, 2)), -4 * width, 4 * width).round().astype(np.int32)
    if len(points) > 1:
        cv2.polylines(canvas, [points.reshape(-1, 1, 2)], False, _PATH,
                      max(2, height // 120), cv2.LINE_AA)
    for box in boxes:
        left, top, right, bottom = (round(side) for side in box[:4])
        cv2.rectangle(canvas, (left, top), (right, bottom), _BOX, max(1, height // 240))
        _write(canvas, (left, max(top - 3, 10)), box.label, _BOX, scale)
    _write(canvas, (4, height - 6), words, _TEXT, scale)
    return canvas


def _write(canvas: NDArray[np.uint8], at: tuple[int, int], text: str,
           colour: tuple[int, int, int], scale: float) -> None:
    shown = text.encode('ascii', 'ignore').decode()
    # Dark below bright, to be read on any ground.
    for tint, thickness in ((_DARK, 3), (colour, 1)):
        cv2.putText(canvas, shown, at, _FONT, scale, tint, thickness, cv2.LINE_AA)
