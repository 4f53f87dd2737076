"""The training loop: one epoch after the other, a checkpoint after each, exact resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from vla_nav.detection.average_precision import figures
from vla_nav.detection.contracts import DetectorSpec
from vla_nav.detection.dataset.yolo import Dataset
from vla_nav.detection.training import checkpoint, levels
from vla_nav.detection.training.eager import EagerDetector
from vla_nav.detection.training.gate import CURVE_SCORE, IOU_THRESHOLD, SCORE_THRESHOLD, look
from vla_nav.detection.training.pictures import Pictures
from vla_nav.detection.training.recipe import Recipe
from vla_nav.detection.training.start import begin_from, weights_of
from vla_nav.detection.training.yolo import ultralytics
from vla_nav.training import cores

# How the parts of the loss are called in the history, whatever the level's head has.
LOSSES = ('box', 'class', 'distance')
# So many validation pictures tell whether training still pays; all of them tell how good it is.
CHECKED = 200


@dataclass(frozen=True)
class Job:
    """What to train: a level with an activation (``width`` None: the level's own), by a recipe.

    ``start`` is a trained bundle to begin from (None: from nothing). Two trainings of the same
    job on the same pictures give the same network.
    """

    level: str
    activation: str
    classes: tuple[str, ...]
    recipe: Recipe
    width: float | None = None
    start: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the job as JSON holds it; raise DetectorError where ``start`` cannot be read.

        Of ``start`` it holds the weights' checksum, wherever they lie.
        """
        start = weights_of(self.start).sha256 if self.start else None
        return {**asdict(self), 'classes': list(self.classes), 'start': start}

    def architecture(self) -> dict[str, Any]:
        """Return the network's description; raise LevelError."""
        return levels.read_level(self.level, self.activation, self.width)

    def build(self) -> nn.Module:
        """Return the network to begin with, the same each time; raise DetectorError."""
        torch.manual_seed(self.recipe.seed)
        model = levels.build(self.architecture(), self.classes)
        if self.start is not None:
            begin_from(model, self.start)
        return model


def train(job: Job, dataset: Dataset, folder: Path, device: str = 'cpu', workers: int = 1) -> None:
    """Train to the end, from the last checkpoint in ``folder`` if there is one.

    ``workers`` processes of one thread each share the batches of a training on the processor.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.check(folder, job.as_dict())  # here, where an error needs no trace of a process
    cores.spread(learn, workers, job, dataset, folder, device)


def learn(rank: int, workers: int, job: Job, dataset: Dataset, folder: Path,
          device: str = 'cpu') -> None:
    """Do one worker's part of :func:`train`; the first one saves and shows the progress."""
    recipe = job.recipe
    cv2.setNumThreads(0)
    with ultralytics('utils.torch_utils') as tools:
        model = job.build().to(device)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        average = tools.ModelEMA(model)
    optimizer = build_optimizer(model, recipe)
    state = checkpoint.load(folder, job.as_dict(), model, average.ema, optimizer)
    average.updates = state.steps
    if state.epochs >= recipe.epochs:
        return
    pictures = Pictures(dataset, recipe, loaders=0 if device == 'cpu' else 8)
    if len(pictures) // pictures.batches() < workers:
        raise ValueError(f'{workers} workers cannot share batches of {recipe.batch} of '
                         f'{len(pictures)} pictures; give fewer workers or a larger batch')
    if state.epochs == 0 and rank == 0:
        print(f'{len(pictures)} pictures, {pictures.batches()} batches an epoch', flush=True)
    criterion = model.init_criterion()  # type: ignore[operator]
    with shown(recipe.epochs * pictures.batches(), state.steps, rank == 0) as show:
        while state.epochs < recipe.epochs:
            began, losses = time.monotonic(), torch.zeros(len(LOSSES))
            model.train()
            for batch in pictures.epoch(state.epochs, rank, workers):
                rate = recipe.learning_rate(state.steps / pictures.batches())
                for group in optimizer.param_groups:
                    group['lr'] = rate
                losses += step(model, criterion, optimizer, batch, device, workers)
                average.update(model)
                state.steps += 1
                show(state.steps)
            if not losses.isfinite().all():
                raise RuntimeError(f'{folder}: the loss is no number any more in epoch '
                                   f'{state.epochs + 1}; begin again with a lower learning rate')
            state.epochs += 1
            row = {'epoch': state.epochs, 'rate': rate, 'seconds': time.monotonic() - began,
                   **dict(zip(LOSSES, (losses / pictures.batches()).tolist()))}
            if rank == 0:
                if recipe.check_every and state.epochs % recipe.check_every == 0:
                    row |= _check(average.ema, dataset, recipe)
                state.history.append(row)
                checkpoint.save(folder, job.as_dict(), state, model, average.ema, optimizer)
                print(f'epoch {state.epochs}/{recipe.epochs} ' + ' '.join(
                    f'{key} {value:.4g}' for key, value in row.items() if key != 'epoch'),
                    flush=True)


def _check(model: nn.Module, dataset: Dataset, recipe: Recipe) -> dict[str, float]:
    spec = DetectorSpec('check', dataset.names, recipe.image_size, CURVE_SCORE, IOU_THRESHOLD)
    found = figures(look(EagerDetector(model, spec), dataset.pictures('val')[:CHECKED],
                         len(dataset.names)).matched, dataset.names, SCORE_THRESHOLD)
    return {key: found[key] or 0.0 for key in ('map50', 'map50_95')}


def step(model: nn.Module, criterion: Any, optimizer: torch.optim.Optimizer,
         batch: dict[str, Any], device: str, workers: int) -> Tensor:
    """Learn from one batch; return the parts of its loss, [3]."""
    images = batch['img'].to(device, non_blocking=True).float() / 255
    with fast(device):
        predictions = model(images.contiguous(memory_format=torch.channels_last))
    # Where boxes lie is computed in float32: a bfloat16 coordinate would be pixels off.
    predictions = {key: [one.float() for one in value] if isinstance(value, list)
                   else value.float() for key, value in predictions.items()}
    loss, parts = criterion(predictions, {**batch, 'img': images})
    optimizer.zero_grad()
    loss.sum().backward()
    if workers > 1:
        cores.average_gradients(model.parameters(), workers)
    nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimizer.step()
    return torch.stack([part.cpu() for part in parts.values()])


def fast(device: str) -> torch.autocast:
    """Compute convolutions in bfloat16 within this context, where that is faster."""
    return cores.bfloat16() if device == 'cpu' else torch.autocast(device, torch.bfloat16)


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return AdamW; only the weights of convolutions decay."""
    learned = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [{'params': [p for p in learned if p.ndim > 1], 'weight_decay': recipe.weight_decay},
         {'params': [p for p in learned if p.ndim <= 1], 'weight_decay': 0.0}],
        lr=recipe.rate, betas=(0.937, 0.999))


@contextmanager
def shown(total: int, done: int, visible: bool) -> Iterator[Callable[[int], None]]:
    """Show a bar with the time left; give what moves it."""
    columns = (TextColumn('training'), BarColumn(), TextColumn('{task.completed}/{task.total}'),
               TimeRemainingColumn())
    with Progress(*columns, disable=not visible) as progress:
        task = progress.add_task('', total=total, completed=done)
        yield lambda steps: progress.update(task, completed=steps)
