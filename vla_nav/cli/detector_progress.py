"""What the detector's commands that train and export show, and how they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

OUT, ERR = Console(), Console(stderr=True)


@contextmanager
def failing() -> Iterator[None]:
    """Print what our own errors say, without a trace, and end with status 2."""
    try:
        yield
    except ModuleNotFoundError as error:
        ERR.print(f'error: {error.name} is not installed; training and export need\n'
                  '  pip install "vla_nav[train,detector]"\n'
                  '  pip install --no-deps -r requirements/ultralytics.txt', style='red',
                  markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    except (RuntimeError, ValueError, OSError) as error:
        ERR.print(f'error: {error}', style='red', markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar; give what takes how many are done, of how many."""
    with Progress(TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                  console=ERR, transient=True) as progress:
        task = progress.add_task('', total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
