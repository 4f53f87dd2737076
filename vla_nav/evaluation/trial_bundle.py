"""A stand-in for a policy that always drives, and gives NaN when it sees black."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.runtimes.bundle import BundleFile, BundleFiles, load_config

# Normalised action on each axis: slow enough for any limit, and never zero.
_ACTION = 0.3


def write_trial_bundle(like: Path, directory: Path) -> Path:
    """Write a bundle with the interface and the instruction reader of the bundle ``like``.

    Its network divides the picture's mean by itself: 1, or NaN for a black picture. Needs the
    ``onnx`` package. Returns ``directory``.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    config = load_config(like)
    axes = len(config.action_space.names)
    constants: dict[str, NDArray[Any]] = {
        'action': np.full((1, config.chunk, axes), _ACTION, np.float32),
        'never': np.zeros((1, 1), np.float32), 'shape': np.array([1, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node('Cast', ['image'], ['pixels'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['pixels'], ['mean'], keepdims=0),
        helper.make_node('Div', ['mean', 'mean'], ['one']),
        helper.make_node('Reshape', ['one', 'shape'], ['factor']),
        helper.make_node('Mul', ['action', 'factor'], ['actions']),
        helper.make_node('Identity', ['never'], ['arrived']),
        helper.make_node('Identity', ['state'], ['next_state']),
    ]
    inputs = {'image': (TensorProto.UINT8, [1, config.image.height, config.image.width, 3]),
              'instruction': (TensorProto.FLOAT, [1, FEATURE_SIZE]),
              'state': (TensorProto.FLOAT, [1, config.state_size])}
    outputs = {'actions': (TensorProto.FLOAT, [1, config.chunk, axes]),
               'arrived': (TensorProto.FLOAT, [1, 1]),
               'next_state': (TensorProto.FLOAT, [1, config.state_size])}
    graph = helper.make_graph(
        nodes, 'trial',
        [helper.make_tensor_value_info(name, *rest) for name, rest in inputs.items()],
        [helper.make_tensor_value_info(name, *rest) for name, rest in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    directory.mkdir(parents=True, exist_ok=True)
    onnx.save(model, directory / 'policy.onnx')
    reader = None
    if config.files.instruction is not None:
        reader = BundleFile.of(Path(shutil.copy(like / config.files.instruction.name, directory)))
    files = BundleFiles(policy=BundleFile.of(directory / 'policy.onnx'), instruction=reader)
    config.model_copy(update={'name': 'trial', 'files': files}).save(directory)
    return directory
