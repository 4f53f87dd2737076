"""Backbones and fusion of a small member learn from single frames, as the compact policy does.

A readout that is thrown away afterwards asks the fused feature for the chunk, arrival and stage;
each backbone that points is told where the goal and the passage are. Frames in random order teach
a network from scratch to see; sequences, which teach it to remember, come after.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vla_nav.policies.compact import CompactConfig, Encoded
from vla_nav.policies.config import FamilyConfig
from vla_nav.policies.family import FamilyPolicy, Instructions
from vla_nav.training import cores
from vla_nav.training.dataset import Batch, Frames
from vla_nav.training.family import checkpoint
from vla_nav.training.family.checkpoint import Progress
from vla_nav.training.family.problems import TrainingError, from_workers, named_memory
from vla_nav.training.family.showing import shown
from vla_nav.training.imitation import (
    AVERAGE,
    ImitationConfig,
    chunk_error,
    learning_rate,
    losses,
)

_STAGES = 3
_READOUT = 128
_CHECKED = 512  # validation frames that each check looks at


class Glimpse(nn.Module):
    """What of a policy single frames can teach, and a readout of it."""

    def __init__(self, policy: FamilyPolicy) -> None:
        """Share backbones and fusion with ``policy``."""
        super().__init__()
        c = policy.config
        self.backbones, self.fusion = policy.backbones, policy.fusion
        self.sizes = CompactConfig(c.backbone.height, c.backbone.width, c.action.chunk,
                                   c.action.space.size)
        self.readout = nn.Sequential(
            nn.Linear(c.fusion.size, _READOUT), nn.ReLU(),
            nn.Linear(_READOUT, self.sizes.chunk * self.sizes.actions + 1 + _STAGES))

    def forward(self, image: Tensor, features: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return fused features [B, D], and each backbone's logits of goal and passage."""
        told = Instructions(('',) * len(image), features)
        backbones: list[Any] = [*self.backbones.values()]
        seen = [part.look(image, told) for part in backbones]
        return self.fusion(torch.cat([part for part, _ in seen], 1)).float(), [
            points for _, points in seen]

    def judge(self, fused: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return chunk [B, K, A], arrival logit [B, 1] and stage logits [B, 3]."""
        out = self.readout(fused)
        chunk, arrive, stage = out.split([out.shape[1] - 1 - _STAGES, 1, _STAGES], 1)
        return chunk.unflatten(1, (self.sizes.chunk, self.sizes.actions)), arrive, stage

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the parts of the loss: the compact policy's, the pointing once a backbone."""
        with fast():
            fused, points = self(batch.image, batch.features)
        chunk, arrive, stage = self.judge(fused)
        parts: dict[str, Tensor] = {}
        for number, logits in enumerate(points):
            found = losses(Encoded(fused, logits, stage), chunk, arrive, batch, self.sizes)
            parts |= found if not number else {
                f'{name}_{number}': found[name] for name in ('goal', 'passage')}
        return parts


@dataclass(frozen=True)
class GlimpseJob:
    """What to learn from which folders of frames, the expert's own first, in which folder.

    ``before`` is the job that this one goes on from where it ended, or None.
    """

    config: FamilyConfig
    frames: tuple[Path, ...]
    validation: tuple[Path, ...]
    folder: Path
    stretch: ImitationConfig
    workers: int = 2
    save_every: int = 500
    before: GlimpseJob | None = None

    def signature(self) -> dict[str, Any]:
        """Return what a checkpoint must have been made with to go on from it."""
        return {'backbone': self.config.backbone.model_dump(mode='json'),
                'fusion': self.config.fusion.model_dump(mode='json'),
                'frames': [path.name for path in self.frames], 'workers': self.workers,
                **asdict(self.stretch)}


@contextlib.contextmanager
def fast() -> Iterator[None]:
    """Compute in bfloat16 where the processor can; attention by plain products.

    The fused attention of this PyTorch takes three times as long backwards as all the rest.
    """
    with cores.bfloat16(), sdpa_kernel(SDPBackend.MATH):
        yield


def learn_glimpses(job: GlimpseJob) -> None:
    """Train to the end of the stretch, or go on to it; :func:`load_glimpses` has the result.

    Raises TrainingError with the remedy; what has been saved until then is kept.
    """
    if not (job.folder / checkpoint.BEST).exists():
        with from_workers():
            cores.spread(_work, job.workers, job)


def load_glimpses(folder: Path, config: FamilyConfig) -> tuple[FamilyPolicy, Glimpse]:
    """Return a policy whose backbones and fusion have learned; its head has not."""
    torch.manual_seed(0)
    policy = FamilyPolicy(config)
    glimpse = Glimpse(policy)
    checkpoint.load_best(folder, glimpse)
    return policy, glimpse


def _work(rank: int, workers: int, job: GlimpseJob) -> None:
    torch.manual_seed(job.stretch.seed)
    model = Glimpse(FamilyPolicy(job.config))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE))
    both = nn.ModuleDict({'model': model, 'average': average})
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-4)
    found = checkpoint.load(job.folder, both, optimizer, job.signature())
    if found is None and job.before is not None:
        found = checkpoint.load(job.before.folder, both, optimizer, job.before.signature())
    progress = found[0] if found else Progress()
    frames = Frames([*job.frames])
    quiet = contextlib.nullcontext()
    with named_memory(lambda: _memory_remedy(job)), \
            shown(f'{job.config.name}: frames') if rank == 0 else quiet as notes:
        for parts in _steps(job, rank, model, average, optimizer, frames, progress):
            if notes is None:
                continue
            notes.step(progress.step, job.stretch.last, parts['chunk'])
            if progress.step % job.save_every == 0 or progress.step == job.stretch.last:
                _note(progress, parts, average, job)
                notes.say(f'step {progress.step}: ' + ', '.join(
                    f'{name} {value:.4f}' for name, value in progress.history[-1].items()
                    if name not in ('epoch', 'step')))
                checkpoint.save(job.folder, both, optimizer, {}, progress, job.signature())
    if rank == 0:
        checkpoint.save_best(job.folder, average.module)


def _steps(job: GlimpseJob, rank: int, model: Glimpse, average: AveragedModel,
           optimizer: torch.optim.Optimizer, frames: Frames, progress: Progress
           ) -> Iterator[dict[str, float]]:
    """Make the steps that are left and yield each one's losses, smoothed.

    A step's frames depend on seed, step and process alone, so that a resumed run repeats them.
    """
    parameters, meter = [*model.parameters()], dict[str, float]()
    while progress.step < job.stretch.last:
        began = time.monotonic()
        for group in optimizer.param_groups:
            group['lr'] = learning_rate(progress.step, job.stretch)
        rng = np.random.default_rng([job.stretch.seed, progress.step, rank])
        parts = model.losses(frames.batch(job.stretch.batch, rng))
        optimizer.zero_grad()
        torch.stack([*parts.values()]).sum().backward()
        cores.average_gradients(parameters, job.workers)
        # The same in all processes, so that all end here.
        if not math.isfinite(nn.utils.clip_grad_norm_(parameters, 1.0)):
            raise TrainingError(f'the gradient is not finite at step {progress.step + 1}: begin '
                                f'again with a lower peak_rate than {job.stretch.peak_rate:g}; '
                                f'{job.folder} keeps what was saved before')
        optimizer.step()
        average.update_parameters(model)
        progress.step += 1
        progress.seconds += time.monotonic() - began
        for name, value in parts.items():
            now = value.item()
            meter[name] = now + 0.98 * (meter.get(name, now) - now)
        yield meter


def _memory_remedy(job: GlimpseJob) -> str:
    return (f'{job.stretch.batch} frames do not fit in each of {job.workers} processes: end other '
            'programs and give the same command, which goes on from what was saved, or take '
            '--workers 1 and another --out')


def _note(progress: Progress, parts: dict[str, float], average: AveragedModel,
          job: GlimpseJob) -> None:
    """Add the state of things to the history, in the form of a training by epochs."""
    batch = Frames([*job.validation]).batch(_CHECKED, np.random.default_rng(0))
    model: Any = average.module
    with torch.inference_mode(), fast():
        chunk = model.judge(model(batch.image, batch.features)[0])[0].float()
    progress.epoch += 1
    progress.history.append({
        'epoch': progress.epoch, 'step': progress.step, 'train_loss': parts['chunk'],
        'validation_loss': float(chunk_error(chunk, batch.chunk).mean()),
        'validation_mae': float((chunk - batch.chunk)[:, 0].abs().mean()),
        **{name: value for name, value in parts.items() if name != 'chunk'}})
