"""Heads: a sequence of features and a memory in, a sequence of decisions and the memory out.

All heads keep the same laws: the memory is one flat tensor [B, S]; a sequence in one call equals
the same sequence cut into calls that hand the memory on; output t depends on no input after t.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from vla_nav.policies.config import HeadConfig


class Head(nn.Module):
    """``forward(x [B, T, D], state [B, S]) -> (y [B, T, hidden], state [B, S])``."""

    state_size: int

    def initial_state(self, batch: int, like: Tensor) -> Tensor:
        """Return the memory of nothing, [batch, S], on the device of ``like``."""
        return like.new_zeros(batch, self.state_size)


class LstmHead(Head):
    """Long short-term memory (Hochreiter and Schmidhuber 1997); memory: all h, then all c."""

    def __init__(self, inputs: int, config: HeadConfig) -> None:
        super().__init__()
        self.cells = nn.LSTM(inputs, config.hidden, config.layers, batch_first=True,
                             dropout=config.dropout if config.layers > 1 else 0.0)
        self.layers, self.hidden = config.layers, config.hidden
        self.state_size = 2 * config.layers * config.hidden

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs [B, T, hidden] and the memory after them."""
        parts = state.view(len(state), 2, self.layers, self.hidden).permute(1, 2, 0, 3)
        y, (h, c) = self.cells(x, (parts[0].contiguous(), parts[1].contiguous()))
        return y, torch.stack([h, c]).permute(2, 0, 1, 3).reshape(len(state), -1)


class GruHead(Head):
    """Gated recurrent units (Cho et al. 2014, arXiv:1406.1078)."""

    def __init__(self, inputs: int, config: HeadConfig) -> None:
        super().__init__()
        self.cells = nn.GRU(inputs, config.hidden, config.layers, batch_first=True,
                            dropout=config.dropout if config.layers > 1 else 0.0)
        self.layers, self.hidden = config.layers, config.hidden
        self.state_size = config.layers * config.hidden

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs [B, T, hidden] and the memory after them."""
        parts = state.view(len(state), self.layers, self.hidden).transpose(0, 1)
        y, h = self.cells(x, parts.contiguous())
        return y, h.transpose(0, 1).reshape(len(state), -1)


class MlpHead(Head):
    """No memory: each frame is judged on its own."""

    state_size = 0

    def __init__(self, inputs: int, config: HeadConfig) -> None:
        super().__init__()
        widths = [inputs, *[config.hidden] * config.layers]
        self.layers = nn.Sequential(*(
            nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(config.dropout))
            for a, b in pairwise(widths)))

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs [B, T, hidden] and the memory after them."""
        return self.layers(x), state


class TransformerHead(Head):
    """Attention over the last ``window`` features; memory: the features before, and which exist.

    Each output is computed from its own window alone, so that what it sees is the same in
    training, where windows start empty, and on the robot, where they slide.
    """

    def __init__(self, inputs: int, config: HeadConfig, window: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, config.hidden)
        self.age = nn.Parameter(torch.randn(window, config.hidden) * 0.02)
        layer = nn.TransformerEncoderLayer(
            config.hidden, config.attention_heads, 4 * config.hidden, config.dropout, 'gelu',
            batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, config.layers, nn.LayerNorm(config.hidden),
                                            enable_nested_tensor=False)
        self.window = window
        self.inputs = inputs
        self.state_size = (window - 1) * (inputs + 1)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs [B, T, hidden] and the memory after them."""
        batch, steps, _ = x.shape
        past = state.view(batch, self.window - 1, self.inputs + 1).to(x.dtype)
        rows = torch.cat([past, torch.cat([x, x.new_ones(batch, steps, 1)], 2)], 1)
        windows = rows.unfold(1, self.window, 1).transpose(2, 3).flatten(0, 1)
        there = windows[:, :, -1] > 0.5
        y = self.blocks(self.enter(windows[:, :, :-1]) + self.age, src_key_padding_mask=~there)
        kept = rows[:, steps:].reshape(batch, -1)
        return y[:, -1].view(batch, steps, -1), kept


def build_head(inputs: int, config: HeadConfig, window: int) -> Head:
    """Return the head that the configuration names, for features of size ``inputs``."""
    if config.kind == 'lstm':
        return LstmHead(inputs, config)
    if config.kind == 'gru':
        return GruHead(inputs, config)
    if config.kind == 'mlp':
        return MlpHead(inputs, config)
    return TransformerHead(inputs, config, window)


class Predictor(nn.Module):
    """An MLP with ReLU from a head's output [..., H] to a chunk and a belief to have arrived."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], chunk: int, actions: int) -> None:
        super().__init__()
        widths = [inputs, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], chunk * actions + 1))
        self.shape = (chunk, actions)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return chunks [..., K, A] and arrival logits [...] of [..., H]."""
        out = self.layers(x)
        return out[..., :-1].unflatten(-1, self.shape), out[..., -1]
