"""An ONNX graph as what an operator rule asks for: nodes, shapes, constants, MACs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, shape_inference
from onnxscript.optimizer import optimize

from vla_nav.detection.npu.problems import NpuError

# Larger constants are weights, whose values no rule looks at.
_VALUES = 1 << 16
# They say how a tensor is stored, not what is computed; on an NPU they are part of its neighbours.
_STORAGE = ('Identity', 'QuantizeLinear', 'DequantizeLinear')


@dataclass(frozen=True)
class Tensor:
    """A node's input or output; ``value`` is there for small constants only."""

    shape: tuple[int, ...]
    constant: bool = False
    value: NDArray[Any] | None = None


@dataclass(frozen=True)
class Node:
    """One operator of the graph; an optional input that is not given is None."""

    name: str
    operator: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> tuple[Tensor, ...]:
        """Return the inputs that are not constants."""
        return tuple(tensor for tensor in self.inputs if tensor and not tensor.constant)

    def constant(self, index: int) -> NDArray[Any] | None:
        """Return the value of a constant input, or None where there is none of that number."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return tensor.value if tensor else None

    @property
    def macs(self) -> int:
        """Return how often it multiplies and accumulates for one picture."""
        if self.operator not in ('Conv', 'ConvTranspose', 'MatMul', 'Gemm'):
            return 0
        source, weights = self.inputs[0], self.inputs[1]
        assert source is not None and weights is not None
        out = math.prod(self.outputs[0].shape)
        if self.operator == 'Conv':
            return out * math.prod(weights.shape[1:])
        if self.operator == 'ConvTranspose':
            return math.prod(source.shape) * math.prod(weights.shape[1:])
        inner = source.shape[0 if self.attributes.get('transA') else -1]
        return out * inner


def read_graph(path: Path, picture: tuple[int, int] | None = None) -> list[Node]:
    """Return the nodes of an ONNX file that compute something, in order.

    ``picture`` is the height and width of a graph that takes any. Raises NpuError where the file
    is no ONNX graph, or the shapes depend on the input.
    """
    try:
        model = onnx.load(path)
        if picture is not None:
            _fix(model.graph, picture)
        model = as_run(model)
    except Exception as error:  # protobuf and onnx have no common one
        raise NpuError(f'{path}: cannot be read as ONNX: {error}; export it again') from error
    return nodes_of(model, str(path))


def _fix(graph: onnx.GraphProto, picture: tuple[int, int]) -> None:
    """Give the pictures that a graph takes a size where they have none."""
    del graph.value_info[:]  # sizes that were words
    for output in graph.output:
        output.type.tensor_type.ClearField('shape')
    sides = graph.input[0].type.tensor_type.shape.dim[2:]
    for side, size in zip(sides, picture):
        if not side.HasField('dim_value'):
            side.dim_value = size


def as_run(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph with what is constant computed, and the sizes of all tensors."""
    # Some exporters compute sizes by operators that shape inference cannot follow.
    return shape_inference.infer_shapes(optimize(model), data_prop=True)


def nodes_of(model: onnx.ModelProto, where: str = 'the graph') -> list[Node]:
    """Return the nodes of a model whose shapes are inferred; see :func:`read_graph`."""
    tensors = _known(model.graph)
    nodes = []
    for proto in model.graph.node:
        attributes = {a.name: _plain(onnx.helper.get_attribute_value(a)) for a in proto.attribute}
        if proto.op_type == 'Constant':
            tensors[proto.output[0]] = _constant(np.asarray(next(iter(attributes.values()))))
            continue
        inputs = tuple(_get(tensors, name, proto, where) if name else None
                       for name in proto.input)
        if proto.op_type in _STORAGE and inputs[0] is not None:
            tensors[proto.output[0]] = inputs[0]
            continue
        names = [name for name in proto.output if name]
        outputs = tuple(_get(tensors, name, proto, where) for name in names)
        # What follows from constants and shapes alone is computed before the network runs.
        if proto.op_type == 'Shape' or all(tensor is None or tensor.constant for tensor in inputs):
            tensors |= {name: Tensor(tensors[name].shape, constant=True) for name in names}
            continue
        nodes.append(Node(proto.name or proto.output[0], proto.op_type, inputs, outputs,
                          attributes))
    return nodes


def _known(graph: onnx.GraphProto) -> dict[str, Tensor]:
    tensors = {}
    for info in (*graph.input, *graph.value_info, *graph.output):
        sizes = info.type.tensor_type.shape.dim
        if all(size.HasField('dim_value') for size in sizes):
            tensors[info.name] = Tensor(tuple(size.dim_value for size in sizes))
    return tensors | {weights.name: _constant(numpy_helper.to_array(weights))
                      for weights in graph.initializer}


def _constant(value: NDArray[Any]) -> Tensor:
    return Tensor(value.shape, True, value if value.size <= _VALUES else None)


def _plain(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return value.decode() if isinstance(value, bytes) else value


def _get(tensors: Mapping[str, Tensor], name: str, node: onnx.NodeProto, where: str) -> Tensor:
    if name not in tensors:
        raise NpuError(f'{where}: the shape of {name!r} at {node.op_type} {node.name!r} is not '
                       'known; export with a fixed picture size and batch 1')
    return tensors[name]
