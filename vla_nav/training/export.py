"""From a trained network to a bundle that a robot runs, proved equal to its source."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file

from vla_nav.policies.compact import CompactConfig, CompactPolicy
from vla_nav.runtimes.bundle import (
    ActionSpaceConfig,
    BundleConfig,
    BundleFile,
    BundleFiles,
    ImageConfig,
)
from vla_nav.spaces import OMNI_3D

OPSET = 18
PARITY_BOUND = 1e-4
MAX_POLICY_BYTES = 3_300_000


def export_policy(model: CompactPolicy, path: Path) -> float:
    """Write ``policy.onnx`` and return its largest difference from the eager model.

    100 random inputs, each fed the state that the one before it left. Above the bound the file
    is removed and RuntimeError raised.
    """
    # The outermost module must be in eval mode before the exporter looks at it.
    model = model.to('cpu').eval()
    c = model.config
    example = (torch.zeros(1, c.height, c.width, 3, dtype=torch.uint8), torch.zeros(1, 13),
               torch.zeros(1, c.memory))
    torch.onnx.export(model, example, str(path), opset_version=OPSET, dynamo=False,
                      input_names=['image', 'instruction', 'state'],
                      output_names=['actions', 'arrived', 'next_state'])
    difference = parity(model, path)
    if not difference <= PARITY_BOUND:
        path.unlink()
        raise RuntimeError(f'{path}: differs from the eager model by {difference:.2e}, the bound '
                           f'is {PARITY_BOUND:.0e}; no file was left')
    return difference


def parity(model: CompactPolicy, path: Path, inputs: int = 100, seed: int = 0) -> float:
    """Return the largest difference between a ``policy.onnx`` and the eager model."""
    c, rng = model.config, np.random.default_rng(seed)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=['CPUExecutionProvider'])
    state = np.zeros((1, c.memory), np.float32)
    differences = []
    for _ in range(inputs):
        image = rng.integers(0, 256, (1, c.height, c.width, 3), np.uint8)
        text = rng.random((1, 13), np.float32)
        with torch.inference_mode():
            eager = model(*map(torch.from_numpy, (image, text, state)))
        there = session.run(['actions', 'arrived', 'next_state'],
                            {'image': image, 'instruction': text, 'state': state})
        differences += [np.abs(a.numpy() - b).max() for a, b in zip(eager, there)]
        state = there[2]
    return float(np.max(differences))  # NaN if there is one, unlike Python's max


def write_bundle(model: CompactPolicy, instruction: Path, directory: Path, name: str,
                 training: dict[str, Any]) -> BundleConfig:
    """Write the bundle's graphs, weights and ``config.json``; ``training`` is kept in it."""
    directory.mkdir(parents=True, exist_ok=True)
    policy = directory / 'policy.onnx'
    difference = export_policy(model, policy)
    if policy.stat().st_size > MAX_POLICY_BYTES:
        raise RuntimeError(f'{policy} has {policy.stat().st_size} bytes, more than '
                           f'{MAX_POLICY_BYTES}')
    target = directory / 'instruction.onnx'
    if instruction.resolve() != target.resolve():
        shutil.copyfile(instruction, target)
    # Half precision is enough to start a fine-tuning from, and halves the file.
    weights = directory / 'model.safetensors'
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, weights)
    c: CompactConfig = model.config
    config = BundleConfig(
        name=name, architecture='compact',
        action_space=ActionSpaceConfig.model_validate(OMNI_3D.to_dict()),
        image=ImageConfig(height=c.height, width=c.width), state_size=c.memory,
        step_ns=100_000_000, chunk=c.chunk, max_observation_age_s=0.5, arrived_threshold=0.5,
        files=BundleFiles(policy=BundleFile.of(policy), instruction=BundleFile.of(target),
                          model=BundleFile.of(weights)),
        training={**training, 'parity': difference})
    config.save(directory)
    return config
