"""``vla-nav evaluate``: measure a policy beside what does without one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vla_nav.contracts import PolicyError
from vla_nav.evaluation.records import EpisodeRecord
from vla_nav.simulation.gl import NoGl, ensure_gl

app = typer.Typer(no_args_is_help=True, help='Measure a policy, or a trivial baseline.')
_OUT, _ERR = Console(), Console(stderr=True)
_Json = Annotated[bool, typer.Option('--json', help='Print the summary as JSON for programs.')]
_Policy = Annotated[str, typer.Option(
    help='A bundle such as models/compact, or expert, constant, straight, always-left, '
         'step-index.')]


class Text(str, Enum):
    """What the policy is told."""

    TRUE = 'true'
    SWAPPED_SIDE = 'swapped-side'
    SWAPPED_GOAL = 'swapped-goal'
    BLIND = 'blind'


class Image(str, Enum):
    """What the policy is shown."""

    TRUE = 'true'
    BLIND = 'blind'


class HeldOut(str, Enum):
    """What is drawn from outside of training."""

    NONE = 'none'
    LAYOUTS = 'layouts'
    PHRASINGS = 'phrasings'
    APPEARANCE = 'appearance'


class Language(str, Enum):
    """The language of the instructions."""

    ENGLISH = 'en'
    KOREAN = 'ko'
    BOTH = 'both'


@app.command('closed-loop')
def closed_loop(
    policy: _Policy = 'models/compact',
    episodes: Annotated[int, typer.Option(min=1, help='How many.')] = 96,
    first_seed: Annotated[int, typer.Option(min=0, help='Seeds count up from here; training '
                                            'uses those below 1,000,000.')] = 1_000_000,
    text: Annotated[Text, typer.Option(help='The true instruction; one that names the other '
                    'side, or another object (judged by what it names); or none.')] = Text.TRUE,
    image: Annotated[Image, typer.Option(help='The camera, or an even grey.')] = Image.TRUE,
    heldout: Annotated[HeldOut, typer.Option(help='Scenes or wordings that training never '
                                             'saw.')] = HeldOut.NONE,
    language: Annotated[Language, typer.Option(help='Language of the instructions; both: in '
                                               'turn.')] = Language.BOTH,
    families: Annotated[str, typer.Option(help='plain, hidden, two_step, person, joined by '
                                          'commas, or all.')] = 'plain',
    cells: Annotated[str, typer.Option(help='Only these cells, joined by commas, such as '
                                       '2box_vert_left_close.')] = '',
    only_distractor: Annotated[bool, typer.Option(
        '--only-distractor', help="Only scenes in which another object shares the goal's kind "
                                  'or colour.')] = False,
    over_dds: Annotated[bool, typer.Option(
        '--over-dds', help='Through the real graph, in real time.')] = False,
    workers: Annotated[int, typer.Option(min=1, help='Processes; the result does not depend on '
                                         'them.')] = os.cpu_count() or 1,
    pictures: Annotated[int, typer.Option(min=0, help='Failures to draw.')] = 8,
    out: Annotated[Path | None, typer.Option(help='Folder for summary.json, episodes.jsonl and '
                                             'index.html.')] = None,
    as_json: _Json = False,
) -> None:
    """Drive whole episodes in the simulator and judge where the robot ends up.

    A robot succeeds when it comes to rest for 1 s within 0.5 m of the named object, has passed
    the boxes on the named side, and has touched nothing.
    """
    _draw()
    from vla_nav.evaluation import closed_loop as loop
    from vla_nav.evaluation import folder
    from vla_nav.evaluation.conditions import Condition
    from vla_nav.simulation.scenario import FAMILIES
    try:
        condition = Condition(
            text.value, image.value, heldout.value, language.value,
            FAMILIES if families == 'all' else _words(families), _words(cells), only_distractor)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    settings = loop.Settings(policy, episodes, first_seed, condition)
    try:
        if over_dds:
            from vla_nav.evaluation.over_dds import run_over_dds as run
        else:
            run = loop.run
        with episode_progress(policy, episodes) as note:
            records = run(settings, workers, note)
        summary = (folder.write(out, settings, records, 0 if over_dds else pictures) if out
                   else folder.summary_of(settings, records))
    except (PolicyError, ValueError, RuntimeError, ImportError) as error:
        raise _failed(error) from error
    _show(summary, out, as_json)


@app.command()
def offline(
    policy: Annotated[str, typer.Option(help='A bundle.')] = 'models/compact',
    episodes: Annotated[int, typer.Option(min=1, help='Episodes to let the expert drive.')] = 48,
    first_seed: Annotated[int, typer.Option(min=0, help='Seeds count up from here.')] = 1_000_000,
    families: Annotated[str, typer.Option(help='plain, hidden, two_step, person, joined by '
                                          'commas, or all.')] = 'plain',
    recordings: Annotated[Path | None, typer.Option(
        metavar='DIR', help='Recorded episodes to take instead.')] = None,
    out: Annotated[Path | None, typer.Option(help='Folder for summary.json.')] = None,
    as_json: _Json = False,
) -> None:
    """Compare velocities with the expert's on the same pictures, beside trivial predictors."""
    _draw()
    from vla_nav.episodes.schema import EpisodeError
    from vla_nav.evaluation.conditions import Condition
    from vla_nav.evaluation.drivers import drive_statistics
    from vla_nav.evaluation.folder import bundle_hash
    from vla_nav.evaluation.offline import expert_episodes, measure, recorded_episodes
    from vla_nav.simulation.scenario import FAMILIES, SCENARIO_VERSION
    condition = Condition(families=FAMILIES if families == 'all' else _words(families))
    source = (recorded_episodes(recordings) if recordings
              else expert_episodes(condition, episodes, first_seed))
    try:
        with _progress() as progress:
            bar = progress.add_task(policy, total=None if recordings else episodes)
            summary = measure(policy, source, drive_statistics(), lambda: progress.advance(bar))
        summary |= {'scenario_version': SCENARIO_VERSION, 'bundle_sha256': bundle_hash(policy),
                    'settings': {'policy': policy, 'episodes': episodes, 'first_seed': first_seed,
                                 'families': families, 'recordings': str(recordings or '')}}
    except (PolicyError, EpisodeError) as error:
        raise _failed(error) from error
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n', encoding='utf-8')
    if as_json:
        print(json.dumps(summary, indent=2))
        return
    table = Table(title=f'{summary["samples"]} pictures, joint over the axes')
    for title in ('', 'MAE', 'RMSE', 'within 0.05', 'sign'):
        table.add_column(title, justify='right' if title else 'left')
    for name, axes in summary['predictors'].items():
        figures = (axes['joint'][key] for key in ('mae', 'rmse', 'within', 'sign'))
        table.add_row(name, *('-' if figure is None else f'{figure:.3f}' for figure in figures))
    _OUT.print(table)


@contextmanager
def episode_progress(title: str, episodes: int) -> Iterator[Callable[[EpisodeRecord], None]]:
    """Show a bar with the success so far and the time left; yield what to call per episode."""
    with _progress() as progress:
        bar = progress.add_task(title, total=episodes)
        succeeded = done = 0

        def note(record: EpisodeRecord) -> None:
            nonlocal succeeded, done
            succeeded, done = succeeded + record.success, done + 1
            progress.update(bar, advance=1, description=f'{title} {succeeded}/{done}')
        yield note


def _progress() -> Progress:
    # On stderr, so that --json leaves stdout to the JSON alone.
    return Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                    TimeRemainingColumn(), console=_ERR, transient=True)


def _show(summary: dict[str, Any], out: Path | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
        return
    table = Table(title=f'{summary["settings"]["policy"]}, {summary["episodes"]} episodes, '
                        f'scenarios {summary["scenario_version"]}')
    for title in ('', 'value', '95 % interval'):
        table.add_column(title)
    bounds = {'success_rate': summary['ci95'], **summary['intervals']}
    for key in ('success_rate', 'oracle_success_rate', 'collision_rate', 'side_accuracy',
                'goal_accuracy', 'spl', 'time_to_goal_s'):
        low, high = bounds.get(key) or (None, None)
        value = summary[key]
        table.add_row(key, '-' if value is None else f'{value:.3f}',
                      '' if low is None else f'{low:.3f} to {high:.3f}')
    _OUT.print(table)
    for reason, count in summary['failures'].items():
        _OUT.print(f'  {count} × {reason}', highlight=False)
    if out:
        _OUT.print(f'Page with pictures: {out / "index.html"}', highlight=False)


def _draw() -> None:
    """Choose a GL back end; mujoco must not be imported before."""
    try:
        ensure_gl()
    except NoGl as error:
        raise _failed(error) from error


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(',') if word.strip())


def _failed(error: Exception) -> typer.Exit:
    _ERR.print(f'[red]error:[/] {error}', soft_wrap=True)
    return typer.Exit(1)
