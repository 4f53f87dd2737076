"""A network as an ONNX file: fp32, half precision, or eight bits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from vla_nav.policies.family_steps import TextStep
from vla_nav.policies.torch_graph import tracing
from vla_nav.policies.traceable import Traceable
from vla_nav.runtimes.bundle import BundleConfig
from vla_nav.runtimes.graph import METADATA, OUTPUTS, Arrays, describe
from vla_nav.training.graph import OPSET

# Protocol buffers end at 2 GiB; what is larger keeps its weights beside the graph.
ONE_FILE_BYTES = 2_000_000_000
# Smaller layers cost nothing in floating point, and what they give steers all others.
_MIN_WEIGHT = 4096
_MIN_HALVED = 512
_BLOCK = 32  # weights that share a scale, where only weights are quantised


def save_onnx(network: Traceable, config: BundleConfig, path: Path,
              calibration: Sequence[Arrays]) -> None:
    """Write the graph in the precision that ``config`` asks for, with its metadata."""
    assert config.export is not None
    # A head without a memory, say, has inputs that it does not read; they stay.
    _export(network.module, tuple(network.inputs.values()), path, list(network.inputs),
            list(OUTPUTS))
    if config.export.precision == 'int8':
        _quantise(network, path, calibration)
    model = _taken(path)
    if config.export.precision == 'int8':
        _halve(model.graph)
    if config.export.precision == 'fp16':
        from onnxruntime.transformers.float16 import convert_float_to_float16
        model = convert_float_to_float16(model, keep_io_types=True)
    _save(model, path, {METADATA: describe(config)})


def save_text(text: TextStep, path: Path) -> None:
    """Write the graph that reads instructions."""
    ids = text.tokens(next(iter(text.ids)))
    _export(text, ids, path, list(next(iter(text.ids.values()))), text.outputs)
    _save(_taken(path), path, {})


def _export(module: nn.Module, example: tuple[Any, ...], path: Path, inputs: list[str],
            outputs: list[str]) -> None:
    with tracing():
        torch.onnx.export(module, example, str(path), opset_version=OPSET, dynamo=False,
                          input_names=inputs, output_names=outputs)


def _save(model: Any, path: Path, metadata: dict[str, str]) -> None:
    onnx.helper.set_model_props(model, metadata)
    # Protocol buffers that are too large cannot even tell their size.
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > ONE_FILE_BYTES:
        onnx.save_model(model, path, save_as_external_data=True, all_tensors_to_one_file=True,
                        location=data_of(path).name, size_threshold=1024)
    else:
        onnx.save_model(model, path)


def data_of(path: Path) -> Path:
    """Return where a graph that is too large for one file keeps its weights."""
    return path.with_name(f'{path.name}.data')


def _taken(path: Path) -> Any:
    """Return the model, and remove what the exporter wrote beside it: above 2 GiB, each weight."""
    beside = {entry.value
              for tensor in onnx.load(path, load_external_data=False).graph.initializer
              for entry in tensor.external_data if entry.key == 'location'}
    model = onnx.load(path)
    for name in beside:
        (path.parent / name).unlink()
    return model


def _quantise(network: Traceable, path: Path, calibration: Sequence[Arrays]) -> None:
    """Replace the file by an eight-bit one.

    Static, by activations over ``calibration``; behind a pretrained backbone weights only, whose
    activations have outliers that eight bits do not hold (Dettmers et al. 2022,
    arXiv:2208.07339).
    """
    from onnxruntime.quantization import matmul_nbits_quantizer, shape_inference
    prepared = path.with_suffix('.prepared.onnx')
    if network.text is not None:
        # It tells of every node that it leaves alone.
        logging.getLogger(matmul_nbits_quantizer.__name__).setLevel(logging.WARNING)
        quantizer = matmul_nbits_quantizer.MatMulNBitsQuantizer(
            onnx.load(path), bits=8, block_size=_BLOCK, is_symmetric=True)
        quantizer.process()
        onnx.save_model(quantizer.model.model, path)
        return
    try:
        # Folds what is constant, so that weights are seen to be weights.
        shape_inference.quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        _static(prepared, path, calibration)
    finally:
        prepared.unlink(missing_ok=True)


def _static(source: Path, path: Path, calibration: Sequence[Arrays]) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(calibration)

        def get_next(self) -> Arrays | None:
            return next(self._left, None)

    quantize_static(
        str(source), str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        nodes_to_quantize=_heavy(onnx.load(source)), activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        # Seven bits a weight: processors without VNNI add two products in 16 bits, and what is
        # proved equal here must not saturate there.
        reduce_range=True)


def _halve(graph: Any) -> None:
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


def _heavy(model: Any) -> list[str]:
    """Return the names of the nodes whose weights are worth quantising."""
    sizes = {tensor.name: int(torch.tensor(tensor.dims).prod())
             for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node
            if node.op_type in ('Conv', 'Gemm', 'MatMul')
            and max((sizes.get(name, 0) for name in node.input), default=0) >= _MIN_WEIGHT]
