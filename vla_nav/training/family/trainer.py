"""The training loop: the same on a processor, on one GPU, and on many under ``accelerate``."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter

from vla_nav.policies.config import FamilyConfig, TrainConfig
from vla_nav.policies.family import FamilyPolicy, Instructions
from vla_nav.training.family import checkpoint
from vla_nav.training.family.checkpoint import Progress
from vla_nav.training.family.material import Material
from vla_nav.training.family.objective import Imitation, Sums
from vla_nav.training.family.problems import TrainingError, named_memory
from vla_nav.training.family.steps import Batch, Labels, Share, Source, TrainingSteps, whole_drives

# Settings that change how a result is computed, but not the result.
_FREE = ('accumulate', 'workers', 'save_every', 'gradient_checkpointing', 'patience')


@dataclass(frozen=True)
class Notes:
    """Whom a training tells: of each step (done, all, loss), of warnings and of events."""

    step: Callable[[int, int, float], None] = lambda done, total, loss: None
    say: Callable[[str], None] = print


# Were DDP the last owner of its process group, it would join gloo's thread while it holds the GIL,
# which that thread may be waiting for: the processes would now and then hang at their very end.
_KEPT_GROUPS: list[Any] = []


@contextlib.contextmanager
def accelerator_for(t: TrainConfig) -> Iterator[Accelerator]:
    """Yield what places, wraps and synchronises; it is gone afterwards, for the next training."""
    precision = t.precision
    if precision == 'fp16' and not torch.cuda.is_available():
        precision = 'fp32'  # half precision without a GPU is slower, and has no loss scaling
    if t.deterministic:
        # cuBLAS is deterministic only with a fixed workspace, chosen before its first call.
        os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    torch.backends.cudnn.deterministic = t.deterministic
    torch.backends.cudnn.benchmark = not t.deterministic
    torch.use_deterministic_algorithms(t.deterministic, warn_only=True)
    # Where there is no GPU, accelerate must be told; processes would not know of each other.
    accelerator = Accelerator(mixed_precision='no' if precision == 'fp32' else precision,
                              cpu=not torch.accelerator.is_available())
    if torch.distributed.is_initialized():
        _KEPT_GROUPS.append(torch.distributed.group.WORLD)
    try:
        yield accelerator
        accelerator.end_training()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = False
        AcceleratorState._reset_state(reset_partial_state=True)


class Trainer:
    """One training, from wherever its folder says that it is, to its end."""

    def __init__(self, config: FamilyConfig, policy: FamilyPolicy, material: Material,
                 source: Source, cached: bool, folder: Path, accelerator: Accelerator,
                 notes: Notes = Notes()) -> None:
        """Prepare the training that lies, or will lie, in ``folder``.

        ``source`` has the inputs of the recordings that ``material`` numbers.
        """
        self.config, self.policy, self.material, self.folder = config, policy, material, folder
        self.accelerator, self.notes, self.source = accelerator, notes, source
        t = config.train
        self.share = Share(accelerator.process_index, accelerator.num_processes, t.accumulate)
        stride = (max(1, round(t.stride_s / config.action.step_s)) if t.stride_s
                  else config.window)
        self.steps = TrainingSteps(source, material.labels, material.members(material.parts.train),
                                   stride, t.batch, t.seed, self.share)
        self.total = t.epochs * self.steps.per_epoch
        parameters = policy.trainable()
        if not parameters:
            raise TrainingError('nothing in this policy learns: set backbone.*.tune')
        optimizer = torch.optim.AdamW(parameters, lr=t.lr, weight_decay=t.weight_decay)
        # The state is loaded before anything is wrapped, so that the names are the policy's own.
        policy.to(accelerator.device)
        self.progress, scaler = Progress(), dict[str, Any]()
        found = checkpoint.load(folder, policy, optimizer, self._signature(), notes.say)
        if found:
            self.progress, scaler = found
        self.model, self.optimizer = accelerator.prepare(Imitation(policy, t, cached), optimizer)
        if scaler and accelerator.scaler is not None:
            accelerator.scaler.load_state_dict(scaler)
        self.instructions = material.instructions.to(accelerator.device)

    def run(self) -> Progress:
        """Train to the end of the last epoch, or until it gets no better; return how it went."""
        t, main = self.config.train, self.accelerator.is_main_process
        writer = SummaryWriter(str(self.folder / 'tensorboard'),
                               purge_step=self.progress.step + 1) if main else None
        try:
            with named_memory(self._memory_remedy):
                while self.progress.epoch < t.epochs and not self.progress.stopped:
                    began = time.monotonic()
                    self.train_epoch(writer)
                    self._close_epoch(writer, time.monotonic() - began)
        finally:
            if writer is not None:
                writer.close()
        return self.progress

    def validate(self, members: Sequence[int]) -> dict[str, Any]:
        """Return loss and errors over whole drives, with the memory carried on as on the robot.

        Normalised actions; ``mae`` is over all values of all chunks, ``first`` over the
        velocities that are driven at once, an axis each, None where no robot has it.
        """
        # The network itself: what wraps it waits for the other processes in each call, and they
        # have unequal numbers of drives.
        totals = drive_sums(self.accelerator.unwrap_model(self.model), self.source,
                            self.material.labels, members, self.instructions,
                            self.accelerator.device, self.config.train.batch, self.share)
        loss, absolute, first, values, firsts = (
            self.accelerator.reduce(part, 'sum').cpu().double() for part in totals)
        each = zip(self.config.action.space.names, first.tolist(), firsts.tolist())
        return {'loss': float(loss / values), 'mae': float(absolute / values),
                'first': {axis: error / n if n else None for axis, error, n in each}}

    def train_epoch(self, writer: SummaryWriter | None) -> None:
        """Make the steps that are left of this epoch; ``writer`` gets the curves."""
        t, p = self.config.train, self.progress
        last = (p.epoch + 1) * self.steps.per_epoch
        loader = DataLoader(self.steps, batch_size=None, sampler=range(p.step, last),
                            num_workers=t.workers, pin_memory=torch.cuda.is_available())
        self.model.train()
        for batches in loader:
            loss, values, norm = self._step(batches)
            p.running = (p.running[0] + loss, p.running[1] + values)
            p.step += 1
            self.notes.step(p.step, self.total, loss / values)
            if writer is not None:
                writer.add_scalar('train/loss', loss / values, p.step)
                writer.add_scalar('train/gradient_norm', norm, p.step)
                writer.add_scalar('train/rate', learning_rate(p.step - 1, self.total, t), p.step)
            if p.step % t.save_every == 0 and p.step < last:
                self._save()

    def _step(self, batches: Sequence[Batch]) -> tuple[float, float, float]:
        """Make one step of the optimiser; return loss and values over all processes, and norm."""
        t, accelerator = self.config.train, self.accelerator
        # Dropout too depends on seed, step and process alone, so that a resumed run repeats it.
        torch.manual_seed(_mixed(t.seed, self.progress.step, self.share.rank))
        for group in self.optimizer.param_groups:
            group['lr'] = learning_rate(self.progress.step, self.total, t)
        count = torch.tensor(sum(float(batch.mask.sum()) for batch in batches))
        values = accelerator.reduce(count.to(accelerator.device), 'sum').clamp_min(1.0)
        loss = torch.zeros((), device=accelerator.device)
        for number, batch in enumerate(batches, 1):
            whole = number == len(batches)
            with contextlib.nullcontext() if whole else accelerator.no_sync(self.model):
                batch = batch.to(accelerator.device)
                got, _ = self.model(batch, self.instructions.select(batch.recording.tolist()))
                # Gradients are averaged over processes; the loss is a mean over all values.
                accelerator.backward(got.loss * (self.share.ranks / values))
                loss += got.loss.detach()
        norm = accelerator.clip_grad_norm_(self.policy.trainable(), t.clip_norm or math.inf)
        self.optimizer.step()
        self.optimizer.zero_grad()
        total = float(accelerator.reduce(loss, 'sum'))
        if not math.isfinite(total):
            raise TrainingError(
                f'the loss is not finite at step {self.progress.step + 1}: use a lower train.lr '
                f'(now {t.lr:g}), train.clip_norm=1, or train.precision=bf16 in place of fp16; '
                f'{self._kept()}')
        return total, float(values), float(norm if norm is not None else math.nan)

    def _close_epoch(self, writer: SummaryWriter | None, seconds: float) -> None:
        p, t = self.progress, self.config.train
        found = self.validate(self.material.members(self.material.parts.validation))
        loss, values = p.running
        p.epoch += 1
        p.seconds += seconds
        p.history.append({'epoch': p.epoch, 'step': p.step, 'train_loss': loss / values,
                          'seconds': round(seconds, 3),
                          **{f'validation_{key}': value for key, value in found.items()}})
        p.running = (0.0, 0.0)
        better = p.best is None or found['loss'] < p.best
        p.waited = 0 if better else p.waited + 1
        if better:
            p.best, p.best_epoch = found['loss'], p.epoch
            if self.accelerator.is_main_process:
                checkpoint.save_best(self.folder, self.policy)
        p.stopped = t.patience is not None and p.waited >= t.patience
        if writer is not None:
            writer.add_scalar('validation/loss', found['loss'], p.step)
            writer.add_scalar('validation/mae', found['mae'], p.step)
        self._save()

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            scaler = self.accelerator.scaler
            checkpoint.save(self.folder, self.policy, self.optimizer,
                            scaler.state_dict() if scaler is not None else {}, self.progress,
                            self._signature())
        self.accelerator.wait_for_everyone()

    def _signature(self) -> dict[str, Any]:
        config = self.config.model_dump(mode='json')
        train = {f'train.{key}': value for key, value in config.pop('train').items()
                 if key not in _FREE}
        config.pop('about')
        return {**config, **train, 'data': self.material.digest}

    def _kept(self) -> str:
        path = self.folder / checkpoint.LAST
        return f'the checkpoint {path} is kept' if path.exists() else 'nothing was lost'

    def _memory_remedy(self) -> str:
        t = self.config.train
        return (f'train.batch={t.batch} windows of {self.config.window} pictures do not fit: '
                f'train.accumulate={2 * t.accumulate} gives the same result in half the memory; '
                'train.gradient_checkpointing=true and train.precision=bf16 save more; '
                f'{self._kept()}, and the same command goes on from there')


def drive_sums(model: torch.nn.Module, source: Source, labels: Labels, members: Sequence[int],
               instructions: Instructions, device: torch.device, batch: int,
               share: Share) -> Sums:
    """Return the sums over whole drives that are this process's share."""
    was_training = model.training
    model.eval()
    totals: list[Tensor] | None = None
    with torch.no_grad():
        for drive in whole_drives(source, labels, members, batch, share):
            state = None
            for part in drive:
                words = instructions.select(part.recording.tolist())
                got, state = model(part.to(device), words, state)
                totals = [a + b for a, b in zip(totals, got)] if totals else [*got]
    model.train(was_training)
    if totals is None:  # more processes than drives
        none, each = torch.zeros((), device=device), torch.zeros(labels.axes, device=device)
        totals = [none, none, each, none, each]
    return Sums(*totals)


def learning_rate(step: int, total: int, t: TrainConfig) -> float:
    """Return the rate of a step: warm-up, then constant, or a cosine down to a hundredth."""
    warm = max(1, round(t.warm_up * total))
    rise = min(1.0, (step + 1) / warm)
    if t.schedule == 'constant':
        return t.lr * rise
    part = min(max((step - warm) / max(1, total - warm), 0.0), 1.0)
    return t.lr * rise * (0.01 + 0.99 * (1 + math.cos(math.pi * part)) / 2)


def _mixed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1)
