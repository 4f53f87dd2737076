"""From what the backbones give for a frame to one feature: resampler, normalisation, fusion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_nav.policies.config import FusionConfig, ResamplerConfig


@dataclass(frozen=True)
class Piece:
    """One thing that a backbone gives a frame: a vector (D,) or tokens (N, D)."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)


class Resampler(nn.Module):
    """Learned queries read tokens [B, N, D] into [B, queries, W]; W is D where no width is given.

    The Perceiver resampler of Flamingo (Alayrac et al. 2022, arXiv:2204.14198): in each layer the
    queries attend to the tokens and to each other.
    """

    def __init__(self, tokens: int, config: ResamplerConfig) -> None:
        super().__init__()
        self.width = width = config.width or tokens
        self.narrow = nn.Linear(tokens, width) if config.width else nn.Identity()
        self.queries = nn.Parameter(torch.randn(config.queries, width) * width ** -0.5)
        self.layers = nn.ModuleList(
            _ResamplerLayer(width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return what the queries have read, [B, queries, W]."""
        tokens = self.narrow(tokens)
        queries = self.queries.expand(len(tokens), -1, -1)
        for layer in self.layers:
            queries = layer(queries, tokens)
        return self.norm(queries)


class _ResamplerLayer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_tokens, self.norm_queries = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(),
                                 nn.Linear(4 * width, width))

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        asking = self.norm_queries(queries)
        heard = torch.cat([self.norm_tokens(tokens), asking], 1)
        queries = queries + self.attention(asking, heard, heard, need_weights=False)[0]
        return queries + self.mlp(queries)


class Fusion(nn.Module):
    """Flat features [..., F] of the pieces, in their order, to one feature [..., size].

    Tokens go through a resampler and are averaged over its queries.
    """

    def __init__(self, pieces: tuple[Piece, ...], resampler: ResamplerConfig | None,
                 config: FusionConfig) -> None:
        super().__init__()
        self.pieces = pieces
        self.resamplers = nn.ModuleDict()
        width = 0
        for index, piece in enumerate(pieces):
            if len(piece.shape) == 2:
                if resampler is None:
                    raise ValueError(f'{piece.name} gives tokens, which need a resampler')
                reader = Resampler(piece.shape[1], resampler)
                self.resamplers[str(index)] = reader
                width += reader.width
            else:
                width += piece.size
        self.mix = nn.Sequential(nn.Linear(width, config.size), nn.GELU())

    def forward(self, features: Tensor) -> Tensor:
        """Return [..., size] of flat features [..., F]."""
        flat = features.flatten(0, -2)
        vectors = []
        for index, (piece, part) in enumerate(zip(
                self.pieces, flat.split([p.size for p in self.pieces], 1))):
            value = part.unflatten(1, piece.shape)
            if str(index) in self.resamplers:
                value = self.resamplers[str(index)](value).mean(1)
            vectors.append(value)
        return self.mix(torch.cat(vectors, 1)).unflatten(0, features.shape[:-1])
