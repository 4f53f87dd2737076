"""``vla-nav evaluate guard-trials``: straight at a box, with a detector's own boxes."""

from __future__ import annotations

import json
import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vla_nav.contracts import PolicyError
from vla_nav.detection.contracts import DetectorError
from vla_nav.simulation.gl import NoGl, ensure_gl

_OUT, _ERR = Console(), Console(stderr=True)


class Aim(str, Enum):
    """What of the robot would hit the box."""

    CENTRE = 'centre'
    EDGE = 'edge'


def guard_trials(
    detector: Annotated[str, typer.Option(help="A detector bundle, or truth: the simulator's own "
                                          'boxes.')] = 'models/detector',
    episodes: Annotated[int, typer.Option(min=1, help='How many.')] = 200,
    first_seed: Annotated[int, typer.Option(min=0, help='Seeds count up from here.')] = 1_000_000,
    dropped: Annotated[float, typer.Option(min=0.0, max=1.0, help='Share of the pictures that '
                                           'get lost.')] = 0.05,
    aim: Annotated[Aim, typer.Option(help="The box stands in the way of the robot's middle, or "
                                     'only of its edge.')] = Aim.CENTRE,
    workers: Annotated[int, typer.Option(min=1, help='Processes; the result does not depend on '
                                         'them.')] = os.cpu_count() or 1,
    pictures: Annotated[int, typer.Option(min=0, help='Worst cases to draw.')] = 6,
    out: Annotated[Path | None, typer.Option(help='Folder for summary.json, trials.jsonl and '
                                             'index.html.')] = None,
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON for programs.')] = False,
) -> None:
    """Drive straight at a box: say how often it is touched, and how near the robot stops."""
    try:
        ensure_gl()
        from vla_nav.evaluation import guard_trials as trials
        from vla_nav.evaluation.guard_trials_page import rows, write
        settings = trials.TrialSettings(detector, episodes, first_seed, dropped, aim.value)
        columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                   TimeRemainingColumn())
        with Progress(*columns, console=_ERR, transient=True) as bar:
            task = bar.add_task('straight at a box', total=episodes)
            done = trials.run(settings, workers, lambda one: bar.update(task, advance=1))
        summary = (write(out, settings, done, pictures) if out is not None
                   else trials.summarise(settings, done))
    except (NoGl, PolicyError, DetectorError, RuntimeError, ValueError) as error:
        _ERR.print(f'error: {error}', style='red', markup=False, highlight=False)
        raise typer.Exit(1) from error
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    table = Table(title=f'straight at a box, {detector}', show_header=False)
    for row in rows(summary):
        table.add_row(*row)
    _OUT.print(table)
    if out is not None:
        _OUT.print(f'Page with pictures: {out / "index.html"}', highlight=False)
