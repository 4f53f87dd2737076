"""Recurrent cells as matrix products: quantisers leave ONNX's own LSTM and GRU as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class LstmProducts(nn.Module):
    """What ``nn.LSTM``, batch first, computes in evaluation; shares its weights."""

    def __init__(self, cells: nn.LSTM) -> None:
        """Take the cells' place."""
        super().__init__()
        self.cells = cells
        self.eval()

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor],
                ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return outputs [B, T, H] of inputs [B, T, D] and the memory, (h, c) [L, B, H] each."""
        hidden, cell = list(state[0].unbind()), list(state[1].unbind())
        for number, (enter, recur, bias, offset) in enumerate(_layers(self.cells)):
            outputs = []
            for given in (x @ enter + bias).unbind(1):
                i, f, g, o = (given + hidden[number] @ recur + offset).chunk(4, 1)
                cell[number] = f.sigmoid() * cell[number] + i.sigmoid() * g.tanh()
                hidden[number] = o.sigmoid() * cell[number].tanh()
                outputs.append(hidden[number])
            x = torch.stack(outputs, 1)
        return x, (torch.stack(hidden), torch.stack(cell))


class GruProducts(nn.Module):
    """What ``nn.GRU``, batch first, computes in evaluation; shares its weights."""

    def __init__(self, cells: nn.GRU) -> None:
        """Take the cells' place."""
        super().__init__()
        self.cells = cells
        self.eval()

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs [B, T, H] of inputs [B, T, D] and the memory [L, B, H]."""
        hidden = list(state.unbind())
        for number, (enter, recur, bias, offset) in enumerate(_layers(self.cells)):
            outputs = []
            for given in (x @ enter + bias).unbind(1):
                reset, update, new = given.chunk(3, 1)
                r, z, n = (hidden[number] @ recur + offset).chunk(3, 1)
                keep = (update + z).sigmoid()
                fresh = (new + (reset + r).sigmoid() * n).tanh()
                hidden[number] = (1 - keep) * fresh + keep * hidden[number]
                outputs.append(hidden[number])
            x = torch.stack(outputs, 1)
        return x, torch.stack(hidden)


@contextmanager
def as_products(module: nn.Module) -> Iterator[None]:
    """Put products in the place of all LSTMs and GRUs within, until the block ends."""
    held = [(parent, name, child) for parent in module.modules()
            for name, child in parent.named_children() if isinstance(child, nn.LSTM | nn.GRU)]
    try:
        for parent, name, child in held:
            setattr(parent, name, LstmProducts(child) if isinstance(child, nn.LSTM)
                    else GruProducts(child))
        yield
    finally:
        for parent, name, child in held:
            setattr(parent, name, child)


def _layers(cells: nn.RNNBase) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Yield each layer's weights as products take them: [D, G * H], [H, G * H], two biases."""
    for number in range(cells.num_layers):
        enter, recur, bias, offset = (getattr(cells, f'{name}_l{number}') for name in (
            'weight_ih', 'weight_hh', 'bias_ih', 'bias_hh'))
        yield enter.t(), recur.t(), bias, offset
