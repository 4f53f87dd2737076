"""A network as an ONNX file: fp32, half precision, or eight bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn

from vla_nav.export.eight_bits import quantise
from vla_nav.policies.family_steps import TextStep
from vla_nav.policies.torch_graph import tracing
from vla_nav.policies.traceable import Traceable
from vla_nav.runtimes.bundle import BundleConfig
from vla_nav.runtimes.graph import METADATA, OUTPUTS, Arrays, describe
from vla_nav.training.graph import OPSET

# Protocol buffers end at 2 GiB; what is larger keeps its weights beside the graph.
ONE_FILE_BYTES = 2_000_000_000


def save_onnx(network: Traceable, config: BundleConfig, path: Path,
              calibration: Sequence[Arrays]) -> None:
    """Write the graph in the precision that ``config`` asks for, with its metadata."""
    assert config.export is not None
    # A head without a memory, say, has inputs that it does not read; they stay.
    _export(network.module, tuple(network.inputs.values()), path, list(network.inputs),
            list(OUTPUTS))
    if config.export.precision == 'int8':
        quantise(path, calibration, weights_only=network.text is not None)
    model = _taken(path)
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
