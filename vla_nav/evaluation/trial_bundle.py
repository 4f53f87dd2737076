"""A stand-in for a policy that always drives, and gives NaN when it sees black."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.runtimes.bundle import BundleFile, BundleFiles, load_config
from vla_nav.runtimes.sessions import open_session

# Normalised action on each axis: slow enough for any limit, and never zero.
_ACTION = 0.3
_PROBE, _PROBES = 20_000, 10  # turns of the loop by which the machine's speed is told


def write_trial_bundle(like: Path, directory: Path, think_s: float = 0.0) -> Path:
    """Write a bundle with the interface and the instruction reader of the bundle ``like``.

    Its network divides the picture's mean by itself: 1, or NaN for a black picture. A step takes
    about ``think_s`` of a processor's time. Needs the ``onnx`` package. Returns ``directory``.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    config = load_config(like)
    axes = len(config.action_space.names)
    constants: dict[str, NDArray[Any]] = {
        'action': np.full((1, config.chunk, axes), _ACTION, np.float32),
        'never': np.zeros((1, 1), np.float32), 'zero': np.zeros(1, np.float32),
        'turns': np.array(_turns(think_s), np.int64), 'go': np.array(True),
        'shape': np.array([1, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node('Cast', ['image'], ['pixels'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['pixels'], ['mean'], keepdims=0),
        helper.make_node('Div', ['mean', 'mean'], ['one']),
        _loop(),
        # Always 0, which no optimiser can know.
        helper.make_node('Mul', ['busy', 'zero'], ['nothing']),
        helper.make_node('Reshape', ['one', 'shape'], ['factor']),
        helper.make_node('Mul', ['action', 'factor'], ['actions']),
        helper.make_node('Add', ['never', 'nothing'], ['arrived']),
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


def _loop() -> Any:
    """Return a loop of ``turns`` sines, each of the one before: work that nothing shortens."""
    from onnx import TensorProto, helper
    scalar = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node('Sin', ['x'], ['y']), helper.make_node('Identity', ['on'], ['still'])],
        'body', [scalar('turn', TensorProto.INT64, []), scalar('on', TensorProto.BOOL, []),
                 scalar('x', TensorProto.FLOAT, [])],
        [scalar('still', TensorProto.BOOL, []), scalar('y', TensorProto.FLOAT, [])])
    return helper.make_node('Loop', ['turns', 'go', 'mean'], ['busy'], body=body)


def _turns(seconds: float) -> int:
    """Return how many turns of the loop take so long on this machine."""
    if seconds <= 0:
        return 0
    from onnx import TensorProto, helper, numpy_helper
    constants = {'turns': np.array(_PROBE, np.int64), 'go': np.array(True)}
    graph = helper.make_graph(
        [_loop()], 'probe', [helper.make_tensor_value_info('mean', TensorProto.FLOAT, [])],
        [helper.make_tensor_value_info('busy', TensorProto.FLOAT, [])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    session = open_session(model.SerializeToString(), 'probe', 'cpu')
    fed = {'mean': np.array(90, np.float32)}
    # The processor's time, the best of some: on a busy machine a probe seems slower than it is.
    took = []
    for _ in range(_PROBES):
        began = time.thread_time()
        session.run(None, fed)
        took.append(time.thread_time() - began)
    return round(_PROBE * seconds / min(took))
