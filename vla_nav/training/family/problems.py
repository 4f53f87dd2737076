"""What goes wrong in a training, said with its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.multiprocessing import ProcessRaisedException

# What PyTorch says on a GPU, on a CPU, and when the allocator of the system refuses.
_NO_MEMORY = ('out of memory', "can't allocate memory", 'not enough memory')


class TrainingError(RuntimeError):
    """A training cannot begin or go on; the message names the cause and the remedy."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether ``error`` means that the device or the machine has no memory left."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY))


@contextmanager
def named_memory(remedy: Callable[[], str]) -> Iterator[None]:
    """Turn an exhausted memory into a :class:`TrainingError` that says what to change.

    ``remedy`` is asked only then, since it depends on what has been saved until then.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise TrainingError(f'out of memory: {first[:200]}\n  -> {remedy()}') from error


def smaller_batch(batch: int, data: str, out: Path) -> str:
    """Return the remedy of a training whose bundle ``out`` is written at its end."""
    less = f'a smaller batch (--batch {batch // 2}, now {batch}), or ' if batch > 1 else ''
    return f'give {less}{data}; nothing was written to {out}, and a bundle that lies there is kept'


@contextmanager
def from_workers() -> Iterator[None]:
    """Raise the :class:`TrainingError` of a process that was started here as one of this process.

    PyTorch hands over what went wrong there as text alone.
    """
    try:
        yield
    except ProcessRaisedException as error:
        _, named, said = str(error).rpartition(f'{__name__}.{TrainingError.__name__}: ')
        if not named:
            raise
        raise TrainingError(said.strip()) from error
