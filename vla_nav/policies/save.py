"""A trained member of the family becomes a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from vla_nav.policies.family import FamilyPolicy
from vla_nav.runtimes.bundle import (
    ActionSpaceConfig,
    BundleFile,
    FamilyBundle,
    FamilyFiles,
    ImageConfig,
)

MODEL, READER = 'model.safetensors', 'instruction.onnx'


def write_family_bundle(policy: FamilyPolicy, reader: Path | None, directory: Path, *,
                        training: dict[str, Any], name: str = '', phrases: tuple[str, ...] = (),
                        max_observation_age_s: float = 0.5,
                        arrived_threshold: float = 1.0) -> FamilyBundle:
    """Write what ``policy`` learned, the reader ``instruction.onnx`` and ``config.json``.

    A policy of one task has no reader but ``phrases``, the ways to name it.
    Frozen backbones stay where they are: the bundle keeps their source and their fingerprint.
    One that was never told of arrivals keeps the ``arrived_threshold`` of 1, which no belief
    reaches: its tasks end by a person's order.
    ``config.json`` comes last, so that a bundle cut short is seen to be none.
    """
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / READER
    if reader is not None and reader.resolve() != target.resolve():
        shutil.copyfile(reader, target)
    model = directory / MODEL
    partial = model.with_suffix('.partial')
    save_file({key: value.cpu().contiguous() for key, value in policy.learned().items()}, partial)
    partial.replace(model)
    c = policy.config
    bundle = FamilyBundle(
        name=name or c.name, architecture='family',
        action_space=ActionSpaceConfig.model_validate(c.action.space.to_dict()),
        image=ImageConfig(height=c.backbone.height, width=c.backbone.width),
        step_ns=c.step_ns, chunk=c.action.chunk, max_observation_age_s=max_observation_age_s,
        arrived_threshold=arrived_threshold,
        files=FamilyFiles(model=BundleFile.of(model),
                          instruction=BundleFile.of(target) if reader is not None else None),
        phrases=phrases,
        family=c.model_dump(mode='json'), backbone_sha256=policy.fingerprint(),
        training=training)
    bundle.save(directory)
    return bundle
