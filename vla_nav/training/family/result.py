"""What a training leaves behind: the bundle, its card, its metrics, its curves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vla_nav import __version__
from vla_nav.evaluation.curves import learning_curves
from vla_nav.evaluation.markdown import table_lines
from vla_nav.policies.config import FamilyConfig
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.save import write_family_bundle
from vla_nav.training.card import peak_memory_gib
from vla_nav.training.family.checkpoint import Progress
from vla_nav.training.family.material import Material
from vla_nav.training.family.recordings import fingerprints
from vla_nav.training.family.steps import Source

METRICS, SPLIT, CURVES = 'metrics.json', 'split.json', 'curves.png'

_CARD = """# {name}

{about}

Preset `{name}` of vla_nav's VLA family: {parameters:,} parameters, of which {learned:,} learned.
Axes: {axes}; chunks of {chunk} steps of {step_ms} ms; pictures {width} x {height}.

## How it was made

    {command}

{train} training, {validation} validation and {test} test recordings ({frames:,} training
frames), split by {split_by} with seed {seed}; `split.json` lists the drives of each part.
{epochs} epochs, the best is epoch {best_epoch}; {minutes} minutes on {device}, {memory} GiB at
most a process.

![Learning curves](curves.png)

## What it can do

Mean absolute error of the velocity that is driven at once, beside what needs no picture:

{table}

These are errors on recorded drives, where no mistake leads to another picture. Measure driving
with `vla-nav evaluate closed-loop`; on a real robot begin with a dry run, then a low speed cap.
"""


@dataclass(frozen=True)
class Trained:
    """A policy, what it learned from, and how that went.

    ``encoded`` pictures were put into the feature cache, in ``encode_seconds``.
    """

    policy: FamilyPolicy
    material: Material
    progress: Progress
    source: Source
    cached: bool
    encoded: int
    encode_seconds: float


def write_result(out: Path, reader: Path | None, trained: Trained, figures: dict[str, Any],
                 command: str, phrases: tuple[str, ...] = ()) -> dict[str, Any]:
    """Write the bundle, ``metrics.json``, ``split.json``, ``curves.png`` and the card to ``out``.

    ``figures`` are :func:`vla_nav.training.family.report.report`'s, by part. ``phrases`` name
    the policy's one task where it has no ``reader``.
    """
    out.mkdir(parents=True, exist_ok=True)
    progress, parts = trained.progress, trained.material.parts
    policy, config = trained.policy, trained.policy.config
    metrics = {
        'command': command, 'version': __version__, 'preset': config.name,
        'best_epoch': progress.best_epoch, 'best_validation_loss': progress.best,
        'parameters': sum(p.numel() for p in policy.parameters()),
        'learned': sum(p.numel() for p in policy.trainable()),
        'seconds': round(progress.seconds, 1),
        'device': str(next(policy.parameters()).device), 'torch': torch.__version__,
        'peak_memory_gib': peak_memory_gib(),
        'cache': {'used': trained.cached, 'encoded': trained.encoded,
                  'encode_seconds': round(trained.encode_seconds, 3)},
        **figures, 'history': progress.history}
    (out / METRICS).write_text(json.dumps(metrics, indent=1) + '\n', 'utf-8')
    (out / SPLIT).write_text(json.dumps(
        {part: fingerprints(members) for part, members in parts._asdict().items()}) + '\n',
        'utf-8')
    (out / CURVES).write_bytes(learning_curves({config.name: progress.history}))
    (out / 'README.md').write_text(_card(config, trained, metrics), 'utf-8')
    told = any(recording.success for recording in parts.train)
    training = {'command': command, 'statistics': trained.material.statistics,
                'best_epoch': progress.best_epoch, 'version': __version__}
    write_family_bundle(policy, reader, out, phrases=phrases,
                        arrived_threshold=0.5 if told else 1.0, training=training)
    return metrics


def _card(config: FamilyConfig, trained: Trained, metrics: dict[str, Any]) -> str:
    parts = trained.material.parts
    return _CARD.format(
        name=config.name, about=config.about, parameters=metrics['parameters'],
        learned=metrics['learned'], axes=', '.join(config.action.space.names),
        chunk=config.action.chunk, step_ms=round(config.action.step_s * 1e3),
        width=config.backbone.width, height=config.backbone.height,
        command=metrics['command'] or '(from Python)', train=len(parts.train),
        validation=len(parts.validation), test=len(parts.test),
        frames=trained.material.statistics['frames'], split_by=config.train.split_by,
        seed=config.train.seed, epochs=trained.progress.epoch,
        best_epoch=metrics['best_epoch'], minutes=round(metrics['seconds'] / 60, 1),
        device=metrics['device'], memory=metrics['peak_memory_gib'],
        table=_table(metrics, config.action.space.names))


def _table(metrics: dict[str, Any], axes: tuple[str, ...]) -> str:
    columns = (*axes, 'joint')
    return '\n'.join(table_lines(['part', 'predictor', *columns, 'n'], (
        [part, name, *(_figure(table[axis]['mae']) for axis in columns), metrics[part]['samples']]
        for part in ('validation', 'test')
        for name, table in metrics.get(part, {}).get('predictors', {}).items())))


def _figure(value: float | None) -> str:
    """Return a figure, or a dash for an axis that no robot of the part has."""
    return '–' if value is None else f'{value:.4f}'
