"""The loss of imitation over windows, and what a validation adds up."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from vla_nav.policies.config import TrainConfig
from vla_nav.policies.family import FamilyPolicy, Instructions
from vla_nav.training.family.steps import Batch

_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    'huber': lambda got, wanted, beta: functional.smooth_l1_loss(
        got, wanted, reduction='none', beta=beta),
    'mse': lambda got, wanted, _: functional.mse_loss(got, wanted, reduction='none'),
    'l1': lambda got, wanted, _: functional.l1_loss(got, wanted, reduction='none'),
}

_ARRIVAL = 0.1


class Sums(NamedTuple):
    """Sums over the values (normalised actions) that count, and how many count.

    ``loss`` and ``absolute`` errors over ``values``; ``first`` [A] absolute errors of each
    chunk's first row over ``firsts`` [A].
    """

    loss: Tensor
    absolute: Tensor
    first: Tensor
    values: Tensor
    firsts: Tensor


class Imitation(nn.Module):
    """Policy and loss in one module, so that what wraps a network wraps both."""

    def __init__(self, policy: FamilyPolicy, config: TrainConfig, cached: bool) -> None:
        """Take pictures, or with ``cached`` what :meth:`FamilyPolicy.precompute` gave."""
        super().__init__()
        self.policy, self._config, self._cached = policy, config, cached

    def forward(self, batch: Batch, instructions: Instructions,
                state: Tensor | None = None) -> tuple[Sums, Tensor]:
        """Return the sums over a batch of windows, and the memory behind them."""
        chunks, arrived, state = self.predict(batch.inputs, instructions, state)
        return sums(chunks, arrived, batch, self._config), state

    def predict(self, inputs: Tensor, instructions: Instructions,
                state: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return chunks float32 [B, T, K, A], arrival logits [B, T], the memory behind them."""
        if state is None:
            state = self.policy.initial_state(len(inputs))
        features = self._encode(inputs, instructions)
        chunks, arrived, state = self.policy.act(features, state)
        return chunks.float(), arrived.float(), state

    def _encode(self, inputs: Tensor, instructions: Instructions) -> Tensor:
        if self._cached and self.policy.cacheable:
            return inputs  # there is nothing to complete
        encode = self.policy.complete if self._cached else self.policy.encode
        if self._config.gradient_checkpointing and self.training and not self.policy.cacheable:
            # A time step after the other, so that the activations of one only are ever there.
            return torch.stack([
                checkpoint(encode, step, instructions, use_reentrant=False)
                for step in inputs.unbind(1)], 1)
        steps = inputs.shape[1]
        rows = [row for row in range(len(inputs)) for _ in range(steps)]
        return encode(inputs.flatten(0, 1), instructions.select(rows)).unflatten(0, (-1, steps))


def sums(chunks: Tensor, arrived: Tensor, batch: Batch, config: TrainConfig) -> Sums:
    """Compare chunks [B, T, K, A] with the targets where the mask says that there is one.

    The loss of arrival logits [B, T] weighs a tenth of the chunks', where arrivals are known.
    """
    counts = batch.mask.to(chunks.dtype)
    error = (chunks - batch.targets).abs()
    loss = _LOSSES[config.loss](chunks, batch.targets, config.huber_beta)
    known = ~batch.arrived.isnan()
    arrival = functional.binary_cross_entropy_with_logits(arrived[known], batch.arrived[known],
                                                          reduction='sum')
    each = _ARRIVAL * chunks[0, 0].numel()  # as many values as a picture's chunk has
    return Sums((loss * counts).sum() + each * arrival, (error * counts).sum().detach(),
                (error * counts)[:, :, 0].sum((0, 1)).detach(), counts.sum(),
                counts[:, :, 0].sum((0, 1)))
