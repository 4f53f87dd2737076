"""A trained network's bundle: written after training, read again for exports."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file
from torch import nn

from vla_nav.detection.bundle import (
    DetectorConfig,
    DetectorFiles,
    as_detector_error,
    read_detector,
)
from vla_nav.detection.contracts import DetectorError
from vla_nav.detection.dataset.yolo import Dataset
from vla_nav.detection.training import checkpoint, levels
from vla_nav.detection.training.card import CURVE, METRICS
from vla_nav.detection.training.curve import learning_curve
from vla_nav.detection.training.export import Source, add_graph
from vla_nav.detection.training.gate import IOU_THRESHOLD, SCORE_THRESHOLD, Note
from vla_nav.detection.training.graph import FILES
from vla_nav.detection.training.learn import Job
from vla_nav.runtimes.bundle import BundleFile, read_file

WEIGHTS = 'model.safetensors'
# Ultralytics' own reading of its licence; docs/detector.md says what follows.
LICENCE = 'AGPL-3.0'


def finish(folder: Path, state: Path, job: Job, dataset: Dataset, command: str,
           note: Note = lambda: None) -> DetectorConfig:
    """Write the bundle of a training that is done, with its fp32 graph behind the gate.

    The weights are the running average after the last epoch. Raises ExportError where the graph
    is not equal to the network, and CheckpointError where the training is not done.
    """
    found = checkpoint.read(state)
    progress = json.loads(found[0]['progress']) if found else {'epochs': 0}
    if found is None or progress['epochs'] < job.recipe.epochs:
        raise checkpoint.CheckpointError(
            f'{state}: {progress["epochs"]} of {job.recipe.epochs} epochs are done; run the same '
            'command again to go on')
    weights = {key.removeprefix('average.'): half(value) for key, value in found[1].items()
               if key.startswith('average.')}
    save_file(weights, folder / WEIGHTS)
    model = _network(job.architecture(), job.classes, weights)
    history: Any = progress['history']
    config = DetectorConfig(
        name=folder.resolve().name, level=Path(job.level).stem, activation=job.activation,
        classes=job.classes, image_size=job.recipe.image_size, score_threshold=SCORE_THRESHOLD,
        iou_threshold=IOU_THRESHOLD, licence=LICENCE,
        files=DetectorFiles(detector=BundleFile(name=FILES['fp32'], sha256='0' * 64),
                            model=BundleFile.of(folder / WEIGHTS)),
        training={
            'command': command, 'recipe': job.recipe.as_dict(), 'width': job.width,
            'start': json.loads(found[0]['job'])['start'],
            'architecture': job.architecture(), 'parameters': levels.parameters(model),
            'gflops': levels.gflops(model, job.recipe.image_size),
            'seconds': round(sum(row['seconds'] for row in history)),
            'versions': {name: importlib.metadata.version(name)
                         for name in ('torch', 'ultralytics')}})
    (folder / CURVE).write_bytes(learning_curve(history))
    (folder / METRICS).write_text(json.dumps({'history': history}, indent=1) + '\n', 'utf-8')
    return add_graph(Source(folder, config, model), 'fp32', dataset, note)


def open_trained(folder: Path) -> Source:
    """Read a bundle that was trained here, its network included; raise DetectorError."""
    config = read_detector(folder)
    architecture = config.training.get('architecture')
    if config.files.model is None or not architecture:
        raise DetectorError(f'{folder}: holds no weights with their architecture; give a bundle '
                            'that `vla-nav detector train` has written')
    with as_detector_error():
        weights = load_tensors(read_file(folder, config.files.model))
    return Source(folder, config, _network(architecture, config.classes, weights))


def half(value: torch.Tensor) -> torch.Tensor:
    """Return floating numbers in half precision, what the bundle keeps and the graph is of."""
    return value.half() if value.is_floating_point() else value


def _network(architecture: dict[str, Any], classes: tuple[str, ...],
             weights: dict[str, torch.Tensor]) -> nn.Module:
    model = levels.build(architecture, classes)
    model.load_state_dict(weights)
    return model.eval()
