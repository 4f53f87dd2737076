"""Small backbones, trained from scratch on two processor cores; they read instruction features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.policies.compact import CompactConfig, CompactPolicy
from vla_nav.policies.config import SmallConvConfig, SmallVlmConfig
from vla_nav.policies.fusion import Piece
from vla_nav.policies.instructions import Instructions

CELL = 16  # pixels a side of what becomes one token
_TEXT_TOKENS = 4  # about one for each slot of an instruction
# What only a whole compact policy needs.
_BEHIND_THE_ENCODER = ('memory', 'recall', 'decide', 'act', 'arrive', 'stage')


def check_size(height: int, width: int) -> None:
    """Raise ValueError where a picture cannot be cut into cells."""
    if height % CELL or width % CELL:
        raise ValueError(f'backbone.height={height}, backbone.width={width}: small backbones '
                         f'need multiples of {CELL}')


class SmallVlm(nn.Module):
    """A transformer over instruction tokens, picture tokens and a learned action query.

    The picture enters through convolutions (Xiao et al. 2021, arXiv:2106.14881), with which small
    transformers train as stably as convolutional networks.
    """

    def __init__(self, config: SmallVlmConfig, height: int, width: int) -> None:
        super().__init__()
        check_size(height, width)
        w = config.width
        cells = (height // CELL) * (width // CELL)
        self.stem = nn.Sequential(
            nn.Conv2d(3, w // 4, 4, 4), nn.GroupNorm(1, w // 4), nn.ReLU(),
            nn.Conv2d(w // 4, w // 2, 3, 2, 1), nn.GroupNorm(1, w // 2), nn.ReLU(),
            nn.Conv2d(w // 2, w, 3, 2, 1))
        self.text = nn.Sequential(nn.Linear(FEATURE_SIZE, w), nn.ReLU(),
                                  nn.Linear(w, _TEXT_TOKENS * w))
        self.query = nn.Parameter(torch.randn(w) * w ** -0.5)
        self.place = nn.Parameter(torch.randn(_TEXT_TOKENS + cells + 1, w) * 0.02)
        layer = nn.TransformerEncoderLayer(w, config.heads, 4 * w, 0.0, 'gelu',
                                           batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, config.depth, nn.LayerNorm(w),
                                            enable_nested_tensor=False)
        self.pieces = (Piece('small_vlm.query', (w,)),)

    def forward(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return what became of the query, [B, width], of uint8 [B, H, W, 3]."""
        pixels = images.permute(0, 3, 1, 2).float() / 64.0 - 2.0
        seen = self.stem(pixels).flatten(2).transpose(1, 2)
        text = self.text(instructions.features).unflatten(1, (_TEXT_TOKENS, -1))
        query = self.query.expand(len(images), 1, -1)
        return self.blocks(torch.cat([text, seen, query], 1) + self.place)[:, -1]


class SmallConv(nn.Module):
    """The compact policy's encoder: text steers each convolution, two questions are asked."""

    def __init__(self, config: SmallConvConfig, height: int, width: int, tokens: bool) -> None:
        super().__init__()
        check_size(height, width)
        sizes = CompactConfig(height, width, feature=config.feature)
        self.encoder = CompactPolicy(sizes)
        for name in _BEHIND_THE_ENCODER:
            setattr(self.encoder, name, nn.Identity())
        self.tokens = tokens
        self.pieces: tuple[Piece, ...] = (Piece('small_conv.feature', (config.feature,)),)
        if tokens:
            self.pieces += (Piece('small_conv.tokens', (height // CELL * (width // CELL),
                                                        self.encoder.squeeze.out_channels)),)

    def forward(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return the feature and, where asked for, the coarse map's cells, flat [B, F]."""
        fine, keys, coarse = self.encoder.convolve(images, instructions.features)
        feature = self.encoder.attend(fine, keys, coarse, instructions.features).feature
        if not self.tokens:
            return feature
        cells = coarse.unflatten(1, (self.encoder.squeeze.out_channels, -1)).transpose(1, 2)
        return torch.cat([feature, cells.flatten(1)], 1)
