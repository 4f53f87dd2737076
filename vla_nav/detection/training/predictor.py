"""What ``ultralytics`` itself would do on a picture, to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from vla_nav.detection.training.trained import open_trained
from vla_nav.detection.training.yolo import ultralytics


def predictor(model: nn.Module | str, image_size: int, score_threshold: float,
              iou_threshold: float, square: bool = True) -> Any:
    """Return ultralytics' own predictor of a network, of one's .pt or of a bundle's folder.

    Call it with a picture's path or uint8 [H, W, 3] BGR. ``square`` asks for the input that
    exported graphs have; without it ultralytics shortens it to the picture's shape.
    """
    if isinstance(model, str) and Path(model).is_dir():
        model = open_trained(Path(model)).model
    with ultralytics('models.yolo.detect') as detect, ultralytics() as library:
        if isinstance(model, str):
            model = library.YOLO(model).model
        found = detect.DetectionPredictor(overrides={
            'task': 'detect', 'mode': 'predict', 'imgsz': image_size, 'conf': score_threshold,
            'iou': iou_threshold, 'rect': not square, 'batch': 1, 'device': 'cpu', 'save': False,
            'verbose': False})
        found.setup_model(model, verbose=False)
        found(np.zeros((image_size, image_size, 3), np.uint8))  # imports torchvision
    return found
