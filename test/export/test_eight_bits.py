"""Eight bits, on a chain of layers that is small enough to say what must happen to each."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from vla_nav.export.eight_bits import quantised

SIZE = 96
LAYERS = ('first', 'second', 'third', 'last')


def value(name):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, SIZE])


@pytest.fixture
def chain(tmp_path):
    """Four layers of two kinds; one column of weights is zero, as of a unit that has died."""
    rng, nodes, weights, given = np.random.default_rng(0), [], [], 'x'
    for number, name in enumerate(LAYERS):
        weight = rng.normal(0, SIZE ** -0.5, (SIZE, SIZE)).astype(np.float32)
        weight[:, 3] = 0
        weight[3, :] = 0
        weights.append(numpy_helper.from_array(weight, f'{name}_w'))
        kind, options = ('Gemm', {'transB': 1}) if number % 2 else ('MatMul', {})
        nodes += [helper.make_node(kind, [given, f'{name}_w'], [f'{name}_y'], name, **options),
                  helper.make_node('Relu', [f'{name}_y'], [f'{name}_z'], f'{name}_relu')]
        given = f'{name}_z'
    graph = helper.make_graph(nodes, 'chain', [value('x')], [value(given)], weights)
    path = tmp_path / 'chain.onnx'
    onnx.save_model(helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9), path)
    return path


def answers(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return np.concatenate([session.run(None, one)[0] for one in inputs])


def test_ends_keep_their_activations_and_the_middle_does_not(chain):
    rng = np.random.default_rng(1)
    inputs = [{'x': rng.normal(size=(1, SIZE)).astype(np.float32)} for _ in range(50)]
    before, size = answers(chain, inputs), chain.stat().st_size
    onnx.save_model(quantised(chain, inputs, weights_only=False), chain)
    after = answers(chain, inputs)
    assert chain.stat().st_size < size / 3
    assert np.abs(after - before).max() < 0.05 * np.abs(before).max()
    assert list(chain.parent.iterdir()) == [chain], 'something was left beside it'

    graph = onnx.load(chain).graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    layers = [node for node in graph.node if node.op_type in ('Gemm', 'MatMul')]
    assert [node.name for node in layers] == list(LAYERS)
    for node in layers:
        stored = makers[node.input[1]]
        assert stored.op_type == 'DequantizeLinear'
        assert kinds[stored.input[0]] == TensorProto.INT8
        rounded = node.input[0] in makers and makers[node.input[0]].op_type == 'DequantizeLinear'
        assert rounded == (node.name in ('second', 'third')), node.name
