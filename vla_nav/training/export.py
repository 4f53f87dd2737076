"""From a trained network to a bundle that a robot runs, proved equal to its source."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

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
from vla_nav.training.graph import export_graph, random_views

MAX_POLICY_BYTES = 3_300_000


def export_policy(model: CompactPolicy, path: Path) -> float:
    """Write ``policy.onnx`` and return its largest difference from the eager model."""
    c = model.config
    return export_graph(model, path, random_views(c.height, c.width), c.memory)


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
