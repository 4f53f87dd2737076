"""``vla-nav evaluate delay``: what a slow model costs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vla_nav.contracts import PolicyError
from vla_nav.simulation.gl import NoGl, ensure_gl

_OUT, _ERR = Console(), Console(stderr=True)


def delay(
    policy: Annotated[str, typer.Option(help='A bundle.')] = 'models/compact',
    delays: Annotated[str, typer.Option(help='Milliseconds, joined by commas.')]
    = '0,100,200,400,800',
    episodes: Annotated[int, typer.Option(min=1, help='Episodes for each delay, the same.')] = 48,
    first_seed: Annotated[int, typer.Option(min=0, help='Seeds count up from here.')] = 1_000_000,
    workers: Annotated[int, typer.Option(min=1, help='Processes; the result does not depend on '
                                         'them.')] = os.cpu_count() or 1,
    out: Annotated[Path | None, typer.Option(help='Folder for delay.json and delay.png.')] = None,
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON for programs.')] = False,
) -> None:
    """Closed-loop success where the model takes longer, the robot driving on meanwhile.

    The first delay is what the others are compared with.
    """
    try:
        chosen = [int(word) for word in delays.split(',')]
        ensure_gl()
        from vla_nav.evaluation.delay import measure, plot
        columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                   TimeRemainingColumn())
        with Progress(*columns, console=_ERR, transient=True) as bar:
            task = bar.add_task('', total=len(set(chosen)) * episodes)
            result = measure(policy, chosen, episodes, first_seed, workers, lambda delay, record:
                             bar.update(task, advance=1, description=f'{delay} ms'))
    except (NoGl, PolicyError, ValueError) as error:
        _ERR.print(f'error: {error}', style='red', markup=False, highlight=False)
        raise typer.Exit(1) from error
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / 'delay.json').write_text(json.dumps(result, indent=2) + '\n', 'utf-8')
        (out / 'delay.png').write_bytes(plot(result))
    if as_json:
        print(json.dumps(result, indent=2))
        return
    table = Table('delay, ms', 'success', '95 %', 'relative', 'minus the first, 95 %',
                  'collisions', title=policy)
    for row in result['delays']:
        (low, high), (_, least, most) = row['ci95'], row['minus_first']
        relative = '–' if row['relative'] is None else f'{row["relative"]:.2f}'
        table.add_row(str(row['delay_ms']), f'{row["success"]}/{episodes}',
                      f'{low:.2f} to {high:.2f}', relative, f'{least:+.2f} to {most:+.2f}',
                      f'{row["collision_rate"]:.2f}')
    _OUT.print(table)
