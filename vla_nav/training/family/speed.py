"""How much time the feature cache saves: an epoch with it, and one without."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.run import Job, prepared
from vla_nav.training.family.trainer import Notes


def measure_cache(job: Job, notes: Notes) -> dict[str, Any]:
    """Return seconds of an epoch with kept features and without, and of keeping them once.

    Training steps of a second epoch alone, without validation and checkpoints. Nothing of
    ``job.out`` or ``job.cache`` is touched. Raises TrainingError where features cannot be kept.
    """
    with TemporaryDirectory() as folder:
        place = Path(folder)
        with_cache = _epoch(job, place, True, notes)
        without = _epoch(job, place, False, notes)
    return {'preset': job.config.name, 'pictures': with_cache['encoded'],
            'encode_s': with_cache['encode_s'], 'epoch_cached_s': with_cache['epoch_s'],
            'epoch_s': without['epoch_s'],
            'speed_up': round(without['epoch_s'] / with_cache['epoch_s'], 2)}


def _epoch(job: Job, place: Path, cache: bool, notes: Notes) -> dict[str, Any]:
    train = job.config.train.model_copy(update={'cache': cache, 'lights': 1, 'epochs': 2})
    config = job.config.model_copy(update={'train': train})
    with prepared(replace(job, config=config, out=place / f'{cache}', cache=place / 'features'),
                  notes) as (trainer, trained):
        if cache and not trained.cached:
            raise TrainingError(f'the backbones of {job.config.name} train, so their features '
                                'cannot be kept: set backbone.*.tune=frozen')
        trainer.train_epoch(None)  # the first one loads and allocates, whatever it computes
        trainer.progress.epoch += 1
        began = time.monotonic()
        trainer.train_epoch(None)
        return {'epoch_s': round(time.monotonic() - began, 4), 'encoded': trained.encoded,
                'encode_s': round(trained.encode_seconds, 3)}
