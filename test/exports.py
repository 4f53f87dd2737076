"""Help for tests of exports: what to export, drives to judge by, an exporter that met 2 GiB."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import bundles
import checkpoints
import numpy as np
import onnx
import pytest
import torch

from vla_nav.contracts import Frame
from vla_nav.episodes.schema import Episode
from vla_nav.export import drives, write
from vla_nav.policies.config import load_preset, presets
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.save import write_family_bundle
from vla_nav.runtimes import load_policy
from vla_nav.runtimes.bundle import read_bundle

_SMALL = ['head.hidden=16', 'head.layers=2', 'fusion.size=24', 'action.chunk=4',
          'backbone.height=32', 'backbone.width=48']


def write_members(folder: Path) -> dict[str, Path]:
    """Write a bundle of each preset of the family, in tiny form with random weights."""
    folders = checkpoints.write_checkpoints(folder)
    reader = bundles.write_bundle(folder / 'other') / 'instruction.onnx'
    for name in presets():
        torch.manual_seed(0)
        config = load_preset(name)
        present = {key: path for key, path in folders.items() if getattr(config.backbone, key)}
        forms = checkpoints.overrides(present) if present else _SMALL
        write_family_bundle(FamilyPolicy(load_preset(name, forms)).eval(), reader, folder / name,
                            training={})
    return {name: folder / name for name in presets()}


def sentence(source: Path) -> str:
    """Return something that the policy can be told."""
    phrases = getattr(read_bundle(source), 'phrases', ())
    return phrases[0] if phrases else 'pass the box on its left and stop at the red ball'


def frames(count: int, height: int, width: int) -> list[Frame]:
    """Return pictures of noise, a step apart."""
    rng = np.random.default_rng(0)
    return [Frame(rng.integers(0, 256, (height, width, 3), np.uint8), i * bundles.STEP_NS)
            for i in range(count)]


def drive(source: Path, shift: float, instruction: str, count: int = 24) -> Episode:
    """Return a drive whose labels are what the source does, ``shift`` aside."""
    policy = load_policy(source, 'cpu')
    images = [frame.image for frame in frames(count, policy.spec.image_height,
                                              policy.spec.image_width)]
    axes = policy.spec.action_space.names
    blank = Episode(images, np.zeros((count, len(axes)), np.float32), None, instruction,
                    action_names=axes)
    return replace(blank, actions=drives.follow(policy, blank) + np.float32(shift))


def show(monkeypatch: pytest.MonkeyPatch, *shown: Episode) -> None:
    """Let exports calibrate and validate on these drives, not on the simulator's."""
    for name in ('calibration_drives', 'validation_drives'):
        monkeypatch.setattr(write, name, lambda *_: iter(shown))


def one_file_a_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the exporter write what it writes above 2 GiB."""
    plain = torch.onnx.export

    def export(module: Any, example: Any, path: str, **options: Any) -> None:
        plain(module, example, path, **options)
        onnx.save_model(onnx.load(path), path, save_as_external_data=True,
                        all_tensors_to_one_file=False, size_threshold=0)
        assert len(list(Path(path).parent.iterdir())) > 2
    monkeypatch.setattr(torch.onnx, 'export', export)
