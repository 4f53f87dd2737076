"""The memory: a GRU trained on sequences of a finished encoder's features.

Pictures are encoded once, and once more mirrored and in another light; then sequences of features
are cheap: the memory trains in minutes where whole episodes of pictures would take hours. It would
learn its scenes by heart, if the second form of each and dropout did not hinder it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from vla_nav.policies.compact import CompactPolicy
from vla_nav.training.dataset import MIRROR_AXES, MIRROR_TEXT, Frames, other_light
from vla_nav.training.imitation import chunk_error, encode_fast

# Features [B, F] of pictures uint8 [B, H, W, 3] and instructions [B, 13].
Look = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class MemoryConfig:
    """Sequences of up to ``length`` frames, half of them from the start of an episode."""

    steps: int = 3000
    batch: int = 48
    length: int = 96
    rate: float = 1.5e-3
    # Of features and of states.
    dropout: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Sequences:
    """Features float16 [N, F] with labels [N, K, A] and [N], and the bounds [E, 2] of episodes."""

    features: torch.Tensor
    chunks: torch.Tensor
    arrived: torch.Tensor
    bounds: NDArray[np.int64]

    def draw(self, config: MemoryConfig,
             rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw frames [T, B], and which of them are before their episode's end [T, B]."""
        first, end = self.bounds[rng.integers(len(self.bounds), size=config.batch)].T
        anywhere = rng.integers(first, np.maximum(end - 16, first + 1))
        start = np.where(rng.random(config.batch) < 0.5, first, anywhere)
        at = start + np.arange(config.length)[:, None]
        return torch.from_numpy(np.minimum(at, end - 1)), torch.from_numpy(at < end)


def encode_all(model: CompactPolicy, frames: Frames) -> Sequences:
    """Encode all frames with the compact policy's encoder, as :func:`encode_drives` does."""
    return encode_drives(_look(model), model.config.feature, frames)


def encode_drives(look: Look, size: int, frames: Frames) -> Sequences:
    """Encode all frames under the instruction that was driven, and again mirrored.

    ``look`` gives features of ``size``, in several threads at once. The mirrored drives have each
    its own light. Episodes in which the robot searches before the first gate have no mirror image.
    """
    chunks = torch.from_numpy(frames.fields['chunks'][:, 0])
    arrived = torch.from_numpy(frames.fields['arrived'][:, 0])
    bounds = frames.bounds
    fit = np.array([not frames.searching[a:b, 0].any() for a, b in bounds])
    light = other_light(np.tile(np.eye(3), (len(bounds), 1, 1)), np.random.default_rng(0))
    light = np.repeat(light, np.diff(bounds)[:, 0], 0)
    return Sequences(torch.cat([_encode(look, size, frames), _encode(look, size, frames, light)]),
                     torch.cat([chunks, chunks * torch.from_numpy(MIRROR_AXES)]),
                     torch.cat([arrived, arrived]),
                     np.concatenate([bounds, bounds[fit] + len(frames)]))


def _look(model: CompactPolicy) -> Look:
    model.eval()
    return lambda image, features: encode_fast(model, image, features).feature


def _encode(look: Look, size: int, frames: Frames,
            mirror_light: NDArray[np.float64] | None = None, batch: int = 256) -> torch.Tensor:
    """Return features float16 [N, F]; mirrored, under a light [N, 3, 4], where one is given."""
    out = torch.empty(len(frames), size, dtype=torch.float16)

    @torch.inference_mode()
    def encode(start: int) -> None:
        indices = np.arange(start, min(start + batch, len(frames)))
        images, text = frames.images(indices), frames.fields['features'][indices, 0]
        if mirror_light is not None:
            for image, light in zip(images, mirror_light[indices]):
                cv2.transform(image[:, ::-1].copy(), light, dst=image)
            text = text[:, MIRROR_TEXT]
        out[start:start + batch] = look(torch.from_numpy(images), torch.from_numpy(text)).half()

    # Pictures a core, not cores a picture: unpacking takes as long as encoding.
    starts = range(0, len(frames), batch)
    with ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads,
                            initargs=(1,)) as pool:
        for _ in track(pool.map(encode, starts), 'encoding', len(starts)):
            pass
    return out


@torch.inference_mode()
def all_states(model: CompactPolicy, frames: Frames) -> NDArray[np.float16]:
    """Return what the memory holds after each frame of the drives, float16 [N, M]."""
    features, bounds = _encode(_look(model), model.config.feature, frames), frames.bounds
    out = np.empty((len(frames), model.config.memory), np.float16)
    # Episodes of about one length, side by side: a step of one episode is all overhead.
    order = np.argsort(bounds[:, 1] - bounds[:, 0])
    for group in track(np.array_split(order, len(order) // 64 + 1), 'remembering'):
        padded = pad_sequence([features[a:b].float() for a, b in bounds[group]])
        states = model.memory.sequence(padded).half().numpy()
        for (a, b), one in zip(bounds[group], states.swapaxes(0, 1)):
            out[a:b] = one[:b - a]
    return out


def train_memory(model: CompactPolicy, data: Sequences,
                 config: MemoryConfig = MemoryConfig()) -> dict[str, float]:
    """Train memory, recall and head in place.

    Returns the mean loss of the first and of the last tenth of training.
    """
    rng = np.random.default_rng([config.seed, 3])
    torch.manual_seed(config.seed)
    parts = (model.memory, model.recall, model.decide, model.act, model.arrive)
    parameters = [p for part in parts for p in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.rate, total_steps=config.steps, pct_start=0.1)
    values = []
    model.train()
    for _ in track(range(config.steps), 'memory'):
        at, valid = data.draw(config, rng)
        feature = functional.dropout(data.features[at].float(), config.dropout)
        states = functional.dropout(model.memory.sequence(feature), config.dropout)
        chunk, arrive = model.head(feature.flatten(0, 1), states.flatten(0, 1))
        at, valid = at.flatten(), valid.flatten()
        loss = chunk_error(chunk[valid], data.chunks[at[valid]]).mean() \
            + 0.1 * functional.binary_cross_entropy_with_logits(
                arrive[valid, 0], data.arrived[at[valid]])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        values.append(loss.item())
    tenth = max(1, config.steps // 10)
    return {'first_loss': float(np.mean(values[:tenth])),
            'last_loss': float(np.mean(values[-tenth:]))}
