"""From nothing to the instruction reader of a bundle: train, export, compare, evaluate, write."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from vla_nav.language.reader import InstructionReader
from vla_nav.training.instruction import (
    InstructionEncoder,
    export_instruction,
    train_instruction_encoder,
)
from vla_nav.training.read_check import evaluate_instruction
from vla_nav.training.sentences import sample

WEIGHTS, NETWORK, METRICS = 'instruction.safetensors', 'instruction.onnx', 'metrics.json'
_PARITY_LIMIT, _PARITY_INPUTS = 1e-4, 100


def build_instruction(out: Path, steps: int = 5000, seed: int = 0,
                      n: int = 2000) -> dict[str, Any]:
    """Train a reader and write its three files to the folder ``out``; return the metrics."""
    out.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    model = train_instruction_encoder(steps, seed)
    seconds = time.process_time() - start
    save_file(model.state_dict(), out / WEIGHTS)
    return publish(out, {'steps': steps, 'seed': seed, 'cpu_seconds': round(seconds, 1)}, n)


def publish(out: Path, training: dict[str, Any], n: int = 2000) -> dict[str, Any]:
    """Export and evaluate the weights in ``out``; write the network and the metrics."""
    model = InstructionEncoder()
    model.load_state_dict(load_file(out / WEIGHTS))
    export_instruction(model, out / NETWORK)
    reader = InstructionReader(out / NETWORK)
    metrics = {'training': training, 'onnx_bytes': (out / NETWORK).stat().st_size,
               'parity_max_difference': parity(model, reader),
               **evaluate_instruction(reader, n)}
    (out / METRICS).write_text(json.dumps(metrics, indent=1) + '\n')
    return metrics


def parity(model: InstructionEncoder, reader: InstructionReader) -> float:
    """Return max |eager - exported| over 100 texts; raise where it is above 1e-4."""
    tokens = sample(_PARITY_INPUTS, np.random.default_rng(0)).tokens
    with torch.inference_mode():
        eager = model.eval()(torch.from_numpy(tokens))
    worst = max(float(np.abs(ours - theirs.numpy()).max())
                for ours, theirs in zip(reader.run(tokens), eager))
    if not worst <= _PARITY_LIMIT:
        raise RuntimeError(f'the exported reader differs from the model by {worst:.2e}, '
                           f'more than {_PARITY_LIMIT}')
    return worst
