"""What a person sees of a training: a bar with the loss and the time left, and remarks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_nav.training.family.trainer import Notes

_SMOOTH = 0.98


@contextmanager
def shown(title: str) -> Iterator[Notes]:
    """Yield notes that draw a progress bar on stderr; of several processes only the first does."""
    first = os.environ.get('RANK', '0') == '0'
    console = Console(stderr=True, quiet=not first)
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn(), TextColumn('{task.fields[loss]}'))
    with Progress(*columns, console=console, disable=not first) as progress:
        task = progress.add_task(title, total=None, loss='')
        smooth: list[float] = []

        def step(done: int, total: int, loss: float) -> None:
            smooth[:] = [_SMOOTH * (smooth or [loss])[0] + (1 - _SMOOTH) * loss]
            progress.update(task, completed=done, total=total, loss=f'loss {smooth[0]:.4f}')

        def say(text: str) -> None:
            progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
        yield Notes(step, say)
