"""A camera's lens: from pixels to directions and back, as ``camera_info`` describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

# The distortion models of sensor_msgs/distortion_models.hpp, and how many coefficients they have.
_FISHEYE = 'equidistant'
_COEFFICIENTS = {'plumb_bob': (0, 4, 5), 'rational_polynomial': (0, 8, 12, 14),
                 _FISHEYE: (0, 4), '': (0, 4, 5)}
_STEPS, _EXACT = 50, 1e-9
# 88 degrees off the axis: none of these models goes as far.
_WIDEST = 30.0
# A polynomial holds where the lens was calibrated; beyond, it folds back or diverges. A pixel
# that does not come back to within this much has no direction.
_AGREE_PX = 0.5

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Lens:
    """A lens and the size of its picture in pixels.

    ``matrix`` [3, 3] and ``distortion`` are OpenCV's; ``fisheye`` tells which of OpenCV's models
    the coefficients are for. Directions are x/z and y/z in the camera's optical frame (z ahead,
    x right, y down).
    """

    height: int
    width: int
    matrix: Array
    distortion: Array = field(default_factory=lambda: np.zeros(0))
    fisheye: bool = False

    def directions(self, pixels: ArrayLike) -> Array:
        """Return the directions [N, 2] that pixels [N, 2] look in; NaN where the model ends."""
        given = np.asarray(pixels, np.float64).reshape(-1, 2)
        found = self._undistorted(given)
        return np.where(_near(self._distorted(found), given), found, np.nan)

    def pixels(self, directions: ArrayLike) -> Array:
        """Return the pixels [N, 2] of directions [N, 2]; NaN where the model ends."""
        given = np.asarray(directions, np.float64).reshape(-1, 2)
        found = self._distorted(given)
        back = self._undistorted(np.nan_to_num(found))
        return np.where(_near(self._linear(back), self._linear(given)), found, np.nan)

    def _undistorted(self, pixels: Array) -> Array:
        if not len(pixels):
            return pixels
        if not self.distortion.any() and not self.fisheye:
            focal, centre = np.diag(self.matrix)[:2], self.matrix[:2, 2]
            return np.asarray((pixels - centre) / focal)
        if self.fisheye:
            back: Any = cv2.fisheye.undistortPoints(pixels[:, None], self.matrix, self._four())
            return np.asarray(back, np.float64).reshape(-1, 2)
        # OpenCV 4 stops after five such steps, which is not enough at the rim of a wide lens.
        focal = np.diag(self.matrix)[:2]
        found = (pixels - self.matrix[:2, 2]) / focal
        for _ in range(_STEPS):
            missing = (pixels - self._distorted(found)) / focal
            found = np.clip(found + missing, -_WIDEST, _WIDEST)
            if not np.abs(missing).max() > _EXACT:
                break
        return np.asarray(found)

    def _distorted(self, directions: Array) -> Array:
        if not len(directions) or not (self.distortion.any() or self.fisheye):
            return self._linear(directions)
        ahead = np.nan_to_num(directions)[:, None]
        if self.fisheye:
            found: Any = cv2.fisheye.distortPoints(ahead, self.matrix, self._four())
        else:
            found, _ = cv2.projectPoints(cv2.convertPointsToHomogeneous(ahead), np.zeros(3),
                                         np.zeros(3), self.matrix, self.distortion)
        return np.asarray(found, np.float64).reshape(-1, 2)

    def _linear(self, directions: Array) -> Array:
        return np.asarray(directions * np.diag(self.matrix)[:2] + self.matrix[:2, 2])

    def _four(self) -> Array:
        return self.distortion if self.distortion.size else np.zeros(4)


def lens_of(info: Any, height: int, width: int) -> Lens:
    """Return the lens that a ``sensor_msgs/CameraInfo`` describes, for pictures of this size.

    Pictures may be smaller or larger than the calibrated ones, of the same shape. Raises
    ValueError with the remedy for what is not calibrated, not supported or does not fit.
    """
    matrix = np.asarray(info.k, np.float64).reshape(3, 3)
    if not np.isfinite(matrix).all() or matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
        raise ValueError('camera_info has no focal length (K is '
                         f'{np.round(matrix.ravel(), 3).tolist()}): calibrate the camera, or let '
                         'its driver load the calibration')
    name, distortion = str(info.distortion_model), np.asarray(info.d, np.float64)
    if name not in _COEFFICIENTS:
        raise ValueError(f'camera_info has the distortion model {name!r}; supported are '
                         f'{", ".join(filter(None, _COEFFICIENTS))}')
    if distortion.size not in _COEFFICIENTS[name] or not np.isfinite(distortion).all():
        raise ValueError(f'camera_info has {distortion.size} distortion coefficients where '
                         f'{name or "no model"} has {_COEFFICIENTS[name]}, finite ones: calibrate '
                         'the camera again')
    across, down = (seen / calibrated if calibrated else 1.0
                    for seen, calibrated in ((width, info.width), (height, info.height)))
    # Sides are rounded where a picture is made smaller.
    if abs(across * info.height - down * info.height) > 2:
        raise ValueError(f'camera_info is for pictures of {info.width}x{info.height}, these have '
                         f'{width}x{height}, another shape: calibrate the camera for them')
    return Lens(height, width, np.diag((across, down, 1.0)) @ matrix, distortion,
                name == _FISHEYE)


def _near(a: Array, b: Array) -> Array:
    """Tell, for pixels [N, 2] each, which are the same: bool [N, 1]."""
    return np.asarray(np.linalg.norm(a - b, axis=1, keepdims=True) < _AGREE_PX)
