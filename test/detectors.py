"""Tiny detector bundles for tests, built with onnx.helper: no torch, no training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vla_nav.detection.bundle import DetectorConfig, DetectorFiles
from vla_nav.runtimes.bundle import BundleFile

CLASSES = ('box', 'cup', 'person')
# Centre x and y, width, height (pixels of the letterboxed square), score, class.
Found = tuple[float, float, float, float, float, int]
ONE_BOX: tuple[Found, ...] = ((30.0, 40.0, 20.0, 10.0, 0.9, 1),)


def write_detector(directory: Path, found: Sequence[Found] = ONE_BOX, *, size: int = 64,
                   classes: Sequence[str] = CLASSES, brighter_than: float = -1.0,
                   nan_below: float = -1.0) -> Path:
    """Write a bundle that finds ``found`` in every picture and return its directory.

    Only in pictures whose mean (0 to 1, with the grey margins) is above ``brighter_than``; it
    gives NaN where the mean is below ``nan_below``. It is tried on a grey picture, 0.447, when
    it is loaded.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    onnx.save(detector_graph(found, size, len(classes), brighter_than, nan_below),
              directory / 'detector.onnx')
    describe_detector(directory, classes=tuple(classes), image_size=size)
    return directory


def describe_detector(directory: Path, **changes: object) -> DetectorConfig:
    """Write ``config.json`` beside a graph that is there."""
    config = DetectorConfig.model_validate({
        'name': 'test', 'level': 'L0', 'activation': 'relu', 'classes': CLASSES, 'image_size': 64,
        'score_threshold': 0.25, 'iou_threshold': 0.7, 'licence': 'Apache-2.0',
        'files': DetectorFiles(detector=BundleFile.of(directory / 'detector.onnx')), **changes})
    config.save(directory)
    return config


def detector_graph(found: Sequence[Found], size: int, classes: int, brighter_than: float = -1.0,
                   nan_below: float = -1.0) -> onnx.ModelProto:
    """Return the graph of :func:`write_detector`; a box more says nothing, so that N > 0."""
    output = np.zeros((1, 4 + classes, len(found) + 1), np.float32)
    output[0, :4, -1] = (size / 2, size / 2, size, size)
    for column, (*box, score, label) in enumerate(found):
        output[0, :4, column] = box
        output[0, 4 + label, column] = score
    dark = output.copy()
    dark[0, 4:] = 0
    constants = {'found': output, 'nothing': dark, 'bright': np.float32(brighter_than),
                 'black': np.float32(nan_below), 'nan': np.full_like(output, np.nan)}
    nodes = [
        helper.make_node('ReduceMean', ['images'], ['mean'], axes=[1, 2, 3], keepdims=0),
        helper.make_node('Greater', ['mean', 'bright'], ['lit']),
        helper.make_node('Where', ['lit', 'found', 'nothing'], ['seen']),
        helper.make_node('Less', ['mean', 'black'], ['broken']),
        helper.make_node('Where', ['broken', 'nan', 'seen'], ['output0']),
    ]
    return model(nodes, constants, (TensorProto.FLOAT, [1, 3, size, size]),
                 (TensorProto.FLOAT, list(output.shape)))


def model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], images: tuple[int, list],
          *outputs: tuple[int, list]) -> onnx.ModelProto:
    """Return a graph from ``images`` to ``output0``, ``output1`` ..."""
    graph = helper.make_graph(
        nodes, 'test', [helper.make_tensor_value_info('images', *images)],
        [helper.make_tensor_value_info(f'output{i}', *output) for i, output in enumerate(outputs)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(built)
    return built
