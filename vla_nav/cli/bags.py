"""``vla-nav evaluate bag`` with several bags, or a folder of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vla_nav.evaluation.bootstrap import bounds_text

_OUT = Console()


def run_bags(bags: dict[str, Path], settings: Any, out: Path, content: Any, workers: int,
             ray_address: str, progress: Callable[[str, int], AbstractContextManager[Any]],
             ) -> dict[str, Any]:
    """Evaluate what ``out`` lacks, write its summary and page, and return the summary.

    ``progress`` takes a title and how many bags there are. Raises PolicyError, ValueError,
    RuntimeError.
    """
    from vla_nav.evaluation.crew import LocalCrew
    from vla_nav.replay.evaluate import PAGE, SUMMARY
    from vla_nav.replay.many import evaluate_bags, read_summary, recheck
    from vla_nav.replay.many_page import write_page
    from vla_nav.replay.pooled import pooled

    def crew() -> Any:
        if not ray_address:
            return LocalCrew(min(workers, len(bags)))
        from vla_nav.evaluation.ray_crew import RayCrew
        return RayCrew(ray_address)
    with crew() as many, progress('bags', len(bags)) as note:
        runs = evaluate_bags(bags, settings, out, content, many, note)
    with LocalCrew(workers) as here:
        about = recheck(bags, runs, settings, out, here)
    summaries = {name: read_summary(out, name) for name, run in runs.items()
                 if 'error' not in run}
    summary = {**pooled(runs, summaries), **about}
    write_page(out / PAGE, settings.policy, summary, summaries)
    (out / SUMMARY).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + '\n', 'utf-8')
    return summary


def show_bags(summary: dict[str, Any], out: Path) -> None:
    """Print what holds over all bags."""
    for name, error in summary['failed'].items():
        _OUT.print(f'{name}: {error}', style='yellow', markup=False, soft_wrap=True)
    _OUT.print(f'{summary["evaluated"]} of {summary["bags"]} bags, {summary["hours"]:.2f} h',
               highlight=False)
    if summary['errors']:
        table = Table('', 'MAE', '95 %', title=f'{summary["errors"]["samples"]} pictures with a '
                                               'driven command, over all axes and bags')
        for name, mae in summary['errors']['mae'].items():
            table.add_row(name, f'{mae["value"]:.4f}', bounds_text(mae))
        _OUT.print(table)
    stops = summary['guard']['stops']
    _OUT.print(f'the guard would have stopped the robot {sum(stops.values())} times' + ''.join(
        f', {count} x {reason}' for reason, count in stops.items()), markup=False,
        highlight=False)
    if summary['cost']:
        _OUT.print(f'{summary["cost"]["core_seconds_per_hour"]:.0f} core seconds for an hour of '
                   'recording', highlight=False)
    if summary['rechecked']:
        _OUT.print(f'{len(summary["machines"])} kinds of machine: {summary["differing"]} of '
                   f'{summary["rechecked"]} bags that another one evaluated have other figures '
                   'here', highlight=False)
    _OUT.print(f'{out}/  summary.json  index.html  and a folder a bag', markup=False,
               highlight=False)
