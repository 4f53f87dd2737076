"""The head of a small member learns from sequences of features that were computed once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from vla_nav.policies.family import FamilyPolicy
from vla_nav.training import cores
from vla_nav.training.dataset import Frames
from vla_nav.training.family.glimpses import Glimpse
from vla_nav.training.family.trainer import Notes
from vla_nav.training.imitation import chunk_error
from vla_nav.training.memory import MemoryConfig, Sequences, encode_drives


class _Some:
    """Whole episodes out of frames, every n-th, in the form in which frames are encoded."""

    def __init__(self, frames: Frames, every: int) -> None:
        kept = frames.bounds[::every]
        lengths = np.diff(kept)[:, 0]
        ends = np.cumsum(lengths)
        self.bounds = np.stack([ends - lengths, ends], 1)
        self._rows = np.concatenate([np.arange(first, end) for first, end in kept])
        self._frames, self.searching = frames, frames.searching[self._rows]
        self.fields = {name: values[self._rows] for name, values in frames.fields.items()}

    def __len__(self) -> int:
        return len(self._rows)

    def images(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._frames.images(self._rows[indices])


def encode(glimpse: Glimpse, size: int, directories: Sequence[Path], out: Path,
           limit: int) -> Sequences:
    """Return fused features of size ``size``, as seen and mirrored, kept in ``out``.

    Of more than ``limit`` frames only every n-th episode is taken. Each directory becomes a file,
    so that what was cut off goes on.
    """
    glimpse.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def look(image: Tensor, features: Tensor) -> Tensor:
        with cores.bfloat16():
            return glimpse(image, features)[0]

    every = max(1, -(-len(Frames([*directories])) // limit))
    parts = []
    out.mkdir(parents=True, exist_ok=True)
    for number, directory in enumerate(directories):
        path = out / f'{number}_{directory.name}.safetensors'
        if not path.exists():
            some: Any = _Some(Frames([directory]), every)
            found = encode_drives(look, size, some)
            partial = path.with_suffix('.partial')
            save_file({'features': found.features, 'chunks': found.chunks,
                       'arrived': found.arrived, 'bounds': torch.from_numpy(found.bounds)},
                      partial)
            partial.replace(path)
        parts.append(load_file(path))
    return _joined(parts)


def _joined(parts: Sequence[dict[str, Tensor]]) -> Sequences:
    starts = np.cumsum([0, *(len(part['features']) for part in parts)])
    features, chunks, arrived = (torch.cat([part[key] for part in parts])
                                 for key in ('features', 'chunks', 'arrived'))
    return Sequences(features, chunks, arrived, np.concatenate([
        part['bounds'].numpy() + start for part, start in zip(parts, starts)]))


def learn_to_remember(policy: FamilyPolicy, data: Sequences, config: MemoryConfig,
                      notes: Notes) -> dict[str, float]:
    """Train head and predictor in place; return the loss at the end and the seconds.

    The memory runs over the whole sequence as on the robot; gradients go back over
    ``head.window_s`` of it.
    """
    began = time.monotonic()
    rng = np.random.default_rng([config.seed, 4])
    torch.manual_seed(config.seed)
    parameters = [*policy.head.parameters(), *policy.predictor.parameters()]
    optimizer = torch.optim.AdamW(parameters, config.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.rate,
                                                   total_steps=config.steps, pct_start=0.1)
    policy.train()
    recent = 0.0
    for step in range(config.steps):
        at, there = (part.T for part in data.draw(config, rng))
        features = functional.dropout(data.features[at].float(), config.dropout)
        chunks, arrived = _run(policy, features)
        loss = chunk_error(chunks[there], data.chunks[at[there]]).mean() \
            + 0.1 * functional.binary_cross_entropy_with_logits(arrived[there],
                                                                data.arrived[at[there]])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        recent = loss.item() + (0.98 * (recent - loss.item()) if step else 0.0)
        notes.step(step + 1, config.steps, recent)
    policy.eval()
    return {'loss': recent, 'seconds': round(time.monotonic() - began, 1)}


def _run(policy: FamilyPolicy, features: Tensor) -> tuple[Tensor, Tensor]:
    """Return chunks [B, T, K, A] and arrival logits [B, T] of fused features [B, T, D]."""
    state, parts = policy.initial_state(len(features)), []
    for window in features.split(policy.config.window, 1):
        chunks, arrived, state = policy.decide(window, state.detach())
        parts.append((chunks, arrived))
    return torch.cat([part[0] for part in parts], 1), torch.cat([part[1] for part in parts], 1)


def judge(policy: FamilyPolicy, data: Sequences, batch: int = 32) -> dict[str, float]:
    """Return the errors over whole drives, each with its memory: normalised, of the first row.

    ``arrived`` is the share of frames on which the belief is on the right side of one half.
    """
    errors, right = [], []
    policy.eval()
    for some in np.array_split(data.bounds, -(-len(data.bounds) // batch)):
        steps = int((some[:, 1] - some[:, 0]).max())
        rows = some[:, :1] + np.arange(steps)
        there = torch.from_numpy(rows < some[:, 1:])
        at = torch.from_numpy(np.minimum(rows, some[:, 1:] - 1))
        with torch.inference_mode():
            chunks, arrived = _run(policy, data.features[at].float())
        errors.append((chunks - data.chunks[at])[:, :, 0].abs().mean(-1)[there])
        right.append((arrived.gt(0) == data.arrived[at].gt(0.5))[there].float())
    return {'mae': float(torch.cat(errors).mean()), 'arrived': float(torch.cat(right).mean())}
