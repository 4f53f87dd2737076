"""The network as an ONNX graph in ultralytics' layout: fp32, half precision, or eight bits."""

from __future__ import annotations

import copy
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto
from torch import Tensor, nn

from vla_nav.detection.training.yolo import ultralytics
from vla_nav.export.eight_bits import static

OPSET = 18
INPUT, OUTPUT = 'images', 'output0'
_ANY_SIZE = {INPUT: {2: 'height', 3: 'width'}, OUTPUT: {2: 'boxes'}}
Precision = Literal['fp32', 'fp16', 'int8']
# What a bundle calls its graphs.
FILES: dict[Precision, str] = {'fp32': 'detector.onnx', 'fp16': 'detector_fp16.onnx',
                               'int8': 'detector_int8.onnx'}


def export_graph(model: nn.Module, image_size: int, for_npu: bool = False) -> ModelProto:
    """Return the fp32 graph: ``images`` [1, 3, H, W] to boxes and scores [1, 4 + C, N].

    It takes any height and width in whole strides. ``for_npu`` only squares of ``image_size``,
    since an NPU's compiler knows one size, and ultralytics' own operators for the bins of a
    distance, which are slower on a processor.
    """
    model = copy.deepcopy(model).to('cpu', torch.float32).eval()
    with ultralytics('nn.modules') as modules:
        model.fuse(verbose=False)  # type: ignore[operator]
        for module in model.modules():
            if isinstance(module, modules.Detect):
                module.export, module.format, module.dynamic = True, 'onnx', not for_npu
            elif isinstance(module, modules.C2f):
                module.forward = module.forward_split  # one Split node, no computed slices
            elif isinstance(module, modules.DFL) and not for_npu:
                module.forward = _mean_bin
        return _simple(_traced(model, image_size, {} if for_npu else _ANY_SIZE))


def _mean_bin(logits: Tensor) -> Tensor:
    """Return the mean bin [B, 4, N] of four distances by their logits [B, 4 * bins, N].

    As ultralytics' DFL (Li et al. 2020, arXiv:2006.04388), without its softmax: over an axis that
    is not the last one it takes ONNX Runtime a tenth of the whole network's time or more.
    """
    batch, _, anchors = logits.shape
    logits = logits.view(batch, 4, -1, anchors)
    odds = (logits - logits.amax(2, keepdim=True)).exp()
    bins = torch.arange(odds.shape[2], dtype=odds.dtype)
    weighted, total = (torch.stack([bins, torch.ones_like(bins)]) @ odds).split(1, 2)
    return (weighted / total).view(batch, 4, anchors)


def _traced(model: nn.Module, image_size: int, free: dict[str, dict[int, str]]) -> bytes:
    with torch.inference_mode(), io.BytesIO() as buffer:
        # This exporter names nodes by their module, which the verifier's findings show.
        torch.onnx.export(model, (torch.zeros(1, 3, image_size, image_size),),
                          buffer,  # type: ignore[arg-type]  # as the library's text has it
                          opset_version=OPSET, dynamo=False, input_names=[INPUT],
                          output_names=[OUTPUT], dynamic_axes=free)
        return buffer.getvalue()


def _simple(traced: bytes) -> ModelProto:
    """Return the graph with what is constant computed, and the shape of every tensor."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / 'graph.onnx')
        onnxruntime.InferenceSession(traced, options, providers=['CPUExecutionProvider'])
        graph = onnx.load(options.optimized_model_filepath)
    # The runtime lists all operator sets that it knows; the graph needs but one.
    kept = [entry for entry in graph.opset_import if entry.domain in ('', 'ai.onnx')]
    del graph.opset_import[:]
    graph.opset_import.extend(kept)
    return onnx.shape_inference.infer_shapes(graph)


def halve(graph: ModelProto) -> ModelProto:
    """Return the graph in half precision; its input and output stay in single."""
    from onnxruntime.transformers.float16 import convert_float_to_float16
    return convert_float_to_float16(copy.deepcopy(graph), keep_io_types=True)


def quantise(graph: ModelProto, pictures: Iterable[NDArray[np.float32]], path: Path) -> None:
    """Write the graph with eight-bit operators, their ranges taken over ``pictures``.

    Pictures are float32 [1, 3, H, W] as the network takes them. The decoding stays in float: boxes
    in pixels and scores up to 1 would share one scale where they are joined, and nothing be found.
    So does the first convolution, whose three channels are too few for eight-bit kernels.
    """
    from onnxruntime.quantization import quant_utils
    graph = copy.deepcopy(graph)
    quant_utils.add_pre_process_metadata(graph)  # or it asks to do again what export_graph did
    static(graph, path, ({INPUT: picture} for picture in pictures),
           nodes_to_exclude=decoding(graph) + [
               node.name for node in graph.graph.node
               if node.op_type == 'Conv' and INPUT in node.input])
    small = onnx.load(path)
    del small.graph.value_info[:]  # the shapes between, which a robot does not read
    onnx.save_model(small, path)


def decoding(graph: ModelProto) -> list[str]:
    """Return the nodes that turn the head's last convolutions into boxes, them included."""
    made_by = {name: node for node in graph.graph.node for name in node.output}
    found: dict[str, NodeProto] = {}
    waiting = [output.name for output in graph.graph.output]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found[node.name] = node
        # Sizes, from which the boxes' places follow, are asked of tensors far before the head.
        if node.op_type not in ('Conv', 'Shape'):
            waiting += node.input
    return list(found)
