"""Read a picture file as training reads it, for what judges and tries a detector on files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_nav.detection.contracts import DetectorError


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture file of any kind as uint8 [H, W, 3] RGB, upright as its EXIF tag tells.

    Training sees it so, and labels are made so. A camera's messages have no such tag: those go
    through ``vla_nav.observations.decode``. Raises DetectorError where OpenCV cannot read it, and
    OSError where there is no such file.
    """
    data = np.frombuffer(path.read_bytes(), np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise DetectorError(f'{path}: is no picture that OpenCV reads ({len(data)} bytes); '
                            'convert it to JPEG or PNG')
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
