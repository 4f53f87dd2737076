"""``vla-nav evaluate closed-loop --suite``: policies through a suite, resumed where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

_OUT = Console()
_ONLY_SUITE = {'policies', 'more', 'ray_address'}
_OF_BOTH = {'suite', 'episodes', 'workers', 'pictures', 'out', 'as_json'}


def check_options(context: typer.Context, suite: bool) -> set[str]:
    """Return the options that were given; refuse those that would change nothing."""
    # By name: Typer may carry a Click of its own, whose enumeration is another.
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source and source.name != 'DEFAULT'}
    wrong = given - _ONLY_SUITE - _OF_BOTH if suite else given & _ONLY_SUITE
    if wrong:
        names = ', '.join('[POLICY]...' if name == 'more' else f'--{name.replace("_", "-")}'
                          for name in sorted(wrong))
        raise typer.BadParameter(
            f'{names}: the rows of a suite say this; --policies says who drives' if suite else
            f'{names} goes with --suite')
    return given


def run_suite(name: str, policies: list[str], episodes: int | None, workers: int,
              ray_address: str, pictures: int, out: Path, progress: Any) -> dict[str, Any]:
    """Drive what ``out`` lacks, write its summary and page, and return the summary.

    ``progress`` is the CLI's bar, a context manager that takes a title, how many episodes there
    are and how many of them are there already. Raises PolicyError, ValueError or RuntimeError.
    """
    from vla_nav.evaluation.crew import LocalCrew
    from vla_nav.evaluation.folder import bundle_hash
    from vla_nav.evaluation.suite import load_suite
    from vla_nav.evaluation.suite_ledger import Ledger
    from vla_nav.evaluation.suite_page import write_page
    from vla_nav.evaluation.suite_run import chosen, missing, recheck, run
    from vla_nav.evaluation.suite_summary import summary_of
    suite = load_suite(name)
    hashes = {policy: bundle_hash(policy) for policy in dict.fromkeys(policies)}
    ledger = Ledger(out, suite, hashes)
    total = len(hashes) * len(suite.rows) * (episodes or suite.episodes)
    there = total - len(missing(suite, hashes, ledger, episodes))
    with progress(f'suite {suite.name} {suite.version}', total, there) as note:
        if ray_address:
            from vla_nav.evaluation.ray_crew import RayCrew
            with RayCrew(ray_address) as cluster:
                run(suite, hashes, ledger, cluster, episodes, note)
        else:
            with LocalCrew(workers) as crew:
                run(suite, hashes, ledger, crew, episodes, note)
    with LocalCrew(workers) as crew:
        about = recheck(suite, hashes, ledger, crew, episodes)
    records = chosen(suite, list(hashes), ledger, episodes)
    summary = {**summary_of(suite, records, hashes), **about}
    write_page(out / 'index.html', suite, summary, records, pictures)
    # Last, since a folder with a summary counts as complete.
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    (out / 'summary.json').write_text(text + '\n', 'utf-8')
    return summary


def show_suite(summary: dict[str, Any], out: Path, as_json: bool) -> None:
    """Print the success of each policy in each row, and what differs between machines."""
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    table = Table('row', *summary['policies'], title=f'suite {summary["suite"]} '
                  f'{summary["version"]}: success, Wilson 95 %')
    for row, title in summary['rows'].items():
        cells = []
        for found in summary['policies'].values():
            figures = found['rows'][row]
            low, high = figures['ci95']
            cells.append(f'{figures["success_rate"]:.3f} ({low:.2f} to {high:.2f})')
        table.add_row(title, *cells)
    _OUT.print(table)
    first = next(iter(summary['policies']))
    for other, found in summary['paired'].items():
        whole = found['success']
        bounds = ('' if whole['low'] is None
                  else f' ({whole["low"]:+.3f} to {whole["high"]:+.3f})')
        _OUT.print(f'{other} minus {first}: {whole["value"]:+.3f}{bounds}', highlight=False)
    if summary['rechecked']:
        _OUT.print(f'{len(summary["machines"])} kinds of machine: {summary["differing"]} of '
                   f'{summary["rechecked"]} episodes that another one drove end differently '
                   'here', highlight=False)
    _OUT.print(f'Page with failures: {out / "index.html"}', highlight=False)
