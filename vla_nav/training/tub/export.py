"""From a fitted track policy to the bundle that a robot runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file

from vla_nav.policies.track import TrackPolicy
from vla_nav.runtimes.bundle import (
    ActionSpaceConfig,
    BundleConfig,
    BundleFile,
    BundleFiles,
    ImageConfig,
)
from vla_nav.training.tub.frames import PHRASES, RATE_HZ, SPACE

OPSET = 18
PARITY_BOUND = 1e-4
_OUTPUTS = ['actions', 'arrived', 'next_state']


def export_policy(policy: TrackPolicy, path: Path) -> float:
    """Write the ONNX graph and return its largest difference from the eager policy.

    Above the bound the file is removed and RuntimeError raised.
    """
    policy = policy.to('cpu').eval()
    c = policy.config
    example = (torch.zeros(1, c.height, c.width, 3, dtype=torch.uint8),
               torch.zeros(1, c.state_size))
    torch.onnx.export(policy, example, str(path), opset_version=OPSET, dynamo=False,
                      input_names=['image', 'state'], output_names=_OUTPUTS)
    difference = parity(policy, path)
    if not difference <= PARITY_BOUND:
        path.unlink()
        raise RuntimeError(f'{path}: differs from the eager policy by {difference:.2e}, the bound '
                           f'is {PARITY_BOUND:.0e}; no file was left')
    return difference


def parity(policy: TrackPolicy, path: Path, inputs: int = 50, seed: int = 0) -> float:
    """Return the largest difference between graph and policy over inputs with state."""
    c, rng = policy.config, np.random.default_rng(seed)
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=['CPUExecutionProvider'])
    state = np.zeros((1, c.state_size), np.float32)
    worst = 0.0
    for number in range(inputs):
        image = rng.integers(0, 256, (1, c.height, c.width, 3), np.uint8)
        # Even areas are where gradients vanish and formulas break; NaN fails every bound.
        image[:, c.height * (number % 4) // 3:] = number
        with torch.inference_mode():
            eager = policy(torch.from_numpy(image), torch.from_numpy(state))
        there = session.run(_OUTPUTS, {'image': image, 'state': state})
        worst = float(np.max([worst, *(np.abs(a.numpy() - b).max()
                                       for a, b in zip(eager, there))]))
        state = there[2]
    return worst


def write_bundle(policy: TrackPolicy, directory: Path, training: dict[str, Any]) -> BundleConfig:
    """Write graph, weights and ``config.json``; ``training`` is kept in it."""
    directory.mkdir(parents=True, exist_ok=True)
    graph, weights = directory / 'policy.onnx', directory / 'model.safetensors'
    difference = export_policy(policy, graph)
    save_file({name: value.contiguous() for name, value in policy.state_dict().items()}, weights)
    c = policy.config
    config = BundleConfig(
        name='tub', architecture='track',
        action_space=ActionSpaceConfig.model_validate(SPACE.to_dict()),
        image=ImageConfig(height=c.height, width=c.width), state_size=c.state_size,
        step_ns=round(1e9 / RATE_HZ), chunk=c.chunk, max_observation_age_s=0.5,
        arrived_threshold=0.5, phrases=PHRASES,
        files=BundleFiles(policy=BundleFile.of(graph), model=BundleFile.of(weights)),
        training={**training, 'network': asdict(c), 'parity': difference,
                  'parameters': sum(p.numel() for p in policy.parameters())})
    config.save(directory)
    return config
