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
from vla_nav.training.imitation import chunk_error


@dataclass(frozen=True)
class MemoryConfig:
    """Sequences of ``length`` frames, begun anywhere in an episode with an empty memory."""

    steps: int = 4000
    batch: int = 48
    length: int = 40
    rate: float = 1e-3
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
            out[start:start + size] = model.encode(image, text).feature.half()
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
    starts = _starts(frames.fields['episode'], config.length)
    chunks = torch.from_numpy(frames.fields['chunks'][:, 0])
    arrived = torch.from_numpy(frames.fields['arrived'][:, 0])
    values = []
    model.train()
    for _ in track(range(config.steps), 'memory'):
        first = torch.from_numpy(rng.choice(starts, config.batch))
        state = torch.zeros(config.batch, model.config.memory)
        loss = torch.zeros(())
        for t in range(config.length):
            at = first + t
            feature = features[at].float()
            state = model.memory(feature, state)
            chunk, arrive = model.head(feature, state)
            loss = loss + chunk_error(chunk, chunks[at]).mean() \
                + 0.1 * functional.binary_cross_entropy_with_logits(
                    arrive[:, 0], arrived[at])
        loss = loss / config.length
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        values.append(loss.item())
    tenth = max(1, config.steps // 10)
    return {'first_loss': float(np.mean(values[:tenth])),
            'last_loss': float(np.mean(values[-tenth:]))}


def _starts(episode: np.ndarray, length: int) -> np.ndarray:
    """Return the frames from which ``length`` frames of one episode follow."""
    index = np.arange(len(episode) - length + 1)
    return index[episode[index] == episode[index + length - 1]]
