"""Where PyTorch computes."""

from __future__ import annotations

import torch

from vla_nav.contracts import PolicyError
from vla_nav.runtimes.sessions import PROVIDERS


def torch_device(provider: str, threads: int = 1) -> str:
    """Return 'cuda' or 'cpu', with ``threads`` set; raise PolicyError for what is not here."""
    if provider not in PROVIDERS:
        raise PolicyError(f'unknown provider {provider!r}; known are {", ".join(PROVIDERS)}')
    there = torch.cuda.is_available()
    if provider in ('tensorrt', 'openvino') or (provider == 'cuda' and not there):
        raise PolicyError(f'{provider} is not available to PyTorch here; choose auto or cpu')
    if provider == 'cpu' or not there:
        torch.set_num_threads(threads)
        return 'cpu'
    return 'cuda'
