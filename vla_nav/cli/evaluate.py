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

from vla_nav.cli import bag, delay, guard_trials, paired, tub
from vla_nav.cli.suite import check_options, run_suite, show_suite
from vla_nav.contracts import PolicyError
from vla_nav.evaluation.records import EpisodeRecord
from vla_nav.simulation.gl import NoGl, ensure_gl

app = typer.Typer(no_args_is_help=True, help='Measure a policy, or a trivial baseline.')
app.command('tub')(tub.evaluate)
app.command('delay')(delay.delay)
app.command('guard-trials')(guard_trials.guard_trials)
app.command('paired')(paired.paired)
app.command('bag')(bag.evaluate)
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
    MISSPELT = 'misspelt'


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
    context: typer.Context,
    more: Annotated[list[str] | None, typer.Argument(
        metavar='[POLICY]...', help='More policies, as in --policies A B C.')] = None,
    policy: _Policy = 'models/compact',
    episodes: Annotated[int, typer.Option(min=1, help='How many; of each row of a suite, as many '
                                          'as it says.')] = 96,
    first_seed: Annotated[int, typer.Option(min=0, help='Seeds count up from here; training '
                                            'uses those below 1,000,000.')] = 1_000_000,
    text: Annotated[Text, typer.Option(help='The true instruction; one that names the other '
                    'side, or another object (judged by what it names); none; or a '
                    'misspelt one.')] = Text.TRUE,
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
    detector: Annotated[str, typer.Option(
        help='A detector bundle whose obstacles the guard keeps away from; truth: the '
             "simulator's own boxes.")] = '',
    over_dds: Annotated[bool, typer.Option(
        '--over-dds', help='Through the real graph, in real time.')] = False,
    workers: Annotated[int, typer.Option(min=1, help='Processes; the result does not depend on '
                                         'them.')] = os.cpu_count() or 1,
    suite: Annotated[str, typer.Option(help='A whole suite instead of one measurement: standard, '
                                       'or a .yaml file of yours.')] = '',
    policies: Annotated[list[str] | None, typer.Option(
        help='With --suite: who drives; of several, as in --policies A B, the others are compared '
             'with the first.  [default: models/compact]')] = None,
    ray_address: Annotated[str, typer.Option(help='With --suite: a Ray cluster to drive on, such '
                                             'as auto or HOST:6379; local starts one.')] = '',
    pictures: Annotated[int, typer.Option(min=0, help='Failures to draw.')] = 8,
    out: Annotated[Path | None, typer.Option(help='Folder for summary.json, episodes.jsonl and '
                                             'index.html; a suite goes on with what is there.')
                   ] = None,
    as_json: _Json = False,
) -> None:
    """Drive whole episodes in the simulator and judge where the robot ends up.

    A robot succeeds when it comes to rest for 1 s within 0.5 m of the named object, has passed
    the boxes on the named side, and has touched nothing.
    """
    given = check_options(context, bool(suite))
    _draw()
    if suite:
        out = out or Path('runs') / Path(suite).stem
        try:
            whole = run_suite(suite, [*(policies or ['models/compact']), *(more or [])],
                              episodes if 'episodes' in given else None, workers, ray_address,
                              pictures, out, episode_progress)
        except (PolicyError, ValueError, RuntimeError) as error:
            raise _failed(error) from error
        show_suite(whole, out, as_json)
        return
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
    settings = loop.Settings(policy, episodes, first_seed, condition, detector=detector)
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
    policy: Annotated[list[str] | None, typer.Option(
        help='A bundle; may be repeated, to compare.  [default: models/compact]')] = None,
    episodes: Annotated[int, typer.Option(min=1, help='Episodes to let the expert drive.')] = 48,
    first_seed: Annotated[int, typer.Option(min=0, help='Seeds count up from here.')] = 1_000_000,
    families: Annotated[str, typer.Option(help='plain, hidden, two_step, person, joined by '
                                          'commas, or all.')] = 'plain',
    recordings: Annotated[Path | None, typer.Option(
        '--data', '--recordings', metavar='DIR', help='Recorded episodes to take instead; those '
        'that a policy was trained or chosen on are left out.')] = None,
    out: Annotated[Path | None, typer.Option(help='Folder for summary.json (of several policies '
                                             'in folders of their names) and index.html.')] = None,
    as_json: _Json = False,
) -> None:
    """Compare velocities with the expert's on the same pictures, beside trivial predictors."""
    if recordings is None:
        _draw()
    from vla_nav.episodes.schema import EpisodeError
    from vla_nav.evaluation.conditions import Condition
    policies = policy or ['models/compact']
    condition = Condition(families=_all_families() if families == 'all' else _words(families))
    settings = {'episodes': episodes, 'first_seed': first_seed, 'families': families,
                'recordings': str(recordings or '')}
    try:
        summaries = {name: _offline(name, policies, condition, recordings, settings)
                     for name in policies}
    except (PolicyError, EpisodeError, ValueError) as error:
        raise _failed(error) from error
    if out:
        _write_offline(out, summaries)
    if as_json:
        print(json.dumps(summaries if len(policies) > 1 else summaries[policies[0]], indent=2))
        return
    for name, summary in summaries.items():
        _OUT.print(_offline_table(name, summary))


def _offline(policy: str, compared: list[str], condition: Any, recordings: Path | None,
             settings: dict[str, Any]) -> dict[str, Any]:
    from vla_nav.evaluation.bundle_facts import known_drives, training_statistics
    from vla_nav.evaluation.drivers import drive_statistics
    from vla_nav.evaluation.folder import bundle_hash
    from vla_nav.evaluation.offline import expert_episodes, measure, recorded_episodes
    from vla_nav.simulation.scenario import SCENARIO_VERSION
    statistics = (training_statistics(policy) if recordings else None) or drive_statistics()
    # The same drives for all, so that their figures compare.
    known = frozenset[str]().union(*map(known_drives, compared))
    source = (recorded_episodes(recordings, known) if recordings else
              expert_episodes(condition, settings['episodes'], settings['first_seed']))
    with _progress() as progress:
        bar = progress.add_task(policy, total=None if recordings else settings['episodes'])
        summary = measure(policy, source, statistics, lambda: progress.advance(bar))
    return {**summary, 'scenario_version': SCENARIO_VERSION, 'bundle_sha256': bundle_hash(policy),
            'settings': {'policy': policy, **settings}}


def _write_offline(out: Path, summaries: dict[str, dict[str, Any]]) -> None:
    from vla_nav.evaluation.bundle_facts import history
    from vla_nav.evaluation.comparison import write_comparison
    names = {policy: Path(policy).name for policy in summaries}
    if len(set(names.values())) < len(names):  # bundles of one name in several folders
        names = {policy: policy.strip('/').replace('/', '_') for policy in summaries}
    for policy, summary in summaries.items():
        folder = out / names[policy] if len(summaries) > 1 else out
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n', 'utf-8')
    write_comparison(out / 'index.html',
                     {names[policy]: summary for policy, summary in summaries.items()},
                     {names[policy]: history(policy) for policy in summaries})


def _offline_table(policy: str, summary: dict[str, Any]) -> Table:
    table = Table(title=f'{policy}, {summary["samples"]} pictures of {summary["episodes"]} '
                        'episodes, joint over the axes')
    for title in ('', 'MAE', '95 %', 'RMSE', 'within 0.05', 'sign'):
        table.add_column(title, justify='right' if title else 'left')
    for name, axes in summary['predictors'].items():
        bounds = summary['mae'][name]
        figures = [axes['joint'][key] for key in ('mae', 'rmse', 'within', 'sign')]
        cells = ['-' if figure is None else f'{figure:.3f}' for figure in figures]
        interval = '' if bounds['low'] is None else f'{bounds["low"]:.3f} to {bounds["high"]:.3f}'
        table.add_row(name, cells[0], interval, *cells[1:])
    return table


@contextmanager
def episode_progress(title: str, episodes: int, there: int = 0,
                     ) -> Iterator[Callable[[EpisodeRecord], None]]:
    """Show a bar with the success so far and the time left; yield what to call per episode."""
    with _progress() as progress:
        bar = progress.add_task(title, total=episodes, completed=there)
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


def _all_families() -> tuple[str, ...]:
    from vla_nav.simulation.scenario import FAMILIES
    return FAMILIES


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(',') if word.strip())


def _failed(error: Exception) -> typer.Exit:
    _ERR.print(f'[red]error:[/] {error}', soft_wrap=True)
    return typer.Exit(1)
