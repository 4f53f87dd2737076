"""``vla-nav evaluate bag``: a recorded drive through the policy and the guard again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

_OUT, _ERR = Console(), Console(stderr=True)


def evaluate(
    bag: Annotated[list[Path], typer.Option(
        help='A ROS 2 bag: its directory, or one .mcap or .db3 file of it; several, or a folder '
        'of bags, are pooled.')],
    more: Annotated[list[Path] | None, typer.Argument(
        metavar='[BAG]...', help='More bags, as in --bag A B C.')] = None,
    policy: Annotated[str, typer.Option(help='A policy bundle.')] = 'models/compact',
    detector: Annotated[str, typer.Option(
        help='A detector bundle; the guard is told of the obstacles that it sees.')] = '',
    out: Annotated[Path | None, typer.Option(help='Folder for summary.json, index.html and the '
                                             'bag predictions/.')] = None,
    instruction: Annotated[str, typer.Option(
        help='What the robot is told, in place of what the recording says.')] = '',
    rate: Annotated[Literal['max', 'real'], typer.Option(
        help='real keeps the pace of the recording, for latencies as on a robot; the rest is '
        'the same.')] = 'max',
    image_topic: Annotated[str, typer.Option(help='Topic of the camera.')] = '',
    command_topic: Annotated[str, typer.Option(
        help='Topic of what was driven: Twist, TwistStamped or Odometry.')] = '',
    instruction_topic: Annotated[str, typer.Option(help='Topic of the instructions.')] = '',
    stamps: Annotated[Literal['header', 'arrival'], typer.Option(
        help='Where the stamps of the pictures come from.')] = 'header',
    tolerance: Annotated[float | None, typer.Option(
        min=0.001, help='How old a command may be, s.')] = None,
    lead: Annotated[float | None, typer.Option(
        min=0.0, help='How long after its picture a command may come, s; 0 for commands that '
        'carry the stamp of their picture.')] = None,
    params: Annotated[Path | None, typer.Option(
        help="ROS parameter file of policy and guard; the package's own by default.")] = None,
    blind: Annotated[bool, typer.Option(
        help='Also run the policy without its text and without its picture.')] = True,
    content: Annotated[Literal['full', 'predictions', 'none'], typer.Option(
        '--write', help='What predictions/ holds: the recording too, the predictions alone, or '
        'nothing.')] = 'full',
    workers: Annotated[int, typer.Option(min=1, help='Processes, of many bags; the result does '
                                         'not depend on them.')] = os.cpu_count() or 1,
    ray_address: Annotated[str, typer.Option(help='A Ray cluster for many bags, such as auto or '
                                             'HOST:6379; its machines share the folders.')] = '',
    as_json: Annotated[bool, typer.Option('--json', help='Print the summary as JSON for '
                                          'programs.')] = False,
) -> None:
    """Let a policy and the guard live through a recording, and compare with what was driven.

    Instruction, decoding, policy, chunk execution, detector and guard are the nodes' own. Topics
    are found by name, else by type. What is damaged is told, and the rest is evaluated.
    """
    from vla_nav.contracts import NotUnderstood, PolicyError
    from vla_nav.replay.evaluate import evaluate_bag
    from vla_nav.replay.many import name_bags
    from vla_nav.replay.settings import ReplaySettings
    given = {'image_topic': image_topic, 'command_topic': command_topic,
             'instruction_topic': instruction_topic, 'command_tolerance': tolerance,
             'command_lead': lead}
    settings = ReplaySettings(
        policy, instruction, {key: value for key, value in given.items()
                              if value not in ('', None)},
        stamps == 'arrival', blind, rate == 'real', params, detector)
    given_bags = [*bag, *(more or [])]
    try:
        # A single path that is damaged past knowing as a bag is still told as one.
        bags = name_bags(given_bags) if len(given_bags) > 1 or _holds_bags(bag[0]) else {}
        if bags:
            from vla_nav.cli.bags import run_bags, show_bags
            out = out or Path('runs/bags')
            summary = run_bags(bags, settings, out, content, workers, ray_address, _bags_progress)
        else:
            with _progress() as progress:
                summary = evaluate_bag(bag[0], settings, out, content, progress)
    except (PolicyError, NotUnderstood, ValueError, RuntimeError) as error:
        _ERR.print(f'error: {error}', style='red', markup=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
    elif bags:
        show_bags(summary, out or Path())
    else:
        _show(summary, out)
    raise typer.Exit(0 if summary['pictures'].get('evaluated') else 1)


def _holds_bags(path: Path) -> bool:
    """Tell whether a path is a folder of bags rather than a bag."""
    from vla_nav.episodes.bag_folders import bags_below
    return path.is_dir() and bags_below([path]) not in ([], [path])


@contextmanager
def _progress(title: str = 'replaying') -> Iterator[Callable[[int], Callable[[], None]]]:
    with Progress(TextColumn(title), BarColumn(), TimeRemainingColumn(), console=_ERR,
                  transient=True) as progress:
        def begin(total: int) -> Callable[[], None]:
            bar = progress.add_task('', total=total)
            return lambda: progress.advance(bar)
        yield begin


@contextmanager
def _bags_progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    with _progress(title) as begin:
        advance = begin(total)
        yield lambda name: advance()


def _show(summary: dict[str, Any], out: Path | None) -> None:
    for problem in summary['problems']:
        _OUT.print(problem, style='yellow', markup=False, soft_wrap=True)
    counts = ', '.join(f'{value} {key}' for key, value in summary['pictures'].items())
    _OUT.print(f'{summary["seconds"]:.1f} s; {counts}', markup=False, highlight=False)
    errors = summary['errors']
    if errors:
        _OUT.print(_table(errors))
    stops = summary['guard']['stops']
    _OUT.print(f'the guard would have stopped the robot {len(stops)} times' + ''.join(
        f', {stop["reason"]} at {stop["at_s"]:.1f} s' for stop in stops[:5]),
        markup=False, highlight=False)
    if 'detections' in summary:
        _OUT.print(_seen(summary['detections']), markup=False, highlight=False)
    if out is not None:
        _OUT.print(f'{out}/  summary.json  index.html  predictions/', markup=False,
                   highlight=False)


def _seen(detections: dict[str, Any]) -> str:
    boxes = ', '.join(f'{one["boxes"]} {name}' for name, one in detections['classes'].items())
    return f'the detector looked at {detections["pictures"]} pictures: {boxes or "nothing"}'


def _table(errors: dict[str, Any]) -> Table:
    table = Table(title=f'{errors["samples"]} pictures with a driven command, over all axes')
    for title in ('', 'MAE', 'RMSE', 'within 0.05', 'sign'):
        table.add_column(title, justify='right' if title else 'left')
    for name, axes in errors['predictors'].items():
        joint = [axes['joint'][key] for key in ('mae', 'rmse', 'within', 'sign')]
        table.add_row(name, *('-' if value is None else f'{value:.4f}' for value in joint))
    return table
