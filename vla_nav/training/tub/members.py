"""One network of the track policy: augmented copies, many updates, averaged weights."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vla_nav.policies.track import ODD, Gradients, TrackConfig, TrackNetwork, mirrored
from vla_nav.training.tub.frames import Indices, TubFrames, chunk_labels

# Pictures whose gradients are taken together: few enough for the processor's cache, which halves
# the time.
_TOGETHER = 8


@dataclass(frozen=True)
class Form:
    """What is chosen for a tub: the network's sizes, and how far copies are augmented (0 to 1)."""

    channels: int
    hidden: int
    augmentation: float

    def of(self, network: TrackConfig) -> TrackConfig:
        """Return the network in these sizes."""
        return replace(network, channels=self.channels, hidden=self.hidden)


@dataclass(frozen=True)
class Recipe:
    """How to train. ``steps`` is the longest training; the number taken is tuned.

    ``sizes`` (channels, hidden) and ``augmentations`` are tuned too, each with each.
    ``copies`` augmented copies are made of each frame, and shared by all trainings of a study.
    ``average`` is how much of the averaged weights stays at each update.
    """

    network: TrackConfig = field(default_factory=TrackConfig)
    sizes: tuple[tuple[int, int], ...] = ((12, 32), (24, 64), (48, 128))
    augmentations: tuple[float, ...] = (0.5, 1.0)
    copies: int = 6
    steps: int = 160
    every: int = 40
    batch: int = 64
    rate: float = 1.5e-3
    weight_decay: float = 0.05
    average: float = 0.98
    inner: int = 2
    seed: int = 0

    def forms(self) -> list[Form]:
        """Return what there is to choose from."""
        return [Form(*size, strength) for size in self.sizes for strength in self.augmentations]


class Material:
    """A tub's features: of the true pictures, and of augmented copies.

    ``features`` float32 [T, 11, rows, columns]; ``copies`` of each augmentation the same in half
    precision with a leading axis. ``flat`` float64 [T, F] are the features for the linear map, and
    ``kernel`` [T, T] their products.
    """

    def __init__(self, frames: TubFrames, recipe: Recipe) -> None:
        """Make the copies."""
        self.frames, gradients = frames, Gradients()
        parts = torch.from_numpy(frames.images).split(_TOGETHER)
        self.copies: dict[float, Tensor] = {}
        with torch.inference_mode():
            self.features = torch.cat([gradients(part) for part in parts])
            for strength in recipe.augmentations:
                generator = torch.Generator().manual_seed(recipe.seed)
                self.copies[strength] = torch.stack([
                    torch.cat([gradients(augment(part, strength, generator)).half()
                               for part in parts]) for _ in range(recipe.copies)])
            self._turned = mirrored(self.features)
        self.flat = np.asarray(self.features.flatten(1).double().numpy())
        self.kernel = self.flat @ self.flat.T

    def both_ways(self, network: TrackNetwork, indices: Indices) -> Tensor:
        """Return a network's chunks for the frames, averaged over them and their mirrors."""
        chunks, turned = network(self.features[indices]), network(self._turned[indices])
        turned[..., ODD] *= -1
        return (chunks + turned) / 2


def augment(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Return pictures [B, H, W, 3] moved, turned, zoomed and lit a little differently.

    At a ``strength`` of 1 the moves are still small enough for the label to stay.
    """
    def some(*shape: int) -> Tensor:
        return strength * (2 * torch.rand(*shape, generator=generator) - 1)

    count = len(images)
    zoom, turn = 1 + 0.1 * some(count), 0.05 * some(count)
    grid = torch.stack([torch.stack([zoom, -turn, 0.08 * some(count)], 1),
                        torch.stack([turn, zoom, 0.08 * some(count)], 1)], 1)
    pictures = images.permute(0, 3, 1, 2).float()
    pictures = functional.grid_sample(
        pictures, functional.affine_grid(grid, list(pictures.shape), align_corners=False),
        padding_mode='border', align_corners=False)
    light = (1 + 0.3 * some(count, 1, 1, 1)) * (1 + 0.15 * some(count, 3, 1, 1))
    return (pictures * light).clamp(0, 255).permute(0, 2, 3, 1)


@dataclass(frozen=True)
class Target:
    """Labels [N, K, axes] of the training frames, standardised, and what standardises them."""

    labels: Tensor
    known: Tensor
    mean: Tensor
    scale: Tensor
    median: Tensor

    @classmethod
    def of(cls, frames: TubFrames, train: Indices, chunk: int) -> Target:
        """Return the labels and statistics of the frames ``train``, and of no other."""
        labels, known = chunk_labels(frames, train, chunk)
        driven = torch.from_numpy(frames.actions[train])
        mean = driven.mean(0)
        mean[ODD] = 0.0  # pictures are trained on both ways round
        scale = driven.std(0).clamp(min=1e-3)
        return cls((torch.from_numpy(labels) - mean) / scale, torch.from_numpy(known), mean,
                   scale, driven.median(0).values)


def train_member(material: Material, train: Indices, recipe: Recipe, form: Form, seed: int,
                 steps: int, watch: Callable[[int, TrackNetwork], None] | None = None
                 ) -> TrackNetwork:
    """Return one member trained for ``steps`` updates, its weights averaged over the last ones.

    ``watch(step, network)`` sees the averaged network at every ``recipe.every`` updates.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    target = Target.of(material.frames, train, recipe.network.chunk)
    index, copies = torch.from_numpy(train), material.copies[form.augmentation]
    network = TrackNetwork(form.of(recipe.network)).train()
    averaged = copy.deepcopy(network).eval()
    optimiser = torch.optim.AdamW(network.parameters(), recipe.rate,
                                  weight_decay=recipe.weight_decay)
    for step in range(1, steps + 1):
        rows = torch.randint(len(train), (recipe.batch,), generator=generator)
        number = torch.randint(len(copies), (recipe.batch,), generator=generator)
        turn = torch.rand(recipe.batch, generator=generator) < 0.5
        features = _hide(copies[number, index[rows]].float(), generator)
        features = torch.where(turn[:, None, None, None], mirrored(features), features)
        labels = target.labels[rows]
        labels[turn, :, ODD] *= -1
        error = functional.smooth_l1_loss(network(features), labels, reduction='none', beta=0.3)
        known = target.known[rows][..., None]
        loss = (error * known).sum() / known.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        keep = min(recipe.average, step / (step + 10))
        with torch.no_grad():
            for mean, new in zip(averaged.parameters(), network.parameters()):
                mean.lerp_(new, 1 - keep)
        if watch is not None and step % recipe.every == 0:
            watch(step, averaged)
    return averaged


def _hide(features: Tensor, generator: torch.Generator) -> Tensor:
    """Blank a rectangle, a third of the picture high and wide, in half of the features."""
    count, _, rows, columns = features.shape
    high, wide = rows // 3, columns // 3
    top = torch.randint(rows - high + 1, (count, 1), generator=generator)
    left = torch.randint(columns - wide + 1, (count, 1), generator=generator)
    y, x = torch.arange(rows), torch.arange(columns)
    hidden = (((y >= top) & (y < top + high))[:, :, None]
              & ((x >= left) & (x < left + wide))[:, None])
    hidden &= torch.rand(count, 1, 1, generator=generator) < 0.5
    return features.masked_fill(hidden[:, None], 0.0)
