"""A network as an ONNX file: fp32, half precision, or eight bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import torch
from torch import nn

from vla_nav.export.cells import as_products
from vla_nav.export.eight_bits import halve, quantised
from vla_nav.export.finite import check_model
from vla_nav.policies.family_steps import TextStep
from vla_nav.policies.torch_graph import tracing
from vla_nav.policies.traceable import Traceable
from vla_nav.runtimes.bundle import BundleConfig, Precision
from vla_nav.runtimes.graph import FEATURES, METADATA, Arrays, describe, given
from vla_nav.training.graph import OPSET

# Protocol buffers end at 2 GiB; what is larger keeps its weights beside the graph.
ONE_FILE_BYTES = 2_000_000_000
# Its memory adds up what computing in half precision loses, to more than the bound allows; its
# weights, which its bundle keeps so too, lose nothing.
_STORED_HALVED = 'compact'


def save_onnx(network: Traceable, config: BundleConfig, path: Path,
              calibration: Sequence[Arrays]) -> None:
    """Write the graph in the precision that ``config`` asks for, with its metadata."""
    assert config.export is not None
    precision = config.export.precision
    # A head without a memory, say, has inputs that it does not read; they stay.
    call = (network.module, tuple(network.inputs.values()), list(network.inputs),
            list(given(network.outputs)))
    if precision == 'int8':
        with as_products(network.module), _exported(path, *call) as raw:
            model = quantised(raw, calibration, weights_only=network.text is not None)
    else:
        with _exported(path, *call) as raw:
            if precision == 'fp16' and config.architecture == _STORED_HALVED:
                model = onnx.load(raw)
                halve(model.graph)
            elif precision == 'fp16':
                from onnxruntime.transformers.float16 import convert_float_to_float16
                # By its path: the shapes of a model above 2 GiB can be inferred only from files.
                model = convert_float_to_float16(str(raw), keep_io_types=True)
            else:
                model = onnx.load(raw)
    _save(model, path, {METADATA: describe(config)})


def save_text(text: TextStep, path: Path, precision: Precision) -> None:
    """Write the graph that reads instructions.

    It runs on the processor, once for each instruction, so that fp16 and int8 are how its weights
    are stored; it computes in fp32. bf16, which is a way to compute, leaves it as it is.
    """
    ids = text.tokens(next(iter(text.ids)))
    _save_stored(text, ids, list(next(iter(text.ids.values()))), text.outputs, path, precision)


def save_memory(network: Traceable, path: Path, precision: Precision) -> None:
    """Write the graph of the memory alone; its precision is how its weights are stored."""
    assert network.memory is not None
    example = (torch.zeros(1, network.memory.features), network.inputs['state'])
    # Eight bits are for products.
    with as_products(network.memory) if precision == 'int8' else nullcontext():
        _save_stored(network.memory, example, [FEATURES, 'state'], ['next_state'], path,
                     precision)


def _save_stored(module: nn.Module, example: tuple[Any, ...], inputs: list[str],
                 outputs: list[str], path: Path, precision: Precision) -> None:
    with _exported(path, module, example, inputs, outputs) as raw:
        if precision == 'int8':
            model = quantised(raw, [], weights_only=True)
        else:
            model = onnx.load(raw)
            if precision == 'fp16':
                halve(model.graph)
    _save(model, path, {})


@contextmanager
def _exported(path: Path, module: nn.Module, example: tuple[Any, ...], inputs: list[str],
              outputs: list[str]) -> Iterator[Path]:
    """Export to a folder beside ``path`` that ends with the block.

    Above 2 GiB the exporter writes a file for each weight, none of which belongs to the bundle.
    """
    with TemporaryDirectory(prefix='.exported-', dir=path.parent) as folder:
        raw = Path(folder) / path.name
        with tracing():
            torch.onnx.export(module, example, str(raw), opset_version=OPSET, dynamo=False,
                              input_names=inputs, output_names=outputs)
        yield raw


def _save(model: Any, path: Path, metadata: dict[str, str]) -> None:
    check_model(model, path)
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
