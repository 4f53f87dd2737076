"""Each rule of Ethos-N on a graph of one operator, on both sides of its limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from vla_nav.detection.npu.ethos_n import reason
from vla_nav.detection.npu.graph import Node, nodes_of, read_graph
from vla_nav.detection.npu.problems import NpuError


def _model(operator, shapes, constants=(), outputs=1, **attributes) -> onnx.ModelProto:
    """Return a graph of one operator: computed inputs of ``shapes``, then the constants."""
    sources = [helper.make_tensor_value_info(f'x{i}', TensorProto.FLOAT, shape)
               for i, shape in enumerate(shapes)]
    weights = [numpy_helper.from_array(value, f'c{i}') for i, value in enumerate(constants)
               if value is not None]
    names = [s.name for s in sources] + ['' if value is None else f'c{i}'
                                         for i, value in enumerate(constants)]
    results = [f'y{i}' for i in range(outputs)]
    node = helper.make_node(operator, names, results, name='it', **attributes)
    graph = helper.make_graph(
        [node], 'one', sources,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results],
        weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
    return shape_inference.infer_shapes(model, data_prop=True)


def _node(*args, **kwargs) -> Node:
    nodes = nodes_of(_model(*args, **kwargs))
    assert len(nodes) == 1
    return nodes[0]


def _weights(*shape):
    return np.zeros(shape, np.float32)


def _conv(kernel=3, stride=1, pad=1, group=1, out=16, dilation=1, channels=16):
    return _node('Conv', [(1, channels, 40, 40)],
                 [_weights(out, channels // group, kernel, kernel)],
                 kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4, group=group,
                 dilations=[dilation] * 2)


def _up(**kwargs):
    attributes = {'kernel_shape': [2, 2], 'strides': [2, 2], **kwargs}
    return _node('ConvTranspose', [(1, 16, 10, 10)],
                 [_weights(16, 16 // kwargs.get('group', 1), *attributes['kernel_shape'])],
                 **attributes)


def _pool(kernel, stride, pads, side=20, operator='MaxPool'):
    return _node(operator, [(1, 16, side, side)], kernel_shape=[kernel] * 2,
                 strides=[stride] * 2, pads=pads)


def _resize(scale, mode='nearest'):
    return _node('Resize', [(1, 16, 10, 10)],
                 [None, np.array([1, 1, scale, scale], np.float32)], mode=mode)


def _clip(low, high):
    return _node('Clip', [(1, 16, 4, 4)], [np.float32(low), np.float32(high)])


def _pad(pads, value=0.0):
    return _node('Pad', [(1, 16, 4, 4)], [np.array(pads, np.int64), np.float32(value)])


def _mean(side, axes=(2, 3)):
    return _node('ReduceMean', [(1, 16, side, side)], [np.array(axes, np.int64)])


_A = (1, 16, 8, 8)
_BOTH_SIDES = {
    'kernel': (_conv(5, pad=2), _conv(4)),
    'stride': (_conv(stride=2), _conv(stride=3)),
    'large kernel': (_conv(9, pad=4), _conv(9, stride=2, pad=4)),
    'padding': (_conv(3, pad=7), _conv(3, pad=8)),
    'groups': (_conv(group=16), _conv(group=4)),
    'depthwise multiplier': (_conv(group=16), _conv(group=16, out=32)),
    'dilation': (_conv(), _conv(dilation=2, pad=2)),
    'weights': (_conv(), _node('Conv', [_A, (16, 16, 3, 3)])),
    'dimensions of a convolution': (_conv(), _node('Conv', [(1, 16, 8)], [_weights(16, 16, 3)])),
    'stride of a transposed convolution': (_up(), _up(strides=[1, 1])),
    'kernel of a transposed convolution': (_up(), _up(kernel_shape=[4, 4])),
    'groups of a transposed convolution': (_up(), _up(group=2)),
    'output padding': (_up(), _up(output_padding=[1, 1])),
    'addition': (_node('Add', [_A, _A]), _node('Add', [_A, (1, 16, 1, 1)])),
    'addition of a constant': (_node('Add', [_A], [_weights(1)]),
                               _node('Add', [_A], [_weights(1, 16, 1, 1)])),
    'product': (_node('Mul', [_A], [_weights(1, 16, 1, 1)]), _node('Mul', [_A, _A])),
    'product with a constant': (_node('Mul', [_A], [np.float32(2)]),
                                _node('Mul', [_A], [_weights(1, 1, 8, 8)])),
    'product of what is no picture': (_node('Mul', [(1, 4, 96)], [_weights(1)]),
                                      _node('Mul', [(1, 4, 96)], [_weights(1, 96)])),
    'channels joined': (_node('Concat', [_A, (1, 32, 8, 8)], axis=1),
                        _node('Concat', [_A, (1, 24, 8, 8)], axis=1)),
    'axis joined': (_node('Concat', [(1, 3, 8, 8)] * 2, axis=2),
                    _node('Concat', [(1, 3, 8, 8)] * 2, axis=0)),
    'channels of what is no picture': (_node('Concat', [(1, 3, 16)] * 2, axis=2),
                                       _node('Concat', [(1, 3, 10)] * 2, axis=-1)),
    'channels split': (_node('Split', [(1, 32, 8, 8)], outputs=2, axis=1, num_outputs=2),
                       _node('Split', [(1, 24, 8, 8)], outputs=2, axis=1, num_outputs=2)),
    'leaky': (_node('LeakyRelu', [_A], alpha=0.1), _node('LeakyRelu', [_A], alpha=1.0)),
    'bounds': (_clip(0, 6), _clip(6, 0)),
    'bounds given': (_clip(0, 6), _node('Clip', [_A], [np.float32(0)])),
    'pool of stride 1': (_pool(5, 1, [2] * 4), _pool(5, 1, [1] * 4)),
    'size with SAME': (_pool(17, 1, [8] * 4), _pool(19, 1, [9] * 4)),
    'size with VALID': (_pool(9, 1, [0] * 4), _pool(10, 1, [0] * 4)),
    'pool of stride 2': (_pool(3, 2, [0] * 4, 21), _pool(4, 2, [0] * 4)),
    'pool of stride 3': (_pool(2, 2, [0] * 4), _pool(2, 3, [0] * 4)),
    'even sides': (_pool(2, 2, [0] * 4, 20), _pool(2, 2, [0] * 4, 21)),
    'odd sides': (_pool(2, 2, [0, 0, 1, 1], 21), _pool(2, 2, [0, 0, 1, 1], 20)),
    'sides for a window of 3': (_pool(3, 2, [0, 0, 1, 1], 20), _pool(3, 2, [0, 0, 1, 1], 21)),
    'padding before': (_pool(3, 2, [0, 0, 1, 1], 20), _pool(3, 2, [1] * 4, 20)),
    'width of a window of 3': (_pool(3, 2, [0] * 4, 417), _pool(3, 2, [0] * 4, 419)),
    'window of 1': (_pool(1, 2, [0] * 4), _pool(1, 3, [0] * 4)),
    'window in the picture': (_pool(17, 1, [8] * 4, 17), _pool(17, 1, [8] * 4, 16)),
    'average': (_pool(3, 1, [1] * 4, operator='AveragePool'),
                _pool(3, 2, [1] * 4, operator='AveragePool')),
    'average of all': (_pool(7, 1, [0] * 4, 7, 'AveragePool'),
                       _pool(6, 1, [0] * 4, 6, 'AveragePool')),
    'global average': (_node('GlobalAveragePool', [(1, 16, 8, 8)]),
                       _node('GlobalAveragePool', [(1, 16, 10, 10)])),
    'mean': (_mean(8), _mean(9)),
    'axes of a mean': (_mean(8), _mean(8, (1, 2))),
    'resize': (_resize(2), _resize(3)),
    'way of resizing': (_resize(2, 'linear'), _resize(2, 'cubic')),
    'sides padded': (_pad([0, 0, 1, 7, 0, 0, 2, 3]), _pad([0, 0, 8, 0, 0, 0, 0, 0])),
    'channels padded': (_pad([0, 0, 1, 1, 0, 0, 1, 1]), _pad([0, 1, 0, 0, 0, 0, 0, 0])),
    'value padded': (_pad([0, 0, 1, 1, 0, 0, 1, 1]), _pad([0, 0, 1, 1, 0, 0, 1, 1], 1.0)),
    'transpose': (_node('Transpose', [_A], perm=[0, 2, 3, 1]),
                  _node('Transpose', [(1, 1, 8, 8)], perm=[1, 0, 2, 3])),
    'depth to space': (_node('DepthToSpace', [_A], blocksize=2),
                       _node('DepthToSpace', [_A], blocksize=4)),
    'fully connected': (_node('Gemm', [(1, 64)], [_weights(64, 9)]),
                        _node('MatMul', [(1, 2, 8, 8), (1, 2, 8, 8)])),
    'rows': (_node('MatMul', [(1, 64)], [_weights(64, 9)]),
             _node('MatMul', [(1, 8, 64)], [_weights(64, 9)])),
    'batch': (_node('Relu', [(1, 16, 4, 4)]), _node('Relu', [(2, 16, 4, 4)])),
    'dimensions': (_node('Relu', [(1, 16, 4, 4)]), _node('Relu', [(1, 1, 16, 4, 4)])),
    'depth': (_node('Relu', [(1, 16384, 2, 2)]), _node('Relu', [(1, 16385, 2, 2)])),
    'depth of a column': (_node('Relu', [(1, 16385, 2, 1)]), _node('Relu', [(1, 16385, 1, 2)])),
    'operator': (_node('Sigmoid', [_A]), _node('Softmax', [_A])),
}


@pytest.mark.parametrize('rule', _BOTH_SIDES)
def test_an_operator_is_computed_by_the_npu_up_to_the_limit_of_its_rule(rule):
    inside, outside = _BOTH_SIDES[rule]
    assert reason(inside) == ''
    assert reason(outside)


def test_the_reason_says_what_is_wrong():
    assert reason(_conv(4)) == 'kernel 4 x 4: each side must be one of (1, 2, 3, 5, 7, 9)'
    assert reason(_node('Softmax', [_A])) == 'Softmax is not among the supported operators'
    assert reason(_node('Concat', [_A, (1, 24, 8, 8)], axis=1)) == (
        'an input has 24 channels, which is no multiple of 16')


@pytest.mark.parametrize('node, macs', [
    (_conv(3), 40 * 40 * 16 * 16 * 9),
    (_conv(3, stride=2), 20 * 20 * 16 * 16 * 9),
    (_conv(3, group=16), 40 * 40 * 16 * 9),
    (_up(), 10 * 10 * 16 * 16 * 4),
    (_node('MatMul', [(1, 2, 5, 7), (1, 2, 7, 3)]), 2 * 5 * 3 * 7),
    (_node('Gemm', [(1, 64)], [_weights(9, 64)], transB=1), 64 * 9),
    (_node('Relu', [_A]), 0),
])
def test_multiplications_are_counted(node, macs):
    assert node.macs == macs


def test_how_numbers_are_stored_is_no_operator(tmp_path: Path):
    scale, zero = np.float32(0.1), np.uint8(3)
    nodes = [helper.make_node('QuantizeLinear', ['x', 'scale', 'zero'], ['q']),
             helper.make_node('DequantizeLinear', ['q', 'scale', 'zero'], ['d']),
             helper.make_node('DequantizeLinear', ['w', 'scale', 'zero'], ['weights']),
             helper.make_node('Conv', ['d', 'weights'], ['y'], name='conv')]
    graph = helper.make_graph(
        nodes, 'eight', [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in (
            ('scale', scale), ('zero', zero), ('w', np.zeros((8, 4, 3, 3), np.uint8)))])
    path = tmp_path / 'eight.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)]), path)
    (node,) = read_graph(path)
    assert (node.operator, node.macs, reason(node)) == ('Conv', 4 * 4 * 8 * 4 * 9, '')


def test_sizes_that_the_graph_computes_from_constants_are_known(tmp_path: Path):
    nodes = [helper.make_node('Shape', ['x'], ['shape']),
             helper.make_node('Gather', ['shape', 'two'], ['side']),
             helper.make_node('Div', ['side', 'half'], ['end']),
             helper.make_node('Slice', ['x', 'zero', 'end', 'two'], ['y'], name='slice')]
    graph = helper.make_graph(
        nodes, 'sizes', [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([value], np.int64), name)
         for name, value in (('two', 2), ('half', 2), ('zero', 0))])
    path = tmp_path / 'sizes.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)]), path)
    (node,) = read_graph(path)
    assert (node.name, node.outputs[0].shape) == ('slice', (1, 4, 3, 6))


def test_a_graph_of_unknown_size_is_refused(tmp_path: Path):
    graph = helper.make_graph(
        [helper.make_node('Relu', ['x'], ['y'])], 'any',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', 3, 6, 6])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)])
    path = tmp_path / 'any.onnx'
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)]), path)
    with pytest.raises(NpuError, match='fixed picture size'):
        read_graph(path)


def test_what_is_no_graph_is_refused(tmp_path: Path):
    path = tmp_path / 'no.onnx'
    path.write_bytes(b'no')
    with pytest.raises(NpuError, match=r'no\.onnx: cannot be read as ONNX'):
        read_graph(path)
