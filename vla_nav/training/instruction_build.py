"""From nothing to the instruction reader of a bundle: train, export, compare, evaluate, write."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
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
# Steps and peak learning rate: one cycle to learn, a gentler one for what is left.
ROUNDS = ((2500, 3e-3), (2500, 2e-3))
_PARITY_LIMIT, _PARITY_INPUTS = 1e-4, 100


def build_instruction(out: Path, rounds: Sequence[tuple[int, float]] = ROUNDS, seed: int = 0,
                      n: int = 2000) -> dict[str, Any]:
    """Train a reader in rounds of (steps, peak rate) and write its three files to ``out``.

    Returns the metrics. The weights are kept after each round.
    """
    out.mkdir(parents=True, exist_ok=True)
    begin = time.process_time()
    model = None
    for number, (steps, rate) in enumerate(rounds):
        model = train_instruction_encoder(steps, seed + number, rate=rate, start=model)
        save_file(model.state_dict(), out / WEIGHTS)
    seconds = round(time.process_time() - begin, 1)
    return publish(out, {'rounds': list(rounds), 'seed': seed, 'cpu_seconds': seconds}, n)


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
    worst = float(np.max([np.abs(ours - theirs.numpy()).max()  # NaN if there is one
                          for ours, theirs in zip(reader.run(tokens), eager)]))
    if not worst <= _PARITY_LIMIT:
        raise RuntimeError(f'the exported reader differs from the model by {worst:.2e}, '
                           f'more than {_PARITY_LIMIT}')
    return worst
