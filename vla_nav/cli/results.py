"""``vla-nav results``: run every command behind ``docs/results.md`` and write the page."""

from __future__ import annotations

import json
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from vla_nav.contracts import PolicyError
from vla_nav.evaluation.machine import describe
from vla_nav.evaluation.must import MEASUREMENTS, SECTIONS
from vla_nav.evaluation.provenance import made
from vla_nav.evaluation.results_page import Source, markdown, rows
from vla_nav.evaluation.table import BUNDLE, FOLDER, Measurement

_ERR = Console(stderr=True)
_RUN = 'from vla_nav.cli.main import main; main()'


def results(
    policy: Annotated[str, typer.Option(help='The bundle to measure.')] = 'models/compact',
    folder: Annotated[Path, typer.Option(
        help='Keeps each measurement; one that is there for the same command, bundle and '
             'scenarios is not run again.')] = Path(FOLDER),
    docs: Annotated[Path, typer.Option(help='Where results.md and results.json go.')
                    ] = Path('docs'),
    only: Annotated[str, typer.Option(help='Only these measurements, joined by commas; the rows '
                                      'of the others stay as the page has them.')] = '',
    quick: Annotated[bool, typer.Option(
        '--quick', help='A smoke of at most 24 episodes a row; stays out of docs.')] = False,
) -> None:
    """Measure all that the shipped policy must show and write it down with the commands.

    Takes about an hour on two cores; interrupted, it goes on where it was.
    """
    by_key = {m.key: m for m in MEASUREMENTS}
    if unknown := set(filter(None, only.split(','))) - set(by_key):
        raise typer.BadParameter(f'unknown measurements {sorted(unknown)}; known are '
                                 f'{", ".join(by_key)}')
    if quick:
        folder = docs = folder / 'quick'
    try:
        about = _about(policy, quick)
    except PolicyError as error:
        _ERR.print(f'[red]error:[/] {error}', soft_wrap=True)
        raise typer.Exit(1) from error
    page = _same_page(docs / 'results.json', about)
    taken: dict[str, dict[str, Any]] = {}
    sources: dict[str, Source] = {}
    for number, measurement in enumerate(MEASUREMENTS, 1):
        wanted = not only or measurement.key in only.split(',')
        line = measurement.line(policy, quick, str(folder))
        _ERR.print(f'[{number}/{len(MEASUREMENTS)}] {line}',
                   markup=False, highlight=False, soft_wrap=True)
        summary: dict[str, Any] | None = None
        if measurement.kept:  # of bundles that need not be here
            summary = _kept(docs / measurement.kept)
            sources[measurement.key] = Source(line, (summary or {}).get('made', ''))
        elif (found := _take(measurement, policy, folder, quick, wanted)) is not None:
            summary = found['summary']
            sources[measurement.key] = Source(line, found['made'],
                                              found['identity']['bundle_sha256'])
        else:
            sources[measurement.key] = Source(line, sha256=_sha256(measurement, policy, folder))
        if summary is not None:
            taken[measurement.key] = summary
    docs.mkdir(parents=True, exist_ok=True)
    found_rows = rows(taken, sources, page.get('rows', ()))
    (docs / 'results.md').write_text(_page(about, markdown(found_rows), quick), encoding='utf-8')
    # What lies beside the page already need not be in it.
    details = {**page.get('measurements', {}), **{
        key: {k: v for k, v in summary.items() if k != 'failed_seeds'}
        for key, summary in taken.items() if not by_key[key].kept}}
    text = json.dumps({**about, 'rows': found_rows, 'measurements': details}, indent=1,
                      ensure_ascii=False)
    (docs / 'results.json').write_text(text + '\n', encoding='utf-8')
    _ERR.print(f'wrote {docs / "results.md"}')
    there = {row['title'] for row in found_rows}
    missing = sorted({key for section in SECTIONS for row in section.rows
                      if row.title not in there for key in row.sources if key not in taken})
    if quick:
        missing = [key for key in missing if not by_key[key].kept]
    if missing:
        _ERR.print(f'[yellow]not measured:[/] {", ".join(missing)}')
        raise typer.Exit(1)


def _take(measurement: Measurement, policy: str, folder: Path, quick: bool,
          run: bool) -> dict[str, Any] | None:
    """Return a measurement from its folder if it is there, else by running it.

    It holds the ``summary``, and in ``made`` the commit and the day.
    """
    from vla_nav.simulation.scenario import SCENARIO_VERSION
    place = folder / measurement.key
    line = measurement.line(policy, quick, str(folder))
    try:
        sha = _hash(measurement.bundles(policy, str(folder)))
    except PolicyError as error:  # what it drives was not exported, or is not shipped
        _ERR.print(str(error), markup=False, soft_wrap=True)
        return None
    identity = {'command': line, 'scenario_version': SCENARIO_VERSION, 'bundle_sha256': sha}
    stored = place / 'measured.json'
    if stored.is_file():
        known = json.loads(stored.read_text(encoding='utf-8'))
        if known['identity'] == identity:
            return known  # type: ignore[no-any-return]
    if not run:
        return None
    words = [*shlex.split(line)[1:], '--json']
    if measurement.command.startswith('evaluate'):
        words += ['--out', str(place)]
    elif measurement.command == 'export':
        shutil.rmtree(place / BUNDLE, ignore_errors=True)  # an export overwrites nothing
    # A process for each, so that what is measured is the command that the page shows.
    done = subprocess.run([sys.executable, '-c', _RUN, *words], stdout=subprocess.PIPE,
                          check=False)
    try:  # A benchmark that misses its bound has status 1 and a result nevertheless.
        summary: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        _ERR.print(f'[red]failed with status {done.returncode}[/]')
        return None
    measured = {'identity': identity, 'made': made(), 'summary': summary}
    place.mkdir(parents=True, exist_ok=True)
    stored.write_text(json.dumps(measured), encoding='utf-8')
    return measured


def _hash(bundles: Sequence[str]) -> str:
    """Return what identifies bundles; '' for baselines. Raises PolicyError where one is not."""
    from vla_nav.evaluation.drivers import BASELINES
    from vla_nav.evaluation.folder import config_hash
    hashes = [config_hash(bundle) for bundle in bundles if bundle not in BASELINES]
    if not all(hashes):
        raise PolicyError(f'{" and ".join(bundles)}: not there')
    return ' '.join(hashes)


def _sha256(measurement: Measurement, policy: str, folder: Path) -> str:
    """Return what identifies the bundles of a measurement; '' where they are not here."""
    try:
        return _hash(measurement.bundles(policy, str(folder)))
    except PolicyError:
        return ''


def _same_page(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return the page as it is; nothing where it is of another policy or of other scenes."""
    page = _kept(path) or {}
    same = all(page.get(key) == about[key] for key in (
        'quick', 'policy', 'bundle_sha256', 'scenario_version'))
    return page if same else {}


def _kept(path: Path) -> dict[str, Any] | None:
    """Return what a command of hours has left beside the page."""
    return json.loads(path.read_text('utf-8')) if path.is_file() else None


def _about(policy: str, quick: bool) -> dict[str, Any]:
    from vla_nav.evaluation.folder import bundle_hash
    from vla_nav.simulation.scenario import SCENARIO_VERSION
    about = describe()
    return {
        'quick': quick, 'policy': policy, 'bundle_sha256': bundle_hash(policy),
        'scenario_version': SCENARIO_VERSION,
        'date': f'{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC',
        'machine': f'{about["processor"]}, {about["cores"]} cores, {platform.system()} '
                   f'{platform.machine()}, Python {about["python"]}'}


def _page(about: dict[str, Any], table: str, quick: bool) -> str:
    warning = ('**A smoke of a few episodes a row: not a result.**\n\n' if quick else '')
    return f"""# Results

{warning}Made by `make results` (`vla-nav results`). Rates stand with Wilson's 95 % interval,
differences with Bonett and Price's. Seeds from 2,000,000 on, which neither training nor the
choice of a checkpoint has seen.

- Bundle `{about['policy']}`, config SHA-256 `{about['bundle_sha256'][:16]}`
- Scenarios {about['scenario_version']}; written {about['date']}, each command with the commit and
  the day that it ran
- Machine: {about['machine']}

{table}"""
