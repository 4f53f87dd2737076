"""What a real camera does to a picture and training frameworks leave out.

Colours may be jittered and pictures flipped while a network trains; blur by motion, light, noise
and compression belong to the camera, and so to the data.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Light = NDArray[np.float32]  # [H, W, 3], 0 to 1 where the sensor is not saturated

# Shares of pictures; a third stays as the simulator draws it.
CLEAN, MOTION, DEFOCUS = 0.33, 0.35, 0.2
BLUR_SHARE = 0.02  # of the picture's width, at most
QUALITY = (45, 95)
# Automatic exposure aims at a mean brightness, and misses it; it cannot make night into day.
BRIGHTNESS, GAIN = (0.25, 0.6), (0.6, 2.5)


def photograph(picture: Picture, rng: np.random.Generator) -> bytes:
    """Return ``picture`` uint8 [H, W, 3] RGB as a camera would give it, a JPEG."""
    quality = QUALITY[1]
    if rng.random() >= CLEAN:
        quality = int(rng.integers(QUALITY[0], QUALITY[1] + 1))
        light: Light = picture.astype(np.float32) / np.float32(255)
        if rng.random() < MOTION:
            light = _motion_blur(light, rng)
        if rng.random() < DEFOCUS:
            light = np.asarray(cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 1.2)), np.float32)
        # A wide blur is computed by its spectrum, and leaves black a little below zero.
        light = np.maximum(light, 0) ** np.float32(rng.uniform(0.8, 1.25))
        wanted = rng.uniform(*BRIGHTNESS)
        light *= np.float32(np.clip(wanted / max(float(light.mean()), 1e-3), *GAIN))
        light *= rng.uniform(0.85, 1.15, 3).astype(np.float32)  # white balance
        light += _noise(light, rng)
        picture = (np.clip(light, 0, 1) * 255).round().astype(np.uint8)
    done, encoded = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
                                 (cv2.IMWRITE_JPEG_QUALITY, quality))
    assert done, 'a picture in memory can be encoded'
    return encoded.tobytes()


def _motion_blur(light: Light, rng: np.random.Generator) -> Light:
    """Smear along a line, mostly sideways: a robot that turns moves the whole picture."""
    length = 1 + rng.random() * BLUR_SHARE * light.shape[1]
    angle = rng.normal(0, 0.3)
    side = math.ceil(length) | 1
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    reach = np.array((math.cos(angle), math.sin(angle))) * length / 2
    for along in np.linspace(-1, 1, 4 * side):
        x, y = middle + along * reach
        kernel[round(y), round(x)] += 1
    return np.asarray(cv2.filter2D(light, -1, kernel / kernel.sum(),
                                   borderType=cv2.BORDER_REPLICATE), np.float32)


def _noise(light: Light, rng: np.random.Generator) -> Light:
    """Return noise of photons, which grows with the root of the light, and of reading."""
    shot, read = rng.uniform(0, 0.04), rng.uniform(0, 0.02)
    spread = np.sqrt(shot ** 2 * np.clip(light, 0, 1) + read ** 2).astype(np.float32)
    return spread * rng.standard_normal(light.shape, np.float32)
