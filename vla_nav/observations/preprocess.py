"""From a camera's picture to the policy's: one crop and one resize, the same everywhere."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def to_policy_image(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Centre-crop uint8 [H, W, 3] RGB to the target's aspect and shrink it to [height, width, 3].

    A picture that already has the size comes back unchanged. Deterministic. Raises ValueError
    for anything but a non-empty uint8 picture with three channels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f'expected a uint8 [H, W, 3] picture, got {image.dtype} {image.shape}')
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return np.ascontiguousarray(image)
    # Integer arithmetic, so that no machine rounds another way.
    if columns * height > rows * width:
        keep = max(1, (2 * rows * width + height) // (2 * height))
        start = (columns - keep) // 2
        image = image[:, start:start + keep]
    else:
        keep = max(1, (2 * columns * height + width) // (2 * width))
        start = (rows - keep) // 2
        image = image[start:start + keep]
    # Area averaging keeps small far objects, which point sampling would drop.
    resized: Any = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return resized
