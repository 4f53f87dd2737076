"""Which operators of a graph an Ethos-N78 computes, by Arm's published rules.

The rules are those of ``SUPPORTED.md`` of the Arm Ethos-N driver stack, release 25.03
(Apache-2.0), for 8-bit quantised networks by way of Arm NN. Where that document is silent (padding
of convolutions, dilation, groups) or mistaken (sides for a pooling window of 3) the checks of the
same release's ``SupportQueries.cpp`` hold. The driver's code has also a multiplication of two
tensors that the document does not list; here the document counts.

Ranges of quantisation, which depend on the calibration, are taken as met: an operator that is
listed as supported here can still fall back if its scales are extreme.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from vla_nav.detection.npu.graph import Node, Tensor

RULES_NAME: Final = 'Arm Ethos-N driver stack, SUPPORTED.md'
RULES_VERSION: Final = '25.03'
SRAM_BYTES: Final = 1 << 20  # of the 4 TOPS variant, which the driver's tools assume by default
_KERNELS = (1, 2, 3, 5, 7, 9)
_GROUP = 16  # channels that the hardware stores together
_MOST_PADDING = 7
_WIDEST_POOLED_BY_3 = 417
Rule = Callable[[Node], str]


def reason(node: Node) -> str:
    """Return why the operator is left to the CPU; '' where the NPU computes it."""
    rule = _RULES.get(node.operator)
    if rule is None:
        return f'{node.operator} is not among the supported operators'
    # Shapes, axes and the like come as inputs too; they are no tensors of the network.
    tensors = [tensor for tensor in (*node.data, *node.outputs)]
    return next((text for text in map(_tensor_reason, tensors) if text), '') or rule(node)


def _tensor_reason(tensor: Tensor) -> str:
    shape = tensor.shape
    if len(shape) > 4:
        return f'a tensor has {len(shape)} dimensions, at most 4 are supported'
    if shape and shape[0] != 1:
        return f'the batch dimension is {shape[0]}, not 1'
    depth, width = _depth(shape), shape[-1] if len(shape) == 4 else 0
    if width != 1 and 8 * 8 * depth > SRAM_BYTES:
        return f'{depth} channels: a piece of 8 x 8 does not fit in the SRAM'
    return ''


def _depth(shape: tuple[int, ...]) -> int:
    return shape[_channel_axis(len(shape))] if shape else 1


def _channel_axis(rank: int) -> int:
    # ONNX has channels second in pictures; anything flatter keeps its last axis as channels.
    return 1 if rank == 4 else rank - 1


def _convolution(node: Node) -> str:
    source, weights = node.inputs[0], node.inputs[1]
    assert source is not None and weights is not None
    if not weights.constant:
        return 'the weights are computed by the network'
    if len(weights.shape) != 4:
        return f'a convolution over {len(weights.shape) - 2} dimensions, not 2'
    groups, channels = node.attributes.get('group', 1), source.shape[1]
    if groups != 1 and not groups == channels == weights.shape[0]:
        return f'{groups} groups: neither 1 nor depthwise with a multiplier of 1'
    if max(node.attributes.get('dilations', [1])) != 1:
        return 'the kernel is dilated'
    return _kernel(weights.shape[2:], node, (1, 2))


def _transposed_convolution(node: Node) -> str:
    weights = node.inputs[1]
    assert weights is not None
    if not weights.constant:
        return 'the weights are computed by the network'
    if node.attributes.get('group', 1) != 1:
        return f'{node.attributes["group"]} groups: a transposed convolution has 1'
    if any(node.attributes.get('output_padding', [0])):
        return 'output padding is not supported'
    return _kernel(weights.shape[2:], node, (2,))


def _kernel(kernel: tuple[int, ...], node: Node, strides: tuple[int, ...]) -> str:
    if not set(kernel) <= set(_KERNELS):
        return f'kernel {_by(kernel)}: each side must be one of {_KERNELS}'
    stride = node.attributes.get('strides', [1, 1])
    if len(set(stride)) != 1 or stride[0] not in strides:
        return f'stride {_by(stride)}: must be {" or ".join(_by((s, s)) for s in strides)}'
    if max(kernel) > 7 and stride[0] != 1:
        return f'kernel {_by(kernel)} with stride {stride[0]}: beyond 7 only stride 1'
    padding = node.attributes.get('pads', [0])
    if max(padding) > _MOST_PADDING:
        return f'padding of {max(padding)}: at most {_MOST_PADDING} on a side'
    return ''


def _fully_connected(node: Node) -> str:
    weights = node.inputs[1]
    if weights is None or not weights.constant:
        return f'{node.operator} of two computed tensors; fully connected has constant weights'
    source = node.data[0].shape
    if math.prod(source[:-1]) != 1:
        return f'the input {_by(source)} is not one row, as fully connected needs it'
    return ''


def _addition(node: Node) -> str:
    if len(node.data) == 2 and node.data[0].shape == node.data[1].shape:
        return ''
    if _scalar(node):
        return ''
    return 'shapes differ: only equal shapes or a scalar constant are added'


def _multiplication(node: Node) -> str:
    if len(node.data) > 1:
        return 'multiplication of two computed tensors; only constants are supported'
    constant = next(t for t in node.inputs if t is not None and t.constant)
    data = node.data[0].shape
    depthwise = len(data) == 4 and _padded(constant.shape) == (1, data[1], 1, 1)
    if _scalar(node) or depthwise:
        return ''
    return f'the constant {_by(constant.shape)} is neither a scalar nor one number a channel'


def _padded(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (4 - len(shape)) + shape


def _scalar(node: Node) -> bool:
    return any(t is not None and t.constant and math.prod(t.shape) == 1 for t in node.inputs)


def _concatenation(node: Node) -> str:
    return _joints(node, (t for t in node.inputs if t is not None), 'input')


def _split(node: Node) -> str:
    return _joints(node, node.outputs, 'output')


def _joints(node: Node, parts: Iterable[Tensor], which: str) -> str:
    shapes = [part.shape for part in parts]
    rank = len(shapes[0])
    axis = node.attributes.get('axis', 0) % rank
    if axis == 0:
        return f'{node.operator} along the batch'
    if axis == _channel_axis(rank):
        for shape in shapes:
            if shape[axis] % _GROUP:
                return (f'an {which} has {shape[axis]} channels, which is no multiple of '
                        f'{_GROUP}')
    return ''


def _leaky(node: Node) -> str:
    alpha = node.attributes.get('alpha', 0.01)
    return '' if 0 < alpha < 1 else f'alpha is {alpha:g}, must lie between 0 and 1'


def _clip(node: Node) -> str:
    low, high = node.constant(1), node.constant(2)
    if low is None or high is None:
        return 'a bounded ReLU has two constant bounds'
    return '' if low < high else f'bounds {float(low):g} and {float(high):g} are not in order'


def _max_pool(node: Node) -> str:
    kernel, stride = node.attributes['kernel_shape'], node.attributes.get('strides', [1, 1])
    pads, sides = node.attributes.get('pads', [0, 0, 0, 0]), node.data[0].shape[2:]
    if max(node.attributes.get('dilations', [1])) != 1 or node.attributes.get('ceil_mode'):
        return 'dilated or rounded up'
    if any(side < size for side, size in zip(sides, kernel)):
        return f'the picture {_by(sides)} is smaller than the window {_by(kernel)}'
    if list(stride) == [1, 1]:
        same = [pads[i] + pads[i + 2] for i in (0, 1)] == [size - 1 for size in kernel]
        most = 17 if same else 9 if not any(pads) else 0
        return '' if max(kernel) <= most else (
            f'window {_by(kernel)}, padding {pads}: up to 17 with SAME, up to 9 without padding')
    if list(stride) != [2, 2] or len(set(kernel)) != 1 or kernel[0] not in (1, 2, 3):
        return f'window {_by(kernel)} with stride {_by(stride)}'
    if kernel[0] == 1:
        return '' if not any(pads) else f'window 1 x 1 with padding {pads}'
    after = {(0, 0, 0, 0): False, (0, 0, 1, 1): True}.get(tuple(pads))
    if after is None:
        return f'padding {pads} with stride 2: none, or 1 after'
    if kernel[0] == 3 and sides[1] > _WIDEST_POOLED_BY_3:
        return f'width {sides[1]}: at most {_WIDEST_POOLED_BY_3} for a 3 x 3 window'
    # Sizes for which the last window ends exactly at the (padded) edge.
    odd = after if kernel[0] == 2 else not after
    if any(side % 2 != odd for side in sides):
        return (f'window {_by(kernel)}, stride 2, {"padded" if after else "without padding"}: '
                f'sides must be {"odd" if odd else "even"}')
    return ''


def _average_pool(node: Node) -> str:
    kernel, stride = node.attributes['kernel_shape'], node.attributes.get('strides', [1, 1])
    pads, sides = node.attributes.get('pads', [0, 0, 0, 0]), node.data[0].shape[2:]
    if tuple(kernel) == tuple(sides) and not any(pads):
        return _mean_sides(sides)
    if [*kernel, *stride, *pads] == [3, 3, 1, 1, 1, 1, 1, 1]:
        return ''
    return f'window {_by(kernel)}, stride {_by(stride)}: only 3 x 3 with stride 1 and SAME'


def _mean_sides(sides: tuple[int, ...]) -> str:
    return '' if tuple(sides) in ((7, 7), (8, 8)) else (
        f'a mean over {_by(sides)}: only 7 x 7 and 8 x 8')


def _global_average(node: Node) -> str:
    return _mean_sides(node.data[0].shape[2:])


def _mean(node: Node) -> str:
    rank = len(node.data[0].shape)
    given = node.constant(1)
    axes = node.attributes.get('axes', [] if given is None else np.atleast_1d(given).tolist())
    if rank != 4 or sorted(axis % rank for axis in axes) != [2, 3]:
        return f'a mean over axes {list(axes)}: only over height and width'
    return _mean_sides(node.data[0].shape[2:])


def _resize(node: Node) -> str:
    source, result = node.data[0].shape, node.outputs[0].shape
    if len(source) != 4 or source[:2] != result[:2]:
        return 'only height and width are resized'
    if any(new not in (2 * old, 2 * old - 1) for old, new in zip(source[2:], result[2:])):
        return f'from {_by(source[2:])} to {_by(result[2:])}: only twice the size, or one less'
    mode = node.attributes.get('mode', 'nearest')
    return '' if mode in ('nearest', 'linear') else f'mode {mode}'


def _pad(node: Node) -> str:
    pads, value = node.constant(1), node.constant(2)
    if node.attributes.get('mode', 'constant') != 'constant' or (
            value is not None and np.any(value)):
        return 'only zeros are padded'
    if pads is None or len(pads) != 8 or np.any(pads[[0, 1, 4, 5]]):
        return 'only height and width are padded'
    return '' if 0 <= pads.min() and pads.max() <= _MOST_PADDING else (
        f'padding {pads.tolist()}: 0 to {_MOST_PADDING} on a side')


def _transpose(node: Node) -> str:
    order = node.attributes.get('perm', range(len(node.data[0].shape))[::-1])
    return '' if next(iter(order)) == 0 else 'the batch is transposed'


def _depth_to_space(node: Node) -> str:
    block = node.attributes['blocksize']
    return '' if block == 2 else f'block size {block}, only 2 is supported'


def _always(node: Node) -> str:
    return ''


_RULES: dict[str, Rule] = {
    'Add': _addition, 'AveragePool': _average_pool, 'Clip': _clip, 'Concat': _concatenation,
    'Conv': _convolution, 'ConvTranspose': _transposed_convolution,
    'DepthToSpace': _depth_to_space, 'Flatten': _always, 'Gemm': _fully_connected,
    'GlobalAveragePool': _global_average, 'LeakyRelu': _leaky, 'MatMul': _fully_connected,
    'MaxPool': _max_pool, 'Mul': _multiplication, 'Pad': _pad, 'ReduceMean': _mean,
    'Relu': _always, 'Reshape': _always, 'Resize': _resize, 'Sigmoid': _always, 'Split': _split,
    'Squeeze': _always, 'Tanh': _always, 'Transpose': _transpose, 'Unsqueeze': _always,
}


def _by(sizes: Iterable[int]) -> str:
    return ' x '.join(map(str, sizes))
