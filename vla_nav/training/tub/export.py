"""From a fitted track policy to the bundle that a robot runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file

from vla_nav.policies.track import TrackPolicy
from vla_nav.runtimes.bundle import (
    ActionSpaceConfig,
    BundleConfig,
    BundleFile,
    BundleFiles,
    ImageConfig,
)
from vla_nav.training.graph import export_graph
from vla_nav.training.tub.frames import PHRASES, RATE_HZ, SPACE


def export_policy(policy: TrackPolicy, path: Path) -> float:
    """Write the ONNX graph and return its largest difference from the eager policy."""
    c = policy.config

    def observe(number: int, rng: np.random.Generator) -> dict[str, NDArray]:
        image = rng.integers(0, 256, (1, c.height, c.width, 3), np.uint8)
        # Even areas are where gradients vanish and formulas break.
        image[:, c.height * (number % 4) // 3:] = number
        return {'image': image}

    return export_graph(policy, path, observe, c.state_size)


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
