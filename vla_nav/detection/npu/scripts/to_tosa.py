"""Quantise a program of ``torch.export`` by ExecuTorch and write it as TOSA graphs.

Request: ``program``, ``pictures`` (.npy, float32 [N, 3, S, S]), ``specification`` and ``folder``.
Answer: ``graphs``, ``outside`` (operators that ExecuTorch left to the CPU) and ``versions``.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.backends.arm.quantizer import TOSAQuantizer, get_symmetric_quantization_config
from executorch.backends.arm.tosa.compile_spec import TosaCompileSpec
from executorch.backends.arm.tosa.partitioner import TOSAPartitioner
from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

# They stand at the border to what a CPU computes, and compute nothing of the network.
_BORDER = ('getitem', 'quantize_per_tensor', 'dequantize_per_tensor', 'executorch_call_delegate')


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out the request and return the answer."""
    pictures = torch.from_numpy(np.load(request['pictures']))
    example = (pictures[:1],)
    specification = TosaCompileSpec(request['specification'])
    quantizer = TOSAQuantizer(specification)
    quantizer.set_global(get_symmetric_quantization_config())
    network = torch.export.load(request['program']).module(check_guards=False)
    prepared = prepare_pt2e(network, quantizer)
    with torch.no_grad():
        for picture in pictures:
            prepared(picture[None])
        program = torch.export.export(convert_pt2e(prepared), example)
    folder = Path(request['folder'])
    # As Arm's own ahead-of-time script does: quantised operators are no valid edge dialect.
    edge = to_edge_transform_and_lower(
        program, partitioner=[TOSAPartitioner(specification)],
        compile_config=EdgeCompileConfig(_check_ir_validity=False))
    module = edge.exported_program().graph_module
    graphs = []
    for name, lowered in module.named_children():
        path = folder / f'{name}.tosa'
        path.write_bytes(lowered.processed_bytes)
        graphs.append(str(path))
    outside = [{'node': node.name, 'operator': str(node.target)} for node in module.graph.nodes
               if node.op == 'call_function' and not any(
                   word in str(node.target) for word in _BORDER)]
    return {'graphs': graphs, 'outside': outside,
            'versions': {name: version(name) for name in ('executorch', 'torch', 'tosa-tools')}}


if __name__ == '__main__':
    answer = main(json.loads(Path(sys.argv[1]).read_text('utf-8')))
    Path(sys.argv[2]).write_text(json.dumps(answer), 'utf-8')
