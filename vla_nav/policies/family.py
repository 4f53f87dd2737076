"""The VLA family: backbones that see and read, a fusion, a head that remembers, a predictor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from vla_nav.policies.backbone import Backbone
from vla_nav.policies.config import ConfigError, FamilyConfig, load_preset
from vla_nav.policies.fusion import Fusion, Piece
from vla_nav.policies.heads import Predictor, build_head
from vla_nav.policies.instructions import Instructions
from vla_nav.policies.pretrained import Weights, WeightsError
from vla_nav.policies.small import SmallConv, SmallVlm

__all__ = ['ConfigError', 'FamilyConfig', 'FamilyPolicy', 'Instructions', 'WeightsError',
           'load_preset']

# Read at 10 GB/s, a small computer's memory, they take 20 ms.
_QUICK_PARAMETERS = 50_000_000


class FamilyPolicy(nn.Module):
    """One member of the family.

    ``encode`` gives one feature a frame, ``act`` decides over a sequence of them. What of a
    feature depends on frozen weights alone needs computing only once: ``encode`` is ``complete``
    of ``precompute``. With backbones that hold nothing trainable (:attr:`cacheable`) that is all
    of it.
    """

    def __init__(self, config: FamilyConfig, weights: Weights = 'pretrained') -> None:
        """Build the network; ``pretrained`` loads the published backbones, ``random`` does not.

        Raises ConfigError, and WeightsError where a published checkpoint is not at hand.
        """
        super().__init__()
        self.config = config
        self.backbones = nn.ModuleDict(_backbones(config, weights))
        self.pieces: tuple[Piece, ...] = tuple(
            piece for part in self._parts() for piece in part.pieces)
        self.fusion = Fusion(self.pieces, config.backbone.resampler, config.fusion)
        self.head = build_head(config.fusion.size, config.head, config.window)
        self.predictor = Predictor(config.head.hidden, config.head.predictor,
                                   config.action.chunk, config.action.space.size)

    @property
    def feature_size(self) -> int:
        """Return F, the size of one frame's feature."""
        return sum(piece.size for piece in self.pieces)

    @property
    def state_size(self) -> int:
        """Return S, the size of the memory; 0 where there is none."""
        return self.head.state_size

    @property
    def recalls_quickly(self) -> bool:
        """Return whether there is a memory that moves on in a moment, without the backbones."""
        parts = (*self.fusion.parameters(), *self.head.parameters())
        return self.state_size > 0 and sum(p.numel() for p in parts) <= _QUICK_PARAMETERS

    @property
    def cacheable(self) -> bool:
        """Return whether nothing trains in ``encode``, so that its results can be kept."""
        return all(part.frozen for part in self._parts())

    @property
    def precomputable(self) -> bool:
        """Return whether each backbone has something frozen that :meth:`precompute` can give."""
        return all(part.kept_size is not None for part in self._parts())

    @property
    def kept_sizes(self) -> list[int]:
        """Return how many values of what :meth:`precompute` gives are of each backbone."""
        return [part.kept_size or 0 for part in self._parts()]

    def trainable(self) -> list[nn.Parameter]:
        """Return the parameters that learn."""
        return [p for p in self.parameters() if p.requires_grad]

    def encode(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return features float32 [B, F] of pictures uint8 [B, H, W, 3], one instruction each."""
        self._check(images, instructions)
        return torch.cat([part(images, instructions).float()
                          for part in self._parts()], 1)

    def precompute(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return what no training of this policy changes, float32 [B, P], of :meth:`encode`.

        Only where it is :attr:`precomputable`.
        """
        self._check(images, instructions)
        return torch.cat([part.precompute(images, instructions).float()
                          for part in self._parts()], 1)

    def complete(self, kept: Tensor, instructions: Instructions) -> Tensor:
        """Return the features float32 [B, F] of what :meth:`precompute` gave."""
        return torch.cat([part.complete(own, instructions).float() for part, own in zip(
            self._parts(), kept.split(self.kept_sizes, 1))], 1)

    def initial_state(self, batch: int) -> Tensor:
        """Return the memory of nothing, float32 [batch, S]."""
        return self.head.initial_state(batch, next(self.predictor.parameters()))

    def act(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return chunks [B, T, K, A], arrival logits [B, T], the memory [B, S] after [B, T, F].

        Normalised actions; not clamped, so that a loss has a gradient outside of [-1, 1] too.
        """
        return self.decide(self.fusion(features), state)

    def decide(self, fused: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what :meth:`act` does, of features [B, T, fusion.size] that are fused already."""
        seen, state = self.head(fused, state)
        return *self.predictor(seen), state

    def forward(self, images: Tensor, instructions: Instructions,
                state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run one step: (chunk [B, K, A], belief to have arrived [B, 1], memory [B, S])."""
        chunks, arrived, state = self.act(self.encode(images, instructions)[:, None], state)
        return chunks[:, 0], torch.sigmoid(arrived), state

    def train(self, mode: bool = True) -> FamilyPolicy:
        """Set the mode; what is frozen stays as it runs on the robot.

        Backbones see to it for their parts; one in which nothing learns stays so as a whole.
        """
        super().train(mode)
        for part in self._parts():
            if part.frozen:
                part.eval()
        return self

    def fingerprint(self) -> str:
        """Return the SHA-256 of what is frozen: names, shapes and values.

        Two policies of one fingerprint and of one preset give the same cacheable features.
        """
        digest = hashlib.sha256()
        for name, value in sorted(self.backbones.named_parameters()):
            if not value.requires_grad:
                digest.update(f'{name} {value.dtype} {list(value.shape)}\n'.encode())
                values = value.detach().cpu().contiguous().view(-1).view(torch.uint8)
                digest.update(values.numpy().tobytes())
        return digest.hexdigest()

    def learned(self) -> dict[str, Tensor]:
        """Return the weights that learn, by name: all that a bundle must keep."""
        return {name: value.detach() for name, value in self.named_parameters()
                if value.requires_grad}

    def load_learned(self, weights: dict[str, Tensor], source: str) -> None:
        """Take what :meth:`learned` gave; raise WeightsError naming ``source`` on a mismatch."""
        mine = self.learned()
        wrong = sorted(mine.keys() ^ weights.keys()) or sorted(
            name for name in mine if mine[name].shape != weights[name].shape)
        if wrong:
            raise WeightsError(f'{source}: {len(wrong)} weights do not fit preset '
                               f'{self.config.name}, such as {wrong[0]}; they are of another '
                               'preset or of other overrides: train again or copy the bundle '
                               'again')
        self.load_state_dict(weights, strict=False)

    def _parts(self) -> Iterable[Backbone]:
        return cast('Iterable[Backbone]', self.backbones.values())

    def _check(self, images: Tensor, instructions: Instructions) -> None:
        size = (self.config.backbone.height, self.config.backbone.width, 3)
        if images.dtype != torch.uint8 or images.shape[1:] != size:
            raise ValueError(f'expected uint8 pictures [B, {size[0]}, {size[1]}, 3], got '
                             f'{images.dtype} {list(images.shape)}')
        if len(images) != len(instructions):
            raise ValueError(f'{len(images)} pictures for {len(instructions)} instructions')


def _backbones(config: FamilyConfig, weights: Weights) -> dict[str, Backbone]:
    b = config.backbone
    found: dict[str, Backbone] = {}
    if b.kosmos2:
        from vla_nav.policies.kosmos2 import Kosmos2Backbone
        found['kosmos2'] = Kosmos2Backbone(b.kosmos2, b, weights)
    if b.clip:
        from vla_nav.policies.clip import ClipBackbone
        found['clip'] = ClipBackbone(b.clip, b, weights)
    if b.small_vlm:
        found['small_vlm'] = SmallVlm(b.small_vlm, b.height, b.width)
    if b.small_conv:
        found['small_conv'] = SmallConv(b.small_conv, b.height, b.width, bool(b.resampler))
    return found
