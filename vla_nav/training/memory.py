"""The memory: a GRU trained on sequences of a finished encoder's features.

Pictures are encoded once, then sequences of features are cheap: the memory trains in minutes
where whole episodes of pictures would take hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch.nn import functional

from vla_nav.policies.compact import CompactPolicy
from vla_nav.training.dataset import Frames
from vla_nav.training.imitation import chunk_error, encode_fast


@dataclass(frozen=True)
class MemoryConfig:
    """Sequences of up to ``length`` frames, half of them from the start of an episode."""

    steps: int = 3000
    batch: int = 48
    length: int = 96
    rate: float = 1.5e-3
    seed: int = 0


def encode_all(model: CompactPolicy, frames: Frames, size: int = 256) -> torch.Tensor:
    """Return features float16 [N, F] of all frames under the instruction that was driven."""
    model.eval()
    out = torch.empty(len(frames), model.config.feature, dtype=torch.float16)
    with torch.inference_mode():
        for start in track(range(0, len(frames), size), 'encoding'):
            indices = np.arange(start, min(start + size, len(frames)))
            image = torch.from_numpy(frames.images(indices))
            text = torch.from_numpy(frames.fields['features'][indices, 0])
            out[start:start + size] = encode_fast(model, image, text).feature.half()
    return out


def train_memory(model: CompactPolicy, frames: Frames, features: torch.Tensor,
                 config: MemoryConfig = MemoryConfig()) -> dict[str, float]:
    """Train memory, recall and head in place on features float16 [N, F].

    Returns the mean loss of the first and of the last tenth of training.
    """
    rng = np.random.default_rng([config.seed, 3])
    torch.manual_seed(config.seed)
    parts = (model.memory, model.recall, model.decide, model.act, model.arrive)
    parameters = [p for part in parts for p in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.rate, total_steps=config.steps, pct_start=0.1)
    chunks = torch.from_numpy(frames.fields['chunks'][:, 0])
    arrived = torch.from_numpy(frames.fields['arrived'][:, 0])
    episode = frames.fields['episode']
    bounds = np.flatnonzero(np.diff(episode, prepend=-1, append=-1))
    values = []
    model.train()
    for _ in track(range(config.steps), 'memory'):
        at, valid = _sequences(bounds, config, rng)
        feature = features[at].float()
        states = model.memory.sequence(feature)
        chunk, arrive = model.head(feature.flatten(0, 1), states.flatten(0, 1))
        at, valid = at.flatten(), valid.flatten()
        loss = chunk_error(chunk[valid], chunks[at[valid]]).mean() \
            + 0.1 * functional.binary_cross_entropy_with_logits(
                arrive[valid, 0], arrived[at[valid]])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        values.append(loss.item())
    tenth = max(1, config.steps // 10)
    return {'first_loss': float(np.mean(values[:tenth])),
            'last_loss': float(np.mean(values[-tenth:]))}


def _sequences(bounds: NDArray[np.int64], config: MemoryConfig,
               rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw frames [T, B], and which of them are before their episode's end [T, B].

    ``bounds`` holds the first frame of each episode and the end of the last.
    """
    chosen = rng.integers(len(bounds) - 1, size=config.batch)
    first, end = bounds[chosen], bounds[chosen + 1]
    anywhere = rng.integers(first, np.maximum(end - 16, first + 1))
    start = np.where(rng.random(config.batch) < 0.5, first, anywhere)
    at = start + np.arange(config.length)[:, None]
    return (torch.from_numpy(np.minimum(at, end - 1)), torch.from_numpy(at < end))
