"""From a network with a memory to an ONNX graph that is proved equal to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.runtimes.graph import OUTPUTS

OPSET = 18
PARITY_BOUND = 1e-4

# The named inputs before the state, batch 1, of test number n.
Observe = Callable[[int, np.random.Generator], dict[str, NDArray]]


def random_views(height: int, width: int) -> Observe:
    """Return random pictures [1, height, width, 3] with random instruction features."""
    def observe(_number: int, rng: np.random.Generator) -> dict[str, NDArray]:
        return {'image': rng.integers(0, 256, (1, height, width, 3), np.uint8),
                'instruction': rng.random((1, FEATURE_SIZE), np.float32)}
    return observe


def export_graph(model: nn.Module, path: Path, observe: Observe, state_size: int) -> float:
    """Write the graph and return its largest difference from the eager model.

    Inputs are those of ``observe`` and ``state`` float32 [1, state_size]; outputs ``actions``,
    ``arrived`` and ``next_state``. Above the bound the file is removed and RuntimeError raised.
    """
    # The outermost module must be in eval mode before the exporter looks at it.
    model = model.to('cpu').eval()
    example = observe(0, np.random.default_rng(0))
    example['state'] = np.zeros((1, state_size), np.float32)
    torch.onnx.export(model, tuple(map(torch.from_numpy, example.values())), str(path),
                      opset_version=OPSET, dynamo=False, input_names=list(example),
                      output_names=list(OUTPUTS))
    difference = parity(model, path, observe, state_size)
    if not difference <= PARITY_BOUND:
        path.unlink()
        raise RuntimeError(f'{path}: differs from the eager model by {difference:.2e}, the bound '
                           f'is {PARITY_BOUND:.0e}; no file was left')
    return difference


def parity(model: nn.Module, path: Path, observe: Observe, state_size: int,
           inputs: int = 100, seed: int = 0) -> float:
    """Return the largest difference between graph and model; NaN if there is one.

    Each of the inputs is fed the state that the one before it left.
    """
    rng = np.random.default_rng(seed)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=['CPUExecutionProvider'])
    state = np.zeros((1, state_size), np.float32)
    differences = []
    for number in range(inputs):
        fed = {**observe(number, rng), 'state': state}
        with torch.inference_mode():
            eager = model(*map(torch.from_numpy, fed.values()))
        there = session.run(list(OUTPUTS), fed)
        differences += [np.abs(a.numpy() - b).max() for a, b in zip(eager, there)]
        state = there[2]
    return float(np.max(differences))  # unlike Python's max, NumPy's keeps NaN
