"""Proof that every activation was replaced: in the modules and in the exported graph."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, numpy_helper
from torch import nn

from vla_nav.detection.training.levels import ACTIVATIONS, LEAKY_SLOPE

# What a float graph holds for an activation; SiLU is a pattern of two nodes.
_OPERATOR = {'relu': 'Relu', 'relu6': 'Clip', 'leaky': 'LeakyRelu', 'silu': 'Sigmoid'}
# Every operator of ONNX that bends its input number by number.
_BENT = {'Celu', 'Clip', 'Elu', 'Erf', 'Gelu', 'HardSigmoid', 'HardSwish', 'LeakyRelu', 'Mish',
         'PRelu', 'Relu', 'Selu', 'Sigmoid', 'Softplus', 'Softsign', 'Swish', 'Tanh',
         'ThresholdedRelu'}


def wrong_modules(model: nn.Module, activation: str) -> list[str]:
    """Return the activations of the module tree that are not ``activation``, by path.

    Softmax is no activation here: it weighs the bins of the distances and the attention.
    """
    wanted = ACTIVATIONS[activation][1]
    found = []
    for path, module in model.named_modules(remove_duplicate=False):
        if (type(module).__module__ == 'torch.nn.modules.activation'
                and not isinstance(module, (nn.Softmax, nn.Softmax2d))):
            if type(module) is not wanted:
                found.append(f'{path}: {type(module).__name__}')
            elif isinstance(module, nn.LeakyReLU) and module.negative_slope != LEAKY_SLOPE:
                found.append(f'{path}: LeakyReLU({module.negative_slope})')
    return found


def count_activations(model: nn.Module) -> int:
    """Return how often an activation is computed in a forward pass of the network."""
    return sum(type(module).__module__ == 'torch.nn.modules.activation'
               for _, module in model.named_modules(remove_duplicate=False))


def wrong_nodes(graph: ModelProto | Path, activation: str, count: int | None = None) -> list[str]:
    """Return the nodes of an ONNX graph that are another activation than ``activation``.

    One sigmoid is allowed: that of the class scores, which nothing multiplies by its own input.
    With ``count`` the activation must occur exactly so often, which a quantised graph, where it
    melts into its neighbours, need not fulfil. Raises ValueError for a file that is no graph.
    """
    model = graph if isinstance(graph, ModelProto) else _read(graph)
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found, right = [], 0
    for node in model.graph.node:
        if node.op_type not in _BENT:
            continue
        swish = _is_swish(node, readers)
        if node.op_type == 'Sigmoid' and not swish:
            if not _is_score(node, readers, {output.name for output in model.graph.output}):
                found.append(f'{node.name or node.output[0]}: Sigmoid away from the class scores')
        elif node.op_type == _OPERATOR[activation] and (
                swish if activation == 'silu' else _has_right_values(node, model)):
            right += 1
        else:
            kind = 'SiLU (Sigmoid x Mul)' if swish else node.op_type
            found.append(f'{node.name or node.output[0]}: {kind}')
    if count is not None and right != count:
        found.append(f'the graph: {right} times {activation}, the modules compute it {count} '
                     'times')
    return found


def _read(path: Path) -> ModelProto:
    try:
        return onnx.load(path)
    except Exception as error:  # protobuf's own kinds among them
        raise ValueError(f'{path}: cannot be read as an ONNX graph: {error}') from error


def _is_swish(node: NodeProto, readers: dict[str, list[NodeProto]]) -> bool:
    """Return whether a sigmoid's output is multiplied by its own input, quantised or not."""
    if node.op_type != 'Sigmoid':
        return False
    return any(after.op_type == 'Mul' for after in _beyond_quantisation(node, readers)) and any(
        other.op_type == 'Mul' for other in readers[node.input[0]])


def _is_score(node: NodeProto, readers: dict[str, list[NodeProto]], outputs: set[str]) -> bool:
    """Return whether a sigmoid ends in the graph's output, at most joined to the boxes."""
    direct = [reader for name in node.output for reader in readers.get(name, [])]
    # A graph in half precision casts its output back.
    if any(outputs & set(one.output)
           for one in (node, *direct) if one is node or one.op_type == 'Cast'):
        return True
    after = _beyond_quantisation(node, readers)
    return bool(after) and all(one.op_type in ('Concat', 'Transpose', 'Reshape')
                               and _is_score(one, readers, outputs) for one in after)


def _beyond_quantisation(node: NodeProto, readers: dict[str, list[NodeProto]]) -> list[NodeProto]:
    after = [reader for name in node.output for reader in readers.get(name, [])]
    return [beyond for one in after for beyond in (
        _beyond_quantisation(one, readers)
        if one.op_type in ('QuantizeLinear', 'DequantizeLinear', 'Cast') else [one])]


def _has_right_values(node: NodeProto, model: ModelProto) -> bool:
    """Return whether a LeakyRelu has our slope and a Clip the bounds of ReLU6."""
    if node.op_type == 'LeakyRelu':
        return any(attribute.name == 'alpha' and abs(attribute.f - LEAKY_SLOPE) < 1e-6
                   for attribute in node.attribute)
    if node.op_type == 'Clip':
        return [_constant(name, model) for name in node.input[1:]] == [0, 6]
    return True


def _constant(name: str, model: ModelProto) -> float | None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return float(numpy_helper.to_array(tensor))
    for node in model.graph.node:
        if name in node.output and node.op_type == 'Constant':
            return float(numpy_helper.to_array(node.attribute[0].t))
    return None
