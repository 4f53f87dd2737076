"""One step of training a member of the family, as it is or with an optimisation."""

from __future__ import annotations

import json
import sys

import numpy as np
import torch

from vla_nav.evaluation.machine import memory_mb
from vla_nav.language.intent import Intent
from vla_nav.policies.config import FamilyConfig, load_preset
from vla_nav.policies.device import torch_device
from vla_nav.policies.family import FamilyPolicy, Instructions
from vla_nav.training.family.objective import Imitation
from vla_nav.training.family.steps import Batch

PLAIN, MIXED, CHECKPOINTED, BENCHMARK = 'fp32', 'bf16', 'checkpointed', 'cuDNN benchmark'
_INTENT = Intent('left', 'cup', 'red')


class TrainingStep:
    """A batch of the preset's windows, forward, backward and through the optimiser."""

    def __init__(self, config: FamilyConfig, device: str, how: str) -> None:
        """Build policy, optimiser and a random batch; ``how`` is one of the names above."""
        torch.manual_seed(0)
        train = config.train.model_copy(update={'gradient_checkpointing': how == CHECKPOINTED})
        self._mixed, self._benchmark, self._device = how == MIXED, how == BENCHMARK, device
        policy = FamilyPolicy(config).to(device).train()
        self._model = Imitation(policy, train, cached=False)
        self._optimizer = torch.optim.AdamW(policy.trainable(), lr=train.lr)
        self._batch = _batch(config).to(torch.device(device))
        told = torch.from_numpy(np.asarray(_INTENT.features(), np.float32))
        self._instructions = Instructions(
            (_INTENT.describe(),) * train.batch, told.expand(train.batch, -1)).to(device)

    def __call__(self) -> None:
        """Make one step."""
        torch.backends.cudnn.benchmark = self._benchmark
        with torch.autocast(self._device, torch.bfloat16, self._mixed):
            sums, _ = self._model(self._batch, self._instructions)
        self._optimizer.zero_grad()
        (sums.loss / sums.values).backward()
        self._optimizer.step()
        torch.backends.cudnn.benchmark = False


def _batch(config: FamilyConfig) -> Batch:
    rng, c = np.random.default_rng(0), config
    windows = (c.train.batch, c.window)
    picture = (c.backbone.height, c.backbone.width, 3)
    rows = (*windows, c.action.chunk, c.action.space.size)
    return Batch(
        torch.from_numpy(rng.integers(0, 256, (*windows, *picture), np.uint8)),
        torch.arange(c.train.batch),
        torch.from_numpy(rng.uniform(-1, 1, rows).astype(np.float32)),
        torch.ones(rows, dtype=torch.bool), torch.zeros(windows))


def main(preset: str, how: str, threads: str, *overrides: str) -> None:
    """Print by how many MB this process grows at most in two steps.

    Gradients and the optimiser's state are in it; they are the same however it is computed.
    """
    step = TrainingStep(load_preset(preset, [*overrides]), torch_device('cpu', int(threads)), how)
    before = memory_mb('VmRSS')
    for _ in range(2):
        step()
    print(json.dumps({'grown_mb': memory_mb() - before}))


if __name__ == '__main__':
    main(*sys.argv[1:])
