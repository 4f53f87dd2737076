"""The memory: a GRU trained on sequences of a finished encoder's features.

Pictures are encoded once, then sequences of features are cheap: the memory trains in minutes
where whole episodes of pictures would take hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track
from torch.nn import functional

from vla_nav.policies.compact import CompactPolicy
from vla_nav.training.dataset import Frames
from vla_nav.training.imitation import ROW_WEIGHTS


@dataclass(frozen=True)
class MemoryConfig:
    """Sequences of ``length`` frames; the first ``warm_up`` of each only fill the memory."""

    steps: int = 4000
    batch: int = 48
    length: int = 40
    warm_up: int = 4
    rate: float = 1e-3
    seed: int = 0


def encode_all(model: CompactPolicy, frames: Frames, size: int = 256) -> torch.Tensor:
    """Return features float16 [N, 2, F] of all frames under both of their instructions."""
    model.eval()
    out = torch.empty(len(frames), 2, model.config.feature, dtype=torch.float16)
    with torch.inference_mode():
        for start in track(range(0, len(frames), size), 'encoding'):
            indices = np.arange(start, min(start + size, len(frames)))
            image = torch.from_numpy(frames.images(indices))
            for which in (0, 1):
                text = torch.from_numpy(frames.fields['features'][indices, which])
                out[indices, which] = model.encode(image, text).feature.half()
    return out


def train_memory(model: CompactPolicy, frames: Frames, features: torch.Tensor,
                 config: MemoryConfig = MemoryConfig()) -> dict[str, float]:
    """Train memory, recall and head in place; return the mean losses with and without memory.

    Both losses are over the last tenth of training, on the same sequences.
    """
    rng = np.random.default_rng([config.seed, 3])
    torch.manual_seed(config.seed)
    parts = (model.memory, model.recall, model.decide, model.act, model.arrive)
    parameters = [p for part in parts for p in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.rate, total_steps=config.steps, pct_start=0.1)
    starts = _starts(frames.fields['episode'], config.length)
    chunks = torch.from_numpy(frames.fields['chunks'])
    arrived = torch.from_numpy(frames.fields['arrived'])
    totals = np.zeros(3)
    model.train()
    for step in track(range(config.steps), 'memory'):
        first = torch.from_numpy(rng.choice(starts, config.batch))
        which = torch.from_numpy(rng.integers(2, size=config.batch))
        state = torch.zeros(config.batch, model.config.memory)
        loss, plain = torch.zeros(()), torch.zeros(())
        for t in range(config.length):
            at = first + t
            feature = features[at, which].float()
            state = model.memory(feature, state)
            if t < config.warm_up:
                continue
            chunk, arrive = model.head(feature, state)
            error = functional.smooth_l1_loss(chunk, chunks[at, which], reduction='none',
                                              beta=0.05)
            loss = loss + (error * ROW_WEIGHTS[:, None]).mean() \
                + 0.1 * functional.binary_cross_entropy_with_logits(arrive[:, 0],
                                                                    arrived[at, which])
        loss = loss / (config.length - config.warm_up)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step >= config.steps * 0.9:
            totals += (loss.item(), plain.item(), 1.0)
    return {'loss': totals[0] / totals[2]}


def _starts(episode: np.ndarray, length: int) -> np.ndarray:
    """Return the frames from which ``length`` frames of one episode follow."""
    index = np.arange(len(episode) - length + 1)
    return index[episode[index] == episode[index + length - 1]]
