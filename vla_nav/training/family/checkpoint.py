"""The state of a training on disk: safetensors only, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vla_nav.training.family.problems import TrainingError
from vla_nav.training.optimizer_state import optimizer_tensors, restore_optimizer

LAST, PREVIOUS, BEST = 'last.safetensors', 'previous.safetensors', 'best.safetensors'


@dataclass
class Progress:
    """How far a training is; plain values, so that they come back from JSON bit by bit.

    ``step`` counts over all epochs. ``running`` are the sums (loss, values) of the epoch begun.
    ``best`` is the lowest validation loss, of ``best_epoch``; ``waited`` epochs have passed
    since. ``history`` has an entry an epoch.
    """

    epoch: int = 0
    step: int = 0
    running: tuple[float, float] = (0.0, 0.0)
    best: float | None = None
    best_epoch: int | None = None
    waited: int = 0
    stopped: bool = False
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def own_state(module: nn.Module) -> dict[str, Tensor]:
    """Return a module's state without frozen parameters, which come from their own source."""
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    return {name: value.detach().cpu().contiguous()
            for name, value in module.state_dict().items() if name not in frozen}


def load_own_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Take :func:`own_state`'s values back; ValueError where they are of another network."""
    wanted = own_state(module)
    wrong = {name for name in {*wanted} ^ {*state}} | {
        name for name in {*wanted} & {*state} if wanted[name].shape != state[name].shape}
    if wrong:
        raise ValueError(f'{len(wrong)} parameters do not fit, such as {sorted(wrong)[0]}')
    module.load_state_dict(dict(state), strict=False)


def save(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer,
         scaler: Mapping[str, Any], progress: Progress, signature: Mapping[str, Any]) -> None:
    """Write ``last.safetensors``; the one before it stays as ``previous.safetensors``."""
    tensors = {f'model.{name}': value for name, value in own_state(module).items()}
    tensors |= optimizer_tensors(optimizer)
    said = {'progress': json.dumps(asdict(progress)), 'scaler': json.dumps(dict(scaler)),
            'signature': json.dumps(signature, sort_keys=True)}
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / 'last.partial', tensors, said)
    if (folder / LAST).exists():
        (folder / LAST).replace(folder / PREVIOUS)
    (folder / 'last.partial').replace(folder / LAST)


def save_best(folder: Path, module: nn.Module) -> None:
    """Write the weights of the best epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / 'best.partial', own_state(module), {})
    (folder / 'best.partial').replace(folder / BEST)


def load_best(folder: Path, module: nn.Module) -> None:
    """Read the weights of the best epoch; raise TrainingError where they are damaged."""
    try:
        load_own_state(module, load_file(folder / BEST))
    except (OSError, SafetensorError, ValueError) as error:
        raise TrainingError(f'{folder / BEST}: cannot be read ({error}): delete {folder} and '
                            'train again') from error


def read_progress(folder: Path) -> Progress:
    """Return how far the training in a folder is; TrainingError where that cannot be read."""
    try:
        with safe_open(folder / LAST, 'pt') as file:
            return Progress(**json.loads((file.metadata() or {})['progress']))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f'{folder / LAST}: cannot be read ({error}): delete {folder} and '
                            'train again') from error


def load(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer,
         signature: Mapping[str, Any], warn: Callable[[str], None] = print
         ) -> tuple[Progress, dict[str, Any]] | None:
    """Go on from a folder's checkpoint: (progress, scaler); None where there is none.

    A damaged ``last.safetensors`` is left for the one before it. Raises TrainingError where the
    checkpoint belongs to another training.
    """
    damaged = []
    for path in (folder / LAST, folder / PREVIOUS):
        try:
            with safe_open(path, 'pt') as file:
                said = file.metadata() or {}
            tensors = load_file(path)
            progress = Progress(**json.loads(said['progress']))
        except FileNotFoundError:
            continue
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            damaged.append(f'{path}: half-written or damaged ({error})')
            continue
        if damaged:
            warn(f'{damaged[0]}: going on from {path.name}, step {progress.step}')
        _same_training(path, json.loads(said['signature']), signature)
        progress.running = (progress.running[0], progress.running[1])
        _restore(path, tensors, module, optimizer)
        return progress, json.loads(said['scaler'])
    if damaged:
        raise TrainingError('; '.join(damaged) + f': delete {folder} to train from the beginning')
    return None


def _restore(path: Path, tensors: Mapping[str, Tensor], module: nn.Module,
             optimizer: torch.optim.Optimizer) -> None:
    try:
        load_own_state(module, {name.removeprefix('model.'): value
                                for name, value in tensors.items() if name.startswith('model.')})
    except ValueError as error:
        raise TrainingError(f'{path}: is of another network: {error}; choose another --out, or '
                            f'delete {path.parent}') from error
    restore_optimizer(optimizer, tensors)


def _same_training(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    differing = [f'{key} was {there.get(key)!r:.60}, is {here.get(key)!r:.60}'
                 for key in sorted({*there} | {*here}) if there.get(key) != here.get(key)]
    if differing:
        raise TrainingError(f'{path}: belongs to a training with other settings '
                            f'({"; ".join(differing[:4])}): choose another --out, delete '
                            f'{path.parent} to begin anew, or give the same settings')


def _write(path: Path, tensors: dict[str, Tensor], said: dict[str, str]) -> None:
    save_file(tensors, path, said)
    # On the disk before it takes the place of the last one: a power cut must not leave neither.
    with open(path, 'rb+') as file:
        os.fsync(file.fileno())
