"""A network's ONNX file in eight bits."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from vla_nav.runtimes.graph import Arrays

# Smaller layers cost nothing in floating point, and what they give steers all others.
_MIN_WEIGHT = 4096
_MIN_HALVED = 512
_BLOCK = 32  # weights that share a scale, where only weights are quantised


def quantised(path: Path, calibration: Sequence[Arrays], weights_only: bool) -> Any:
    """Return the model of an fp32 file, of any size, in eight bits.

    Static, by activations over ``calibration``: what the graph is fed; or ``weights_only``, for
    pretrained backbones, whose activations have outliers that eight bits do not hold (Dettmers
    et al. 2022, arXiv:2208.07339).
    """
    from onnxruntime.quantization import matmul_nbits_quantizer, shape_inference
    if weights_only:
        # It tells of every node that it leaves alone.
        logging.getLogger(matmul_nbits_quantizer.__name__).setLevel(logging.WARNING)
        model = onnx.load(path)
        quantizer = matmul_nbits_quantizer.MatMulNBitsQuantizer(
            model, bits=8, block_size=_BLOCK, is_symmetric=True,
            nodes_to_exclude=_constant(model.graph))
        quantizer.process()
        model = quantizer.model.model
    else:
        with TemporaryDirectory(prefix='.prepared-', dir=path.parent) as folder:
            prepared, beside = Path(folder) / 'prepared.onnx', _has_weights_beside(path)
            # Folds what is constant, so that weights are seen to be weights.
            shape_inference.quant_pre_process(
                str(path), str(prepared), skip_symbolic_shape=True, save_as_external_data=beside,
                all_tensors_to_one_file=True)
            model = _static(prepared, calibration, beside)
    halve(model.graph)
    return model


def _has_weights_beside(path: Path) -> bool:
    """Return whether a graph was too large for one file."""
    return any(tensor.external_data
               for tensor in onnx.load(path, load_external_data=False).graph.initializer)


def static(source: Any, path: Path, inputs: Iterable[Arrays], beside: bool = False,
           **which: list[str]) -> None:
    """Write ``source``, a file's name or a model, with eight-bit operators.

    Their ranges are taken over ``inputs``; ``which`` is ``nodes_to_quantize`` or
    ``nodes_to_exclude``. ``beside``: weights are written to a file of their own.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(inputs)

        def get_next(self) -> Arrays | None:
            return next(self._left, None)

    quantize_static(
        source, str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        # Seven bits a weight: processors without VNNI add two products in 16 bits, and what is
        # proved equal here must not saturate there.
        reduce_range=True, use_external_data_format=beside, **which)


def _static(source: Path, calibration: Sequence[Arrays], beside: bool) -> Any:
    path = source.with_name('static.onnx')
    graph = onnx.load(source).graph
    heavy = _heavy(graph)
    ends = _ends(graph, heavy)
    static(str(source), path, calibration, beside,
           nodes_to_quantize=[name for name in heavy if name not in ends])
    model = onnx.load(path)
    # Once each: the track policy sees a picture and its mirror image through the same weights.
    shared = {heavy[node.name]: node for node in model.graph.node if node.name in ends}
    for name, node in shared.items():
        _narrow(model.graph, name, node)
    return model


def _heavy(graph: Any) -> dict[str, str]:
    """Return the nodes whose weights are worth quantising, each with its weight's name."""
    large = {tensor.name for tensor in graph.initializer
             if np.prod(tensor.dims) >= _MIN_WEIGHT}
    found = {}
    for node in graph.node:
        weights = large.intersection(node.input)
        if node.op_type in ('Conv', 'Gemm', 'MatMul') and weights:
            found[node.name] = weights.pop()
    return found


def _ends(graph: Any, heavy: Collection[str]) -> set[str]:
    """Return the heavy nodes that an input reaches through no other, and those before an output.

    Rounding what goes into the first layers and comes out of the last costs most of the accuracy
    that eight bits lose, and it is customary to leave them alone (Choi et al. 2018,
    arXiv:1805.06085).
    """
    ends = set()
    for nodes, start, come, go in ((graph.node, graph.input, 'input', 'output'),
                                   (reversed(graph.node), graph.output, 'output', 'input')):
        reached = {tensor.name for tensor in start}
        for node in nodes:
            if reached.isdisjoint(getattr(node, come)):
                continue
            if node.name in heavy:
                ends.add(node.name)
            else:
                reached.update(getattr(node, go))
    return ends


def _constant(graph: Any) -> list[str]:
    """Return the nodes that no input reaches, such as a query that has been learned.

    Runtimes compute them once, at the start; OpenVINO cannot where their weights have eight bits.
    """
    reached, constant = {tensor.name for tensor in graph.input}, []
    for node in graph.node:
        if reached.isdisjoint(node.input):
            constant.append(node.name)
        else:
            reached.update(node.output)
    return constant


def _narrow(graph: Any, name: str, node: Any) -> None:
    """Store the weight ``name`` of ``node`` in eight bits, widened where it is loaded."""
    tensor = next(one for one in graph.initializer if one.name == name)
    weight = numpy_helper.to_array(tensor)
    transposed = any(one.name == 'transB' and one.i for one in node.attribute)
    axis = 0 if node.op_type == 'Conv' or transposed else 1  # of the layer's outputs
    others = tuple(other for other in range(weight.ndim) if other != axis)
    largest = np.abs(weight).max(others, keepdims=True)
    scale = (np.where(largest > 0, largest, 1.0) / 127).astype(np.float32)
    graph.initializer.remove(tensor)
    graph.initializer.extend([
        numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), f'{name}_eight'),
        numpy_helper.from_array(scale.ravel(), f'{name}_scale')])
    graph.node.insert(0, onnx.helper.make_node(
        'DequantizeLinear', [f'{name}_eight', f'{name}_scale'], [name], axis=axis))


def halve(graph: Any) -> None:
    """Store what is left in fp32 and large in half precision, widened where it is loaded."""
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _MIN_HALVED:
            continue
        narrow = f'{tensor.name}_half'
        graph.node.insert(0, onnx.helper.make_node('Cast', [narrow], [tensor.name],
                                                   to=onnx.TensorProto.FLOAT))
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), narrow))
