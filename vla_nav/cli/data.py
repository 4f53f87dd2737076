"""``vla-nav data``: look at recordings, check them, convert them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vla_nav.cli.convert import convert_command
from vla_nav.episodes.from_tub import episodes_from_tub
from vla_nav.episodes.lint import lint as lint_episodes
from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode, EpisodeError, JpegPictures
from vla_nav.episodes.store import EpisodeRef, find_episodes, write_episode
from vla_nav.episodes.tub_bag import bag_from_tub
from vla_nav.spaces import ActionSpace

app = typer.Typer(no_args_is_help=True, help='Look at recorded episodes, check and convert them.')
app.command('convert')(convert_command)
# Donkeycars drive at 20 Hz.
_FASTEST_HZ = 120.0
_OUT, _ERR = Console(), Console(stderr=True)
_Json = Annotated[bool, typer.Option('--json', help='Print JSON for programs.')]


@app.command()
def lint(
    directory: Annotated[Path, typer.Argument(metavar='DIR', help='Recordings, searched deeply.')],
    as_json: _Json = False,
    validation: Annotated[Path | None, typer.Option(
        metavar='DIR', help='Validation recordings: report what they share with DIR.')] = None,
) -> None:
    """Find what would make a policy memorise or mislead: duplicates, imbalance, leaks, gaps.

    Exit status 1 where there is an error, 0 with warnings only.
    """
    try:
        findings = lint_episodes(directory, validation, _progress)
    except EpisodeError as error:
        raise _failed(error) from error
    if as_json:
        print(json.dumps([f.to_dict() for f in findings], ensure_ascii=False, indent=2))
    for finding in () if as_json else findings:
        colour = 'red' if finding.severity == 'error' else 'yellow'
        _OUT.print(f'[{colour}]{finding.severity}[/] ', end='')
        _OUT.print(f'{finding.file}: {finding.field}: {finding.message}\n    -> {finding.remedy}',
                   markup=False, highlight=False, soft_wrap=True)
    errors = sum(finding.severity == 'error' for finding in findings)
    if not as_json:
        _OUT.print(f'{errors} errors, {len(findings) - errors} warnings')
    raise typer.Exit(1 if errors else 0)


@app.command()
def info(
    path: Annotated[Path, typer.Argument(metavar='DIR|FILE', help='Recordings or one of them.')],
    as_json: _Json = False,
) -> None:
    """Say what recordings hold: episodes, pictures, time, rate, sizes, actions, scenarios."""
    try:
        refs, errors = find_episodes(path)
    except EpisodeError as error:
        raise _failed(error) from error
    rows: list[dict[str, object]] = []
    for ref in _progress(refs):
        try:
            with open_episode(ref) as episode:
                rows.append(_describe(ref, path, episode))
        except EpisodeError as error:
            errors.append(error)
    scenarios = Counter(str(row['scenario']) for row in rows)
    if as_json:
        print(json.dumps({'episodes': rows, 'scenarios': scenarios,
                          'unreadable': list(map(str, errors))}, ensure_ascii=False, indent=2))
    elif rows:
        columns = [name for name in rows[0] if name not in ('actions', 'instruction')]
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*(str(row[name]) for name in columns))
        _OUT.print(table)
        _OUT.print(f'{len(rows)} episodes; by scenario: {dict(sorted(scenarios.items()))}')
    for unreadable in errors:
        _ERR.print(f'error: {unreadable}', style='red', markup=False, soft_wrap=True)
    raise typer.Exit(1 if errors or not rows else 0)


@app.command('from-tub')
def from_tub(
    path: Annotated[Path, typer.Argument(metavar='PATH', help='A tub: directory or .tar.gz.')],
    episodes: Annotated[Path | None, typer.Argument(
        metavar='[OUT]', help='Directory for the episodes.')] = None,
    bag: Annotated[Path | None, typer.Option(
        '--out', metavar='BAG', help='A ROS 2 bag to write instead, as if a robot had recorded '
        'it.')] = None,
    instruction: Annotated[str, typer.Option(
        help='What the driver did, as an instruction.')] = 'follow the track',
    rate: Annotated[float | None, typer.Option(
        min=0.1, help='Pictures a second where the recorded stamps are not true.')] = None,
    frames: Annotated[int, typer.Option(min=2, help='Longest episode, in pictures.')] = 200,
    speed: Annotated[float, typer.Option(min=0.01, help='Full throttle, in m/s.')] = 0.6,
    turn: Annotated[float, typer.Option(min=0.01, help='Full steering, in rad/s.')] = 1.2,
) -> None:
    """Turn a donkeycar tub into episodes or a bag; its JPEG pictures are kept as they are."""
    if (episodes is None) == (bag is None):
        raise typer.BadParameter('give either OUT, for episodes, or --out BAG')
    space = ActionSpace.symmetric(linear_x=speed, angular_z=turn)
    count = pictures = 0
    try:
        if bag is not None:
            written = bag_from_tub(path, bag, instruction, rate, space)
            stamps = [record.stamp_ns for record in
                      track(written, 'converting', console=_ERR, transient=True)]
            pictures = len(stamps)
            _doubt(stamps)
        else:
            assert episodes is not None
            episodes.mkdir(parents=True, exist_ok=True)
            for episode in track(episodes_from_tub(path, instruction, rate, frames, space),
                                 'converting', console=_ERR, transient=True):
                write_episode(EpisodeRef(episodes / f'tub_{count:04d}.h5'), episode)
                count, pictures = count + 1, pictures + len(episode)
    except EpisodeError as error:
        raise _failed(error) from error
    _OUT.print(f'{pictures} pictures in {bag}' if bag else
               f'{count} episodes, {pictures} pictures in {episodes}')


def _doubt(stamps: Sequence[int]) -> None:
    """Say so where a tub's stamps are too dense to be a camera's: those of its conversion."""
    gap = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
    if 0 < gap < 1e9 / _FASTEST_HZ:
        _ERR.print(f'the stamps say {1e9 / gap:.0f} pictures a second; where these are not true, '
                   'give the true rate, as in --rate 20', style='yellow', markup=False)


def _describe(ref: EpisodeRef, root: Path, episode: Episode) -> dict[str, object]:
    stamps = episode.stamps_ns
    seconds = None if stamps is None else (int(stamps[-1]) - int(stamps[0])) / 1e9
    rate = (None if stamps is None or len(stamps) < 2
            else round(1e9 / float(np.median(np.diff(stamps))), 1))
    height, width = episode.images[0].shape[:2]
    return {
        'episode': str(ref).removeprefix(f'{root}/'), 'scenario': episode.scenario,
        'frames': len(episode), 'seconds': seconds, 'rate_hz': rate,
        'picture': f'{width}x{height}',
        'stored': 'jpeg' if isinstance(episode.images, JpegPictures) else 'raw',
        'actions': ' '.join(episode.action_names), 'success': episode.success,
        'instruction': episode.instruction,
    }


def _progress(refs: Sequence[EpisodeRef]) -> Iterator[EpisodeRef]:
    return iter(track(refs, 'reading', console=_ERR, transient=True))


def _failed(error: Exception) -> typer.Exit:
    _ERR.print(f'error: {error}', style='red', markup=False, soft_wrap=True)
    return typer.Exit(2)
