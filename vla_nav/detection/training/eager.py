"""The network in PyTorch behind the robot's own letterbox and decoding."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vla_nav.detection.contracts import Detections, DetectorSpec
from vla_nav.detection.decode import decode
from vla_nav.detection.letterbox import Letterbox, blank


class EagerDetector:
    """A :class:`vla_nav.detection.contracts.Detector` to compare exports with."""

    def __init__(self, model: nn.Module, spec: DetectorSpec) -> None:
        """Take a network that is in evaluation mode, on whatever device."""
        self.spec = spec
        self._model = model
        self._device = next(model.parameters()).device

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Return what is in uint8 [H, W, 3] RGB."""
        height, width = image.shape[:2]
        place = Letterbox.fit(height, width, self.spec.image_size, square=False)
        filled = blank(place.shape)
        place.fill(image, filled)
        with torch.inference_mode():
            output, _ = self._model(torch.from_numpy(filled)[None].to(self._device))
        return decode(output[0].cpu().numpy(), place, self.spec.score_threshold,
                      self.spec.iou_threshold)
