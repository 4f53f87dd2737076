"""Training on a processor: one process a core, one gradient, bfloat16 where it is faster."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.multiprocessing as processes
from torch import distributed, nn

from vla_nav.orphans import end_with_parent

_HAS_BFLOAT16 = torch.ops.mkldnn._is_mkldnn_bf16_supported() and \
    torch.cpu._is_avx512_bf16_supported()


def spread(work: Callable[..., None], workers: int, *arguments: Any) -> None:
    """Call ``work(rank, workers, *arguments)`` in ``workers`` processes of one thread each.

    On a small machine they beat one process of as many threads.
    """
    # Without this, glibc returns every large tensor to the kernel and takes page faults for the
    # next one: half of the time of a step.
    os.environ |= {'MALLOC_MMAP_MAX_': '0', 'MALLOC_TRIM_THRESHOLD_': str(8 << 30),
                   'MALLOC_TOP_PAD_': str(256 << 20)}
    # The processes meet at a file, since a port may be another training's.
    with tempfile.TemporaryDirectory() as folder:
        processes.spawn(_join, (work, workers, f'file://{folder}/meeting', arguments),
                        nprocs=workers)


def _join(rank: int, work: Callable[..., None], workers: int, meeting: str,
          arguments: tuple[Any, ...]) -> None:
    end_with_parent()
    torch.set_num_threads(1)
    distributed.init_process_group('gloo', meeting, rank=rank, world_size=workers)
    work(rank, workers, *arguments)
    distributed.barrier()
    distributed.destroy_process_group()


def average_gradients(parameters: Iterable[nn.Parameter], workers: int) -> None:
    """Give each parameter the mean of its gradients in all processes."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(part.view_as(gradient) / workers)


def bfloat16() -> torch.autocast:
    """Compute in bfloat16 within this context, where the processor has it: half of the time."""
    return torch.autocast('cpu', torch.bfloat16, enabled=_HAS_BFLOAT16)
