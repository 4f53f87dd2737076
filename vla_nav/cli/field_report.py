"""``vla-nav field-report``: the recordings of a field test as the protocol's table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

_OUT, _ERR = Console(), Console(stderr=True)
# The page has all columns; a terminal has less room.
_SHOWN = ('take', 'kind', 'result', 'scenario', 'driven m', 'guard stops', 'by hand',
          'to cmd_vel p50 / p99 ms')


def field_report(
    bags: Annotated[list[Path], typer.Argument(metavar='BAG...', help='Takes, or folders of '
                                               'them, such as data/bags.')],
    out: Annotated[Path | None, typer.Option(help='Folder for report.json and '
                                             'index.html.')] = None,
    as_json: Annotated[bool, typer.Option('--json', help='Print the report as JSON for '
                                          'programs.')] = False,
) -> None:
    """Turn the recordings of a field test into its table.

    Rates, ages and latencies, the guard's stops and their reasons, metres driven, and success as
    the operator marked it. docs/field-test.md has the protocol.
    """
    from vla_nav.episodes.schema import EpisodeError
    from vla_nav.fieldtest.report import field_report as make
    from vla_nav.fieldtest.take import UNREADABLE
    try:
        with _progress() as progress:
            report = make(bags, out, progress)
    except EpisodeError as error:
        _ERR.print(f'error: {error}', style='red', markup=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if as_json:
        print(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        _show(report, out)
    raise typer.Exit(0 if any(row['kind'] != UNREADABLE for row in report['takes']) else 1)


@contextmanager
def _progress() -> Iterator[Callable[[str, int], Callable[[], None]]]:
    with Progress(TextColumn('{task.description}'), BarColumn(), TimeRemainingColumn(),
                  console=_ERR, transient=True) as progress:
        def begin(name: str, total: int) -> Callable[[], None]:
            for task in progress.task_ids:
                progress.remove_task(task)
            bar = progress.add_task(name, total=total)
            return lambda: progress.advance(bar)
        yield begin


def _show(report: dict[str, Any], out: Path | None) -> None:
    from vla_nav.fieldtest.rows import COLUMNS, cells, intervals, shown_counts
    shown = [COLUMNS.index(name) for name in _SHOWN]
    _OUT.print(_table(_SHOWN, ([cells(row)[i] for i in shown] for row in report['takes'])))
    _OUT.print(_table(('success, as marked', 'share', '95 %', 'n'), intervals(report['success'])))
    _OUT.print(', '.join(f'{name} {count}' for name, count in shown_counts(report['counts'])),
               markup=False, highlight=False)
    for name, figures in report['latency_ms'].items():
        if figures:
            _OUT.print(f'{name}: p50 {figures["p50"]:.1f} ms, p99 {figures["p99"]:.1f} ms',
                       markup=False, highlight=False)
    for problem in [*report['problems'], *(f'{row["take"]}: {problem}' for row in report['takes']
                                           for problem in row['problems'])]:
        _OUT.print(problem, style='yellow', markup=False, soft_wrap=True)
    if out is not None:
        _OUT.print(f'{out}/  report.json  index.html', markup=False, highlight=False)


def _table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE)
    for number, title in enumerate(columns):
        table.add_column(title, no_wrap=not number, overflow='fold',
                         justify='right' if number else 'left')
    for line in lines:
        table.add_row(*map(escape, line))
    return table
