"""The state of a training after an epoch, in one file that a kill never leaves half-written."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vla_nav.training.optimizer_state import optimizer_tensors, restore_optimizer

NAME = 'checkpoint.safetensors'
BEFORE = 'checkpoint.before.safetensors'


class CheckpointError(RuntimeError):
    """A training cannot go on from what lies in its folder; the message says what to do."""


@dataclass
class Progress:
    """How far a training is: epochs and steps done, and a row of figures for each epoch."""

    epochs: int = 0
    steps: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def save(folder: Path, job: dict[str, Any], progress: Progress, model: nn.Module,
         average: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write the state; the one before stays beside it, should the disk lose this one."""
    tensors = {f'{prefix}.{key}': value.detach().cpu().contiguous()
               for prefix, module in (('model', model), ('average', average))
               for key, value in module.state_dict().items()}
    tensors |= optimizer_tensors(optimizer)
    partial = folder / 'checkpoint.partial'
    save_file(tensors, partial, {'job': json.dumps(job), 'progress': json.dumps(vars(progress))})
    with partial.open('rb') as file:
        os.fsync(file.fileno())
    if (folder / NAME).exists():
        (folder / NAME).replace(folder / BEFORE)
    partial.replace(folder / NAME)


def load(folder: Path, job: dict[str, Any], model: nn.Module, average: nn.Module,
         optimizer: torch.optim.Optimizer) -> Progress:
    """Take the newest readable state and return how far it is; a new one where there is none.

    Raises :class:`CheckpointError` as :func:`check`.
    """
    check(folder, job)
    found = read(folder)
    if found is None:
        return Progress()
    metadata, tensors = found
    for prefix, module in (('model.', model), ('average.', average)):
        module.load_state_dict({key.removeprefix(prefix): value for key, value in tensors.items()
                                if key.startswith(prefix)})
    restore_optimizer(optimizer, tensors)
    return Progress(**json.loads(metadata['progress']))


def check(folder: Path, job: dict[str, Any]) -> None:
    """Raise :class:`CheckpointError` where the state is another training's than ``job``."""
    found = read(folder)
    theirs = json.loads(found[0]['job']) if found else job
    different = sorted(key for key in {*theirs, *job} if theirs.get(key) != job.get(key))
    if different:
        raise CheckpointError(
            f'{folder}: holds a training with ' + ', '.join(
                f'{key} {theirs.get(key)!r:.200} (asked for is {job.get(key)!r:.200})'
                for key in different) + '; give another folder, or the same arguments to go on')


def read(folder: Path) -> tuple[dict[str, str], dict[str, Tensor]] | None:
    """Return metadata and tensors of the newest state that can be read; None for a new folder."""
    paths = [path for path in (folder / NAME, folder / BEFORE) if path.exists()]
    for path in paths:
        try:
            with safe_open(path, 'pt') as opened:
                return opened.metadata(), {key: opened.get_tensor(key) for key in opened.keys()}
        except SafetensorError as error:
            problem = f'{path}: cannot be read: {error}'
    if paths:
        raise CheckpointError(f'{problem}; remove it to train from the beginning')
    return None
