"""What a trained detector says of itself: ``README.md`` and ``metrics.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vla_nav.detection.bundle import DetectorConfig
from vla_nav.detection.training.graph import FILES
from vla_nav.evaluation.markdown import table_lines

CARD, METRICS, CURVE = 'README.md', 'metrics.json', 'learning_curve.png'

_TEXT = """# {name}: a detector of vla_nav, level {level} with {activation}

Finds {classes} in one picture of any size, which it letterboxes to {size} × {size}.
{parameters:,} parameters, {gflops:.2f} GFLOPs a picture. `{deployed}` is the graph that runs.

{files}

Measured on {pictures} validation pictures by what runs on the robot; mAP as COCO counts it,
precision and recall at a score of {threshold}.

{classes_table}

## How it was made

    {command}

{epochs} epochs at batch {batch}, AdamW, learning rate {rate}, seed {seed}, {minutes} minutes
({versions}){start}. The weights are the running average after the last epoch, none was chosen by
its validation. The losses are in `learning_curve.png`, every figure in `metrics.json`.

## Licence

{licence}: the network is built and trained with ultralytics. The package's page on the detector
says what that means. Running it needs ONNX Runtime only.
"""


def record_export(folder: Path, precision: str, parity: dict[str, Any]) -> None:
    """Add what was measured of an exported graph to ``metrics.json``."""
    metrics = read_metrics(folder)
    metrics.setdefault('exports', {})[precision] = parity
    path = folder / METRICS
    path.write_text(json.dumps(metrics, indent=1) + '\n', 'utf-8')


def read_metrics(folder: Path) -> dict[str, Any]:
    """Return a bundle's ``metrics.json``; empty where there is none."""
    path = folder / METRICS
    found: dict[str, Any] = json.loads(path.read_text('utf-8')) if path.exists() else {}
    return found


def write_card(folder: Path, config: DetectorConfig) -> None:
    """Write ``README.md`` from a bundle's configuration and its metrics."""
    training, exports = config.training, read_metrics(folder)['exports']
    recipe = training['recipe']
    deployed = next(one for one in exports if FILES[one] == config.files.detector.name)
    found = exports[deployed]['figures']
    rows = [(name, row['instances'], *map(_share, (row['ap50'], row['ap50_95'], row['precision'],
                                                   row['recall'])))
            for name, row in found['classes'].items()]
    rows.append(('**all**', found['instances'], *map(_share, (
        found['map50'], found['map50_95'], found['precision'], found['recall']))))
    (folder / CARD).write_text(_TEXT.format(
        name=config.name, level=config.level, activation=config.activation,
        classes=', '.join(config.classes), size=config.image_size, deployed=FILES[deployed],
        parameters=training['parameters'], gflops=training['gflops'],
        files='\n'.join(table_lines(
            ('graph', 'bytes', 'mAP50', 'boxes as in PyTorch', 'mAP50 against PyTorch'),
            [(FILES[one], f'{parity["bytes"]:,}', _share(parity['figures']['map50']),
              f'{parity["same"]} of {parity["boxes"]}{_more(parity)} (IoU ≥ {parity["iou"]}, '
              f'score ± {parity["score"]})', f'{parity["map50_change"]:+.4f}')
             for one, parity in exports.items()])),
        pictures=found['pictures'], threshold=config.score_threshold,
        classes_table='\n'.join(table_lines(
            ('class', 'boxes', 'AP50', 'AP50-95', 'precision', 'recall'), rows)),
        command=training['command'], epochs=recipe['epochs'], batch=recipe['batch'],
        rate=recipe['rate'], seed=recipe['seed'], minutes=round(training['seconds'] / 60),
        versions=', '.join(f'{name} {version}'
                           for name, version in training['versions'].items()),
        start=f', from weights with the SHA-256 {training["start"][:12]}…'
        if training.get('start') else '',
        licence=config.licence), 'utf-8')


def _more(parity: dict[str, Any]) -> str:
    """Return how many boxes only the graph finds; of older metrics that is not known."""
    count = parity.get('export_boxes', 0) - parity.get('export_same', 0)
    return f', {count} more' if count else ''


def _share(value: float | None) -> str:
    return '–' if value is None else f'{value:.3f}'
