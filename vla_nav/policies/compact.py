"""The compact policy: a small text-steered image encoder, a memory, and a chunk of actions.

The text reaches every convolution by FiLM (Perez et al. 2018, arXiv:1709.07871) and asks where
things are by a queried spatial softmax (Levine et al. 2016, arXiv:1504.00702); one query is
trained to find the goal, one the passage to go through. A GRU (Cho et al. 2014,
arXiv:1406.1078) remembers what has left the picture; its part starts at zero, so that it can be
added to a trained encoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_nav.language.intent import FEATURE_SIZE


@dataclass(frozen=True)
class CompactConfig:
    """Sizes; the image is [height, width] and must be divisible by 16."""

    height: int = 96
    width: int = 128
    chunk: int = 8
    actions: int = 3
    text: int = 64
    channels: tuple[int, int, int] = (32, 48, 64)
    queries: int = 4
    key: int = 32
    feature: int = 192
    memory: int = 128
    stages: int = 3


@dataclass
class Encoded:
    """One frame's feature [B, F], and the auxiliary guesses that trained it."""

    feature: Tensor
    point_logits: Tensor  # [B, 2, 1 + h * w]: goal, passage; index 0: not in the picture
    stage_logits: Tensor  # [B, stages]: gates passed


def _channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


class _FilmConv(nn.Module):
    """Convolution with standardised weights, FiLM by the text, ReLU.

    Standardising weights instead of activations (Brock et al. 2021, arXiv:2101.08692) trains as
    stably as batch normalisation, costs nothing per pixel, and is gone in the export.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, text: int,
                 dilation: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.stride, self.dilation = stride, dilation
        self.padding = (kernel - stride) // 2 if stride > 2 else dilation
        self.film = nn.Linear(text, 2 * outputs)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def standard_weight(self) -> Tensor:
        """Return the weights with zero mean and the gain that keeps a ReLU's variance."""
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        fan = self.weight[0].numel()
        spread = self.weight.std((1, 2, 3), keepdim=True, unbiased=False) + 1e-5
        return (self.weight - mean) / spread * (1.71 / fan ** 0.5)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        scale, shift = self.film(text)[:, :, None, None].chunk(2, 1)
        y = functional.conv2d(x, self.standard_weight(), None, self.stride, self.padding,
                              self.dilation)
        y = functional.relu(torch.addcmul(shift, y, 1 + scale), inplace=True)
        if y.requires_grad:
            # A gradient in another layout would make FiLM's backward ten times slower.
            y.register_hook(_channels_last)
        return y


class _Memory(nn.Module):
    """A GRU cell written as matrix products, which every runtime can quantise."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.gates = nn.Linear(inputs + size, 2 * size)
        self.fresh_input = nn.Linear(inputs, size)
        self.fresh_state = nn.Linear(size, size)
        # Biased to remember: at first a tenth of the state is renewed each step.
        nn.init.constant_(self.gates.bias[size:], 2.0)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        reset, keep = torch.sigmoid(self.gates(torch.cat([x, state], 1))).chunk(2, 1)
        fresh = torch.tanh(self.fresh_input(x) + reset * self.fresh_state(state))
        return keep * state + (1 - keep) * fresh

    def sequence(self, x: Tensor, state: Tensor | None = None) -> Tensor:
        """Return the states [T, B, size] after each of the inputs [T, B, inputs].

        The first state is ``state`` [B, size], or zero. The same as T calls; what does not
        depend on the state is computed for all T at once.
        """
        inputs = x.shape[2]
        gates_x = functional.linear(x, self.gates.weight[:, :inputs], self.gates.bias)
        fresh_x = self.fresh_input(x)
        weight = self.gates.weight[:, inputs:]
        if state is None:
            state = x.new_zeros(x.shape[1], self.fresh_state.out_features)
        states = []
        for gate, fresh in zip(gates_x, fresh_x):
            reset, keep = torch.sigmoid(gate + functional.linear(state, weight)).chunk(2, 1)
            state = torch.lerp(torch.tanh(fresh + reset * self.fresh_state(state)), state, keep)
            states.append(state)
        return torch.stack(states)


class CompactPolicy(nn.Module):
    """Image, instruction features and state in; normalised chunk, arrival and state out."""

    def __init__(self, config: CompactConfig = CompactConfig()) -> None:
        """Build the network with fresh weights."""
        super().__init__()
        self.config = c = config
        self.text = nn.Sequential(nn.Linear(FEATURE_SIZE, c.text), nn.ReLU(),
                                  nn.Linear(c.text, c.text), nn.ReLU())
        t, (a, b, d) = c.text, c.channels
        self.fine = nn.ModuleList((  # to a map of cells of 4 × 4 pixels
            _FilmConv(3, a, 6, 4, t), _FilmConv(a, a, 3, 1, t), _FilmConv(a, a, 3, 1, t, 2)))
        self.coarse = nn.ModuleList((
            _FilmConv(a, b, 3, 2, t), _FilmConv(b, d, 3, 2, t), _FilmConv(d, d, 3, 1, t)))
        grid = (c.height // 4, c.width // 4)
        # Where a cell is matters (near is low in the picture): a learned bias a cell.
        self.place = nn.Parameter(torch.zeros(1, a, *grid))
        gy, gx = torch.meshgrid(torch.linspace(-1, 1, grid[0]), torch.linspace(-1, 1, grid[1]),
                                indexing='ij')
        self.register_buffer('grid', torch.stack([gx, gy]).flatten(1).T.contiguous(),
                             persistent=False)
        self.keys = nn.Conv2d(a, c.key, 1)
        self.query = nn.Linear(c.text, c.queries * c.key)
        self.absent = nn.Linear(c.text, 2)
        self.squeeze = nn.Conv2d(d, 32, 1)
        flat = 32 * (c.height // 16) * (c.width // 16)
        looked = c.queries * (2 + a) + 2
        self.mix = nn.Linear(flat + looked + c.text, c.feature)
        self.stage = nn.Linear(c.feature, c.stages)
        self.memory = _Memory(c.feature, c.memory)
        self.recall = nn.Linear(c.memory, c.feature, bias=False)
        nn.init.zeros_(self.recall.weight)
        self.decide = nn.Sequential(nn.Linear(c.feature, 128), nn.ReLU())
        self.act = nn.Linear(128, c.chunk * c.actions)
        self.arrive = nn.Linear(128, 1)
        # Which gap is the left one cannot be told from a few cells: the whole picture takes part
        # in the question that is asked of each cell.
        self.context = nn.Sequential(nn.Linear(flat, 48), nn.ReLU())
        self.context_query = nn.Linear(48, c.queries * c.key, bias=False)
        nn.init.zeros_(self.context_query.weight)

    def encode(self, image: Tensor, instruction: Tensor) -> Encoded:
        """Encode images uint8 [B, H, W, 3] and instruction features [B, 13], one frame each."""
        return self.attend(*self.convolve(image, instruction), instruction)

    def convolve(self, image: Tensor, instruction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return cells [B, C, h * w], their keys [B, key, h * w], the coarse map [B, flat]."""
        text = self.text(instruction)
        pixels = image.permute(0, 3, 1, 2).float() * (1 / 64.0) - 2.0
        x = self.fine[0](pixels, text)
        x = x + self.place.to(x.dtype)
        for conv in self.fine[1:]:
            x = conv(x, text)
        y = x
        for conv in self.coarse:
            y = conv(y, text)
        seen = functional.relu(self.squeeze(y)).flatten(1)
        return x.flatten(2), self.keys(x).flatten(2), seen

    def attend(self, cells: Tensor, keys: Tensor, seen: Tensor, instruction: Tensor) -> Encoded:
        """Return what the maps of :meth:`convolve` tell about the instruction."""
        c = self.config
        text, seen = self.text(instruction), seen.float()
        query = self.query(text) + self.context_query(self.context(seen))
        scores = (query.view(-1, c.queries, c.key).to(keys.dtype) @ keys).float() * c.key ** -0.5
        look = scores.softmax(-1)  # [B, queries, cells]
        where = look @ self.grid
        what = (look.to(cells.dtype) @ cells.transpose(1, 2)).float()
        point_logits = torch.cat([self.absent(text)[:, :, None], scores[:, :2]], 2)
        absent = point_logits.softmax(-1)[:, :, 0]
        feature = functional.relu(self.mix(torch.cat(
            [seen, where.flatten(1), what.flatten(1), absent, text], 1)))
        return Encoded(feature, point_logits, self.stage(feature))

    def head(self, feature: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return (raw chunk [B, K, A], arrival logit [B, 1]) from a feature and its memory."""
        hidden = self.decide(functional.relu(feature + self.recall(state)))
        chunk = self.act(hidden).view(-1, self.config.chunk, self.config.actions)
        return chunk, self.arrive(hidden)

    def forward(self, image: Tensor, instruction: Tensor,
                state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run one step: (actions in [-1, 1], arrival probability, next state)."""
        feature = self.encode(image, instruction).feature
        state = self.memory(feature, state)
        chunk, arrive = self.head(feature, state)
        return chunk.clamp(-1.0, 1.0), torch.sigmoid(arrive), state
