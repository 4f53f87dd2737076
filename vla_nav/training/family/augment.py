"""Other light on the same scene: one change for a whole window, since light does not flicker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Light:
    """``gain`` float32 [3] for red, green and blue, and ``shift`` in grey levels.

    Only what leaves the labels true: no mirror, which would swap the sides in the text, no crop,
    which would move the goal, no turn of the hues, which the text names.
    """

    gain: NDArray[np.float32]
    shift: float

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float) -> Light:
        """Draw a light; ``strength`` 1 changes brightness by a fifth, colours by a fifteenth."""
        overall = 1.0 + strength * rng.uniform(-0.2, 0.2)
        cast = 1.0 + strength * rng.uniform(-0.06, 0.06, 3)
        return cls((overall * cast).astype(np.float32), float(strength * rng.uniform(-15, 15)))

    def on(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return pictures uint8 [..., 3] in this light."""
        lit = images.astype(np.float32) * self.gain + np.float32(self.shift)
        return np.clip(np.rint(lit), 0, 255).astype(np.uint8)
