"""Small backbones, trained from scratch on two processor cores; they read instruction features.

``look`` also returns what each was asked to find in the picture, so that a training which knows
the answers can teach it; ``forward`` is what a policy needs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.policies.backbone import Backbone
from vla_nav.policies.compact import CompactConfig, CompactPolicy
from vla_nav.policies.config import SmallConvConfig, SmallVlmConfig
from vla_nav.policies.fusion import Piece
from vla_nav.policies.instructions import Instructions

CELL = 16  # pixels a side of what becomes one token
_FINE = 4  # pixels a side of a cell that can be pointed at
_FINE_CHANNELS = 32
_TEXT_TOKENS = 4  # about one for each slot of an instruction
# Queries that look at a place; the first two are taught goal and passage. With three there are 56
# tokens of a picture of 96 x 128: products of odd sizes take a fifth longer.
_POINTERS = 3
# What only a whole compact policy needs.
_BEHIND_THE_ENCODER = ('memory', 'recall', 'decide', 'act', 'arrive', 'stage')


def check_size(height: int, width: int) -> None:
    """Raise ValueError where a picture cannot be cut into cells."""
    if height % CELL or width % CELL:
        raise ValueError(f'backbone.height={height}, backbone.width={width}: small backbones '
                         f'need multiples of {CELL}')


class SmallVlm(Backbone):
    """A transformer over instruction tokens, picture tokens and learned queries.

    The picture enters through convolutions (Xiao et al. 2021, arXiv:2106.14881), with which small
    transformers train as stably as convolutional networks. One query becomes the action feature;
    the others point at cells of 4 x 4 pixels by a spatial softmax (Levine et al. 2016,
    arXiv:1504.00702), since tokens of 16 x 16 pixels cannot say where a small thing is.
    """

    def __init__(self, config: SmallVlmConfig, height: int, width: int) -> None:
        super().__init__()
        check_size(height, width)
        w, c = config.width, _FINE_CHANNELS
        grid = (height // _FINE, width // _FINE)
        self.fine = nn.Sequential(
            nn.Conv2d(3, c, 6, 4, 1), nn.GroupNorm(1, c), nn.ReLU(),
            nn.Conv2d(c, c, 3, 1, 1), nn.GroupNorm(1, c), nn.ReLU(),
            nn.Conv2d(c, c, 3, 1, 2, 2), nn.ReLU())
        # Where a cell is matters (near is low in the picture): a learned bias a cell.
        self.fine_place = nn.Parameter(torch.zeros(1, c, *grid))
        self.coarse = nn.Sequential(
            nn.Conv2d(c, 2 * c, 3, 2, 1), nn.GroupNorm(1, 2 * c), nn.ReLU(),
            nn.Conv2d(2 * c, w, 3, 2, 1))
        self.text = nn.Sequential(nn.Linear(FEATURE_SIZE, w), nn.ReLU(),
                                  nn.Linear(w, _TEXT_TOKENS * w))
        self.queries = nn.Parameter(torch.randn(1 + _POINTERS, w) * w ** -0.5)
        cells = (height // CELL) * (width // CELL)
        self.place = nn.Parameter(torch.randn(_TEXT_TOKENS + cells + 1 + _POINTERS, w) * 0.02)
        layer = nn.TransformerEncoderLayer(w, config.heads, 2 * w, 0.0, 'relu',
                                           batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, config.depth, nn.LayerNorm(w),
                                            enable_nested_tensor=False)
        self.keys = nn.Conv2d(c, c, 1)
        self.ask = nn.Linear(w, c)
        self.absent = nn.Linear(w, 1)
        gy, gx = torch.meshgrid(torch.linspace(-1, 1, grid[0]), torch.linspace(-1, 1, grid[1]),
                                indexing='ij')
        self.register_buffer('grid', torch.stack([gx, gy]).flatten(1).T.contiguous(),
                             persistent=False)
        self.mix = nn.Sequential(nn.Linear(w + _POINTERS * (2 + c) + 2, w), nn.ReLU())
        self.pieces = (Piece('small_vlm.query', (w,)),)

    def forward(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return the action feature [B, width] of uint8 [B, H, W, 3]."""
        return self.look(images, instructions)[0]

    def look(self, images: Tensor, instructions: Instructions) -> tuple[Tensor, Tensor]:
        """Return the feature, and logits [B, 2, 1 + cells] of goal and passage; 0: not seen."""
        fine = self.fine(images.permute(0, 3, 1, 2).float() / 64.0 - 2.0)
        fine = fine + self.fine_place.to(fine.dtype)
        seen = self.coarse(fine).flatten(2).transpose(1, 2)
        text = self.text(instructions.features).unflatten(1, (_TEXT_TOKENS, -1))
        queries = self.queries.expand(len(images), -1, -1).to(seen.dtype)
        heard = self.blocks(torch.cat([text.to(seen.dtype), seen, queries], 1)
                            + self.place.to(seen.dtype))[:, -len(self.queries):]
        keys, cells = self.keys(fine).flatten(2), fine.flatten(2).transpose(1, 2)
        # A place in half precision would be pixels off.
        with torch.autocast(images.device.type, enabled=False):
            heard = heard.float()
            scores = (self.ask(heard[:, 1:]).to(keys.dtype) @ keys).float() \
                * _FINE_CHANNELS ** -0.5
            look = scores.softmax(-1)
            logits = torch.cat([self.absent(heard[:, 1:3]), scores[:, :2]], 2)
            what = (look.to(cells.dtype) @ cells).float()
            return self.mix(torch.cat([
                heard[:, 0], (look @ self.grid).flatten(1), what.flatten(1),
                logits.softmax(-1)[:, :, 0]], 1)), logits


class SmallConv(Backbone):
    """The compact policy's encoder: text steers each convolution, two questions are asked.

    ``normalise`` puts what it gives on a sphere of radius √D, as of CLIP's features.
    """

    def __init__(self, config: SmallConvConfig, height: int, width: int, tokens: bool) -> None:
        super().__init__()
        check_size(height, width)
        sizes = CompactConfig(height, width, feature=config.feature)
        self.encoder = CompactPolicy(sizes)
        for name in _BEHIND_THE_ENCODER:
            setattr(self.encoder, name, nn.Identity())
        self.tokens, self.normalise = tokens, config.normalise
        self.pieces = (Piece('small_conv.feature', (config.feature,)),)
        if tokens:
            self.pieces += (Piece('small_conv.tokens', (height // CELL * (width // CELL),
                                                        self.encoder.squeeze.out_channels)),)

    def forward(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return the feature and, where asked for, the coarse map's cells, flat [B, F]."""
        return self.look(images, instructions)[0]

    def look(self, images: Tensor, instructions: Instructions) -> tuple[Tensor, Tensor]:
        """Return what :meth:`forward` does, and logits [B, 2, 1 + cells] of goal and passage."""
        maps = self.encoder.convolve(images, instructions.features)
        with torch.autocast(images.device.type, enabled=False):
            encoded = self.encoder.attend(*maps, instructions.features)
            given = [encoded.feature]
            if self.tokens:
                channels = self.encoder.squeeze.out_channels
                given.append(maps[2].float().unflatten(1, (channels, -1)).transpose(1, 2))
            if self.normalise:
                given = [functional.normalize(part, dim=-1) * part.shape[-1] ** 0.5
                         for part in given]
        return torch.cat([part.flatten(1) for part in given], 1), encoded.point_logits
