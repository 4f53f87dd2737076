"""Imitation of the expert's labels: frames or windows of them, two processes, exact resume."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from vla_nav.policies.compact import CompactConfig, CompactPolicy, Encoded
from vla_nav.training import cores
from vla_nav.training.dataset import Batch, Frames
from vla_nav.training.optimizer_state import optimizer_tensors, restore_optimizer

# The first rows of a chunk are what is mostly driven.
ROW_WEIGHTS = torch.tensor([1.5, 1.4, 1.2, 1.0, 0.9, 0.8, 0.7, 0.5])
# How much of the running average of the weights stays, a step.
AVERAGE = 0.995


@dataclass(frozen=True)
class ImitationConfig:
    """One stretch of training, from step ``first`` to ``last`` (exclusive)."""

    first: int
    last: int
    batch: int = 128
    peak_rate: float = 1.5e-3
    warm_up: int = 200
    # Over so many steps at the end the rate falls from its peak to a hundredth of it (cosine).
    decay: int = 0
    seed: int = 0
    # With more than one frame in a row the memory learns too, from what it knew before them:
    # ``states`` [N, M] of all frames, a .npy file. Such a stretch begins with a new optimiser.
    window: int = 1
    states: Path | None = None


def losses(encoded: Encoded, chunk: Tensor, arrive: Tensor, batch: Batch,
           config: CompactConfig) -> dict[str, Tensor]:
    """Return the parts of the loss; the guesses about goal and stage only help to learn."""
    error = chunk_error(chunk, batch.chunk)
    rows, columns = config.height // 4, config.width // 4
    u, v, seen = batch.points.unbind(-1)
    cell = ((v * rows).long().clamp(0, rows - 1) * columns
            + (u * columns).long().clamp(0, columns - 1))
    target = torch.where(seen > 0.5, cell + 1, 0)
    return {
        'chunk': error.mean(),
        'goal': 0.05 * functional.cross_entropy(encoded.point_logits[:, 0], target[:, 0]),
        'passage': 0.05 * functional.cross_entropy(encoded.point_logits[:, 1], target[:, 1]),
        'stage': 0.03 * functional.cross_entropy(encoded.stage_logits, batch.stage),
        'arrive': 0.1 * functional.binary_cross_entropy_with_logits(arrive[:, 0], batch.arrived),
    }


def chunk_error(chunk: Tensor, label: Tensor) -> Tensor:
    """Return the weighted error of each value of chunks [B, K, A].

    Nearly quadratic: labels that differ much from the usual straight ahead are the corrections
    that matter, and an absolute error would pass them over as outliers.
    """
    error = functional.smooth_l1_loss(chunk, label, reduction='none', beta=0.4)
    return 2.0 * error * ROW_WEIGHTS[:, None]


def learning_rate(step: int, config: ImitationConfig) -> float:
    """Return the rate of a step: warm-up of a new optimiser, plateau, cosine decay."""
    part = 1 - (config.last - step) / max(config.decay, 1)
    fall = 0.01 + 0.99 * (1 + math.cos(math.pi * min(max(part, 0.0), 1.0))) / 2
    since = step - (config.first if config.window > 1 else 0)
    return config.peak_rate * min(1.0, (since + 1) / config.warm_up) * fall


def train(directories: list[Path], checkpoint: Path, config: ImitationConfig,
          workers: int = 2) -> None:
    """Train from ``checkpoint`` (or from nothing at step 0) and write it back.

    ``workers`` processes average their gradients. A run that is cut off resumes from the last
    checkpoint with the same batches, since each step's batch depends on the seed, step and worker
    alone; one that is done already is left at once.
    """
    if checkpoint_step(checkpoint) < config.last:
        cores.spread(_work, workers, directories, checkpoint, config)


def _work(rank: int, workers: int, directories: list[Path], checkpoint: Path,
          config: ImitationConfig) -> None:
    torch.manual_seed(config.seed)
    model = CompactPolicy().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(trained_parameters(model, config.window), lr=1e-3,
                                  weight_decay=1e-4)
    step = load_checkpoint(checkpoint, model, average, optimizer)
    step = max(step, config.first)
    frames = Frames(directories)
    states = np.load(config.states, mmap_mode='r') if config.states else None
    columns = (TextColumn('training'), BarColumn(), TextColumn('{task.completed}/{task.total}'),
               TimeRemainingColumn(), TextColumn('{task.fields[loss]}'))
    with Progress(*columns, disable=rank != 0) as progress:
        task = progress.add_task('', total=config.last, completed=step, loss='')
        meter: dict[str, float] = {}
        while step < config.last:
            for group in optimizer.param_groups:
                group['lr'] = learning_rate(step, config)
            rng = np.random.default_rng([config.seed, step, rank])
            batch = frames.batch(config.batch, rng, config.window, states)
            encoded = encode_fast(model, batch.image, batch.features)
            chunk, arrive = model.head(encoded.feature, _remember(model, encoded, batch, config))
            parts = losses(encoded, chunk, arrive, batch, model.config)
            optimizer.zero_grad()
            torch.stack(list(parts.values())).sum().backward()
            cores.average_gradients(model.parameters(), workers)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
            _follow(average, model)
            for name, value in parts.items():
                meter[name] = 0.98 * meter.get(name, value.item()) + 0.02 * value.item()
            progress.update(task, completed=step, loss=' '.join(
                f'{k} {v:.4f}' for k, v in meter.items()))
            if rank == 0 and (step % 500 == 0 or step == config.last):
                save_checkpoint(checkpoint, model, average, optimizer, step)
                print(f'step {step} ' + ' '.join(f'{k} {v:.4f}' for k, v in meter.items()),
                      flush=True)


def encode_fast(model: CompactPolicy, image: Tensor, features: Tensor) -> Encoded:
    """Encode with bfloat16 convolutions where the processor has them.

    Where things are is computed in float32: a bfloat16 coordinate would be a pixel off.
    """
    with cores.bfloat16():
        maps = model.convolve(image, features)
    return model.attend(*maps, features)


def _remember(model: CompactPolicy, encoded: Encoded, batch: Batch,
              config: ImitationConfig) -> Tensor:
    """Return the memory's state at each frame [B, M]; single frames remember nothing."""
    if config.window == 1:
        return torch.zeros(config.batch, model.config.memory)
    inputs = encoded.feature.unflatten(0, (-1, config.window)).transpose(0, 1)
    return model.memory.sequence(inputs, batch.before).transpose(0, 1).flatten(0, 1)


def trained_parameters(model: CompactPolicy, window: int = 1) -> list[torch.nn.Parameter]:
    """Return what windows can teach: everything; of a single frame, all but the memory."""
    return [p for name, p in model.named_parameters()
            if window > 1 or not name.startswith(('memory.', 'recall.'))]


def _follow(average: CompactPolicy, model: CompactPolicy) -> None:
    with torch.no_grad():
        for a, b in zip(average.parameters(), model.parameters()):
            a.lerp_(b, 1 - AVERAGE)


def save_checkpoint(path: Path, model: CompactPolicy, average: CompactPolicy,
                    optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write weights, their running average, the optimiser and the step; atomic."""
    tensors = {'step': torch.tensor(step)}
    tensors |= {f'model.{k}': v.contiguous() for k, v in model.state_dict().items()}
    tensors |= {f'average.{k}': v.contiguous() for k, v in average.state_dict().items()}
    tensors |= optimizer_tensors(optimizer)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')
    save_file(tensors, partial)
    partial.replace(path)


def checkpoint_step(path: Path) -> int:
    """Return the step of a checkpoint; -1 where there is none."""
    if not path.exists():
        return -1
    with safe_open(path, 'pt') as opened:
        return int(opened.get_tensor('step'))


def load_checkpoint(path: Path, model: CompactPolicy, average: CompactPolicy,
                    optimizer: torch.optim.Optimizer | None = None) -> int:
    """Read :func:`save_checkpoint`'s file and return its step; 0 where there is none."""
    if not path.exists():
        return 0
    tensors = load_file(path)
    for name, module in (('model.', model), ('average.', average)):
        module.load_state_dict({k.removeprefix(name): v for k, v in tensors.items()
                                if k.startswith(name)})
    if optimizer is not None:
        restore_optimizer(optimizer, tensors)
    return int(tensors['step'])
