"""No NaN and no infinity is exported: eight bits and some runtimes would make numbers of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper

from vla_nav.contracts import PolicyError
from vla_nav.policies.traceable import Traceable
from vla_nav.runtimes.graph import is_broken

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16,
           onnx.TensorProto.DOUBLE)


def check_network(network: Traceable) -> None:
    """Raise PolicyError where a weight or buffer of a network is not finite."""
    parts = [network.module] if network.text is None else [network.module, network.text]
    broken = [name for part in parts
              for name, value in (*part.named_parameters(), *part.named_buffers())
              if value.is_floating_point() and not torch.isfinite(value).all()
              and is_broken(value.detach().float().cpu().numpy())]
    _refuse(network.directory / network.weights.name, broken,
            'train again or copy the bundle again')


def check_model(model: Any, path: Path) -> None:
    """Raise PolicyError where a weight of an ONNX model, to be written to ``path``, is not."""
    broken = [tensor.name for tensor in model.graph.initializer if tensor.data_type in _FLOATS
              and is_broken(numpy_helper.to_array(tensor).astype('f4', copy=False))]
    _refuse(path, broken, 'choose a precision that holds them, such as --precision fp32')


def _refuse(path: Path, broken: Sequence[str], remedy: str) -> None:
    if broken:
        raise PolicyError(f'{path}: {len(broken)} weights are not finite, such as {broken[0]}; '
                          f'{remedy}')
