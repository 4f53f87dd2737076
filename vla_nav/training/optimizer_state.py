"""An optimiser's state as tensors of a safetensors file, so that nothing need be unpickled."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_PREFIX = 'optimizer.'


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of each parameter, named ``optimizer.<index>.<name>``."""
    return {f'{_PREFIX}{index}.{name}': torch.as_tensor(value).detach().cpu().contiguous()
            for index, values in optimizer.state_dict()['state'].items()
            for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Take :func:`optimizer_tensors`' values back out of a file's; others are passed over."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(_PREFIX):
            _, index, name = key.split('.')
            state.setdefault(int(index), {})[name] = value
    whole = optimizer.state_dict()
    whole['state'] = state
    optimizer.load_state_dict(whole)
