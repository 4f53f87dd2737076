"""The track policy: pictures only to a chunk of actions, small enough for a thousand frames.

Its first layer is fixed: gradient orientations, as in Dalal and Triggs (CVPR 2005), and colour
differences. What a thousand frames cannot teach a network, it need not learn. What follows are
small convolutional networks, which take left and right alike, and a linear map, which may know a
place by its background; their mean errs less than either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_LUMA = (0.299, 0.587, 0.114)
_ORIENTATIONS = 9
_CLIP, _NOISE = 0.2, 1e-2
CELL = 10
ODD = 1


@dataclass(frozen=True)
class TrackConfig:
    """Sizes: ``chunk`` steps of ``axes`` normalised actions from a picture [height, width].

    Axis ODD turns round in a mirror. ``smoothing`` in [0, 1) is the weight, per step of age, that
    what earlier pictures foretold for a step has against what the newest one says of it.
    """

    height: int = 120
    width: int = 160
    chunk: int = 12
    axes: int = 2
    channels: int = 24
    hidden: int = 64
    dropout: float = 0.3
    members: int = 2
    smoothing: float = 0.5

    @property
    def features(self) -> int:
        """Return how many features a picture has."""
        return Gradients.channels * (self.height // CELL) * (self.width // CELL)

    @property
    def state_size(self) -> int:
        """Return the size of the memory: a weighted chunk and the weight of each of its steps."""
        return self.chunk * (self.axes + 1)


class Gradients(nn.Module):
    """Pictures uint8 [B, H, W, 3] RGB to features float [B, 11, H / 10, W / 10]; nothing learned.

    Nine unsigned orientations of the luminance's gradient, divided by the energy of the cells
    around, so that light and shadow do not matter, and clipped; and two colour differences.
    """

    channels = _ORIENTATIONS + 2
    centres: Tensor
    luma: Tensor

    def __init__(self) -> None:
        """Keep the constants as buffers, so that they move along with the module."""
        super().__init__()
        centres = torch.arange(_ORIENTATIONS) + 0.5
        self.register_buffer('centres', centres.view(1, -1, 1, 1), persistent=False)
        self.register_buffer('luma', torch.tensor(_LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the features."""
        rgb = images.permute(0, 3, 1, 2).float()
        luma = (rgb * self.luma).sum(1, keepdim=True)
        # Repeated at the border: what lies outside of the picture must not look like an edge.
        wide = functional.pad(luma, (1, 1, 1, 1), mode='replicate')
        right = wide[:, :, 1:-1, 2:] - wide[:, :, 1:-1, :-2]
        down = wide[:, :, 2:, 1:-1] - wide[:, :, :-2, 1:-1]
        size = (right ** 2 + down ** 2).sqrt()
        # Not atan2: its ONNX form divides 0 by 0 where a picture is even.
        slope = down / torch.where(right == 0, torch.full_like(right, 1e-6), right)
        turned = torch.atan(slope) * (_ORIENTATIONS / math.pi)
        turned = torch.where(turned < 0, turned + _ORIENTATIONS, turned)
        distance = (turned - self.centres).abs()
        distance = torch.minimum(distance, _ORIENTATIONS - distance)
        cells = functional.avg_pool2d(size * functional.relu(1 - distance), CELL)
        around = functional.avg_pool2d((cells ** 2).sum(1, keepdim=True), 3, 1, 1,
                                       count_include_pad=False)
        edges = (cells / (2 * (around + _NOISE).sqrt())).clamp(max=_CLIP)
        small = functional.avg_pool2d(torch.cat([rgb, luma], 1), CELL)
        colour = (small[:, 0:3:2] - small[:, 3:]) / 64
        return torch.cat([edges / _CLIP, colour], 1)


def mirrored(features: Tensor) -> Tensor:
    """Return the features that the mirrored pictures would have, from [B, 11, rows, columns]."""
    turned = features[:, :_ORIENTATIONS].flip(1)
    return torch.cat([turned, features[:, _ORIENTATIONS:]], 1).flip(3)


class TrackNetwork(nn.Module):
    """One member: features of :class:`Gradients` to a standardised chunk [B, chunk, axes]."""

    def __init__(self, config: TrackConfig) -> None:
        """Build the layers."""
        super().__init__()
        c, self._shape = config.channels, (config.chunk, config.axes)
        cells = (config.height // CELL // 4) * (config.width // CELL // 4)
        self.layers = nn.Sequential(
            nn.Conv2d(Gradients.channels, c, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(c, 2 * c, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(2 * c, 2 * c, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Dropout(config.dropout), nn.Linear(2 * c * cells, config.hidden), nn.ReLU(),
            nn.Dropout(config.dropout), nn.Linear(config.hidden, config.chunk * config.axes))

    def forward(self, features: Tensor) -> Tensor:
        """Return the standardised chunk."""
        out: Tensor = self.layers(features)
        return out.view(-1, *self._shape)


def blend(chunk: Tensor, past: Tensor, smoothing: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return the blended chunk [B, K, A] and the memory [B, K, A + 1] after one step.

    The memory holds, for each of the coming steps, the weighted sum of what was predicted for it
    and the sum of the weights; zeros at the start. It knows no action that was really driven.
    """
    # One step has passed: what was foretold for step k + 1 is now due at step k.
    past = smoothing * functional.pad(past[:, 1:], (0, 0, 0, 1))
    memory = past + functional.pad(chunk, (0, 1), value=1.0)
    return memory[..., :-1] / memory[..., -1:], memory


class TrackPolicy(nn.Module):
    """Several networks, a linear map, and a memory of what earlier pictures foretold."""

    scale: Tensor
    signs: Tensor

    def __init__(self, config: TrackConfig) -> None:
        """Build the parts; ``scale`` [axes] is the networks' share, the rest is linear."""
        super().__init__()
        self.config = config
        self.gradients = Gradients()
        self.members = nn.ModuleList(TrackNetwork(config) for _ in range(config.members))
        self.linear = nn.Linear(config.features, config.chunk * config.axes)
        self.register_buffer('scale', torch.ones(config.axes))
        signs = torch.ones(config.axes)
        signs[ODD] = -1
        self.register_buffer('signs', signs, persistent=False)

    def predict(self, features: Tensor) -> Tensor:
        """Return normalised chunks [B, chunk, axes] of features, without memory."""
        turned = mirrored(features)
        standard = torch.stack([member(features) + member(turned) * self.signs
                                for member in self.members]).mean(0) / 2
        linear = self.linear(features.flatten(1)).view_as(standard)
        return standard * self.scale + linear

    def forward(self, image: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the chunk, the belief to have arrived (0: a track has no end), the next state.

        ``image`` uint8 [B, H, W, 3]; ``state`` [B, state_size], zero at the start.
        """
        c = self.config
        chunk, memory = blend(self.predict(self.gradients(image)),
                              state.view(-1, c.chunk, c.axes + 1), c.smoothing)
        return chunk, torch.zeros_like(state[:, :1]), memory.flatten(1)
