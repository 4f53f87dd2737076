"""Tiny policy bundles for tests, built with onnx.helper: no torch, no training."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from vla_nav.language import slots
from vla_nav.language.intent import FEATURE_SIZE, Intent
from vla_nav.language.tokenizer import encode
from vla_nav.runtimes.bundle import BundleConfig, BundleFile
from vla_nav.spaces import OMNI_3D

STEP_NS = 100_000_000
# The stub reads every text as this intent, except those that begin with this word.
INTENT = Intent('left', 'ball', 'red')
NONSENSE = 'xyzzy'


def write_bundle(directory: Path, actions: tuple[float, float, float] = (0.3, 0.0, 0.0), *,
                 nan: bool = False, nan_after: int = 0, slow_s: float = 0.0, arrived: float = 0.0,
                 image: tuple[int, int] = (96, 128), chunk: int = 8, echo: bool = False) -> Path:
    """Write a bundle for OMNI_3D that always drives ``actions`` (SI) and return its directory.

    Its state counts the steps of its memory. With ``nan`` it gives NaN from step ``nan_after``
    on; ``slow_s`` is about how long a step takes; with ``echo`` the actions are not constant but
    the mean red, green and blue of ``chunk`` horizontal bands of the picture, normalised, and
    1 % for each step of its memory.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    graph = _policy(actions, nan, nan_after, _loops(slow_s), arrived, image, chunk, echo)
    onnx.save(graph, directory / 'policy.onnx')
    onnx.save(_instruction(), directory / 'instruction.onnx')
    BundleConfig.model_validate({
        'name': 'test', 'architecture': 'constant', 'action_space': OMNI_3D.to_dict(),
        'image': {'height': image[0], 'width': image[1]}, 'state_size': 1, 'step_ns': STEP_NS,
        'chunk': chunk, 'max_observation_age_s': 0.5, 'arrived_threshold': 0.5,
        'files': {name: BundleFile.of(directory / f'{name}.onnx')
                  for name in ('policy', 'instruction')},
    }).save(directory)
    return directory


def _policy(actions: tuple[float, ...], nan: bool, nan_after: int, loops: int, arrived: float,
            image: tuple[int, int], chunk: int, echo: bool) -> onnx.ModelProto:
    height, width = image
    normalised = np.tile(OMNI_3D.normalise(actions), (1, chunk, 1))
    constants = {
        'one': np.float32([[1]]), 'arrived_value': np.float32([[arrived]]),
        'limit': np.float32([[[nan_after if nan else np.inf]]]), 'nan': np.float32([[[np.nan]]]),
        'constant': normalised, 'bands': np.int64([1, chunk, height // chunk * width, 3]),
        'full': np.float32([255]), 'loops': np.int64(loops), 'true': np.bool_(True),
        'cube': np.int64([1, 1, 1]), 'zero': np.float32([0]), 'percent': np.float32([0.01]),
    }
    nodes = [
        # The loop's result is always 0, which the optimiser cannot know.
        _loop(),
        helper.make_node('Mul', ['busy', 'zero'], ['nothing']),
        helper.make_node('Add', ['state', 'nothing'], ['same_state']),
        helper.make_node('Add', ['same_state', 'one'], ['next_state']),
        helper.make_node('Mul', ['arrived_value', 'one'], ['arrived']),
        helper.make_node('Reshape', ['state', 'cube'], ['steps']),
        helper.make_node('GreaterOrEqual', ['steps', 'limit'], ['broken']),
    ]
    if echo:
        nodes += [
            helper.make_node('Cast', ['image'], ['float_image'], to=TensorProto.FLOAT),
            helper.make_node('Reshape', ['float_image', 'bands'], ['banded']),
            helper.make_node('ReduceMean', ['banded'], ['mean'], axes=[2], keepdims=0),
            helper.make_node('Div', ['mean', 'full'], ['colours']),
            helper.make_node('Mul', ['steps', 'percent'], ['memory']),
            helper.make_node('Add', ['colours', 'memory'], ['wanted']),
        ]
    else:
        nodes.append(helper.make_node('Identity', ['constant'], ['wanted']))
    nodes.append(helper.make_node('Where', ['broken', 'nan', 'wanted'], ['actions']))
    return _model(
        nodes, constants,
        inputs={'image': (TensorProto.UINT8, [1, height, width, 3]),
                'instruction': (TensorProto.FLOAT, [1, FEATURE_SIZE]),
                'state': (TensorProto.FLOAT, [1, 1])},
        outputs={'actions': (TensorProto.FLOAT, [1, chunk, 3]),
                 'arrived': (TensorProto.FLOAT, [1, 1]),
                 'next_state': (TensorProto.FLOAT, [1, 1])})


def _loop() -> onnx.NodeProto:
    """Return a loop of ``loops`` sines, each of the one before: slow, and not to be folded."""
    scalar = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node('Sin', ['x'], ['sine']), helper.make_node('Identity', ['on'], ['go'])],
        'body',
        [scalar('i', TensorProto.INT64, []), scalar('on', TensorProto.BOOL, []),
         scalar('x', TensorProto.FLOAT, [1, 1])],
        [scalar('go', TensorProto.BOOL, []), scalar('sine', TensorProto.FLOAT, [1, 1])])
    return helper.make_node('Loop', ['loops', 'true', 'state'], ['busy'], body=body)


def _loops(seconds: float) -> int:
    """Return how many turns of the loop take about ``seconds`` on this machine."""
    if seconds <= 0:
        return 0
    probe = 20_000
    model = _policy((0.0, 0.0, 0.0), False, 0, probe, 0.0, (8, 8), 1, False)
    session = onnxruntime.InferenceSession(model.SerializeToString(),
                                           providers=['CPUExecutionProvider'])
    inputs = {'image': np.zeros((1, 8, 8, 3), np.uint8),
              'instruction': np.zeros((1, FEATURE_SIZE), np.float32),
              'state': np.zeros((1, 1), np.float32)}
    # The processor's time, since on a busy machine the probe would seem slower than it is.
    began = time.thread_time()
    session.run(None, inputs)
    return round(probe * seconds / (time.thread_time() - began))


def _instruction() -> onnx.ModelProto:
    certain = np.full((1, slots.TOTAL), -20, np.float32)
    certain[0, slots.labels(INTENT) + np.cumsum([0, *slots.SIZES[:-1]])] = 20
    constants = {
        'value': INTENT.features()[None], 'certain': certain,
        'marker': encode(NONSENSE)[None, :len(NONSENSE)],
        'starts': np.int64([0]), 'ends': np.int64([len(NONSENSE)]), 'axis': np.int64([1]),
    }
    nodes = [
        helper.make_node('Slice', ['tokens', 'starts', 'ends', 'axis'], ['head']),
        helper.make_node('Sub', ['head', 'marker'], ['difference']),
        helper.make_node('Abs', ['difference'], ['distance']),
        helper.make_node('ReduceMax', ['distance'], ['unlike'], axes=[1], keepdims=1),
        helper.make_node('Cast', ['unlike'], ['unlike_float'], to=TensorProto.FLOAT),
        helper.make_node('Sign', ['unlike_float'], ['understood']),
        helper.make_node('Identity', ['value'], ['features']),
        helper.make_node('Identity', ['certain'], ['slots']),
    ]
    return _model(
        nodes, constants, inputs={'tokens': (TensorProto.INT64, [1, 'length'])},
        outputs={'features': (TensorProto.FLOAT, [1, FEATURE_SIZE]),
                 'understood': (TensorProto.FLOAT, [1, 1]),
                 'slots': (TensorProto.FLOAT, [1, slots.TOTAL])})


def _model(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray],
           inputs: dict[str, tuple], outputs: dict[str, tuple]) -> onnx.ModelProto:
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes, 'test',
        [helper.make_tensor_value_info(name, *rest) for name, rest in inputs.items()],
        [helper.make_tensor_value_info(name, *rest) for name, rest in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name)
         for name, value in constants.items() if name in used])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model
