"""``vla-nav bench``: measure the real graph on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

app = typer.Typer(no_args_is_help=True)
_OUT, _ERR = Console(), Console(stderr=True)
_Policies = Annotated[list[str] | None, typer.Option(
    '--policy', help='A bundle; may be repeated.  [default: models/compact]')]
_Runtimes = Annotated[list[str] | None, typer.Option(
    '--runtime', help='onnx, openvino, eager, compile or torchscript; may be repeated.  [default: '
    'all that the bundle takes]')]
_Policy = Annotated[str, typer.Option(help='Policy bundle, a directory or a shipped one.')]
_Json = Annotated[bool, typer.Option('--json', help='Print JSON for programs.')]
_Out = Annotated[Path | None, typer.Option(metavar='DIR', help='Write DIR/<name>.json as well.')]


@app.callback(invoke_without_command=True)
def bench(context: typer.Context, policies: _Policies = None, runtimes: _Runtimes = None) -> None:
    """Measure latencies and stop times on this machine; a policy's step without a command."""
    command = context.invoked_subcommand
    if command is None:
        policy(policies, runtimes)
    elif policies or runtimes:
        raise typer.BadParameter(f'--policy and --runtime stand behind the command: '
                                 f'vla-nav bench {command} --policy ...')


@app.command()
def latency(
    policy: _Policy = 'models/compact',
    frames: Annotated[int, typer.Option(min=1, help='Pictures to measure, 15 a second.')] = 2000,
    as_json: _Json = False, out: _Out = None,
) -> None:
    """Time from a 1280x720 JPEG to the velocity that it causes, through DDS, policy and guard.

    Exit status 1 where the 99th percentile is above 20 ms.
    """
    from vla_nav.nodes.benchmarks import latency as measure
    result = _measure('latency', lambda progress: measure(policy, frames, progress), out)
    if not as_json:
        table = Table('p50', 'p95', 'p99', 'max', title='picture to cmd_vel, ms')
        figures = result['picture_to_cmd_vel_ms']
        table.add_row(*(f'{figures[key]:.2f}' for key in ('p50', 'p95', 'p99', 'max')
                        if key in figures))
        _OUT.print(table)
    _end(result, as_json)


@app.command()
def pictures(
    policy: _Policy = 'models/compact',
    seconds: Annotated[float, typer.Option(min=1, help='For each transport.')] = 20.0,
    as_json: _Json = False, out: _Out = None,
) -> None:
    """Share of 1280x720 pictures at 30 Hz, raw and compressed, that the policy answers.

    Exit status 1 where it is below 98 %.
    """
    from vla_nav.nodes.benchmarks import pictures as measure
    result = _measure('pictures', lambda progress: measure(policy, seconds, progress), out)
    if not as_json:
        table = Table('transport', 'published', 'answered', title='1280x720 at 30 Hz')
        for transport, share in result['answered_share'].items():
            table.add_row(transport, str(result['published']), f'{share:.1%}')
        _OUT.print(table)
    _end(result, as_json)


@app.command()
def features(
    preset: Annotated[str, typer.Argument(help='A preset, or a YAML file.')],
    data: Annotated[Path, typer.Option(metavar='DIR', help='Recordings; a dozen are enough.')],
    overrides: Annotated[list[str] | None, typer.Argument(
        metavar='[KEY=VALUE]...', help='Changes to the preset.')] = None,
    random: Annotated[bool, typer.Option('--random', help='Do without published weights: the '
                                         'time is the same.')] = False,
) -> None:
    """Time an epoch of training with kept features of frozen backbones, and one without."""
    from vla_nav.cli.train import shipped_reader
    from vla_nav.evaluation.provenance import provenance
    from vla_nav.policies.config import load_preset
    from vla_nav.training.family.run import Job
    from vla_nav.training.family.speed import measure_cache
    from vla_nav.training.family.trainer import Notes
    job = Job(load_preset(preset, overrides), (data,), Path(), Path(), shipped_reader(),
              weights='random' if random else 'pretrained')
    found = measure_cache(job, Notes(say=lambda text: None))
    print(json.dumps({**found, **provenance()}, indent=1))


@app.command()
def safety(
    policy: _Policy = 'models/compact',
    trials: Annotated[int, typer.Option(min=1, help='Failures of each kind.')] = 20,
    as_json: _Json = False, out: _Out = None,
) -> None:
    """Time from a failure of camera or policy to the first all-zero cmd_vel.

    Exit status 1 where a trial takes more than its limit and 50 ms.
    """
    from vla_nav.nodes.benchmarks import safety as measure
    result = _measure('safety', lambda progress: measure(policy, trials, progress), out)
    if not as_json:
        table = Table('fault', 'trials', 'limit, s', 'median, s', 'max, s', 'passed')
        for row in result['faults']:
            table.add_row(row['fault'], str(row['trials']), f'{row["limit_s"]:.2f}',
                          f'{row["median_s"]:.3f}', f'{row["max_s"]:.3f}',
                          'yes' if row['passed'] else 'NO')
        _OUT.print(table)
    _end(result, as_json)


@app.command()
def start(
    policy: _Policy = 'models/compact',
    starts: Annotated[int, typer.Option(min=1, help='How often.')] = 5,
    as_json: _Json = False, out: _Out = None,
) -> None:
    """From the start of the policy's process to its first command, and its peak memory.

    Beside a camera of 1280x720 JPEG at 15 Hz. Exit status 1 above 3 s or 250 MB.
    """
    from vla_nav.nodes.start_benchmark import start as measure
    result = _measure('start', lambda progress: measure(policy, starts, progress), out)
    if not as_json:
        table = Table('starts', 'p50, s', 'max, s', 'peak, MB', title='start to first command')
        table.add_row(str(starts), *(f'{result["start_s"][key]:.2f}' for key in ('p50', 'max')),
                      f'{result["peak_mb"]:.0f}')
        _OUT.print(table)
    _end(result, as_json)


@app.command()
def stream(
    policy: _Policy = 'models/compact',
    think: Annotated[float, typer.Option(min=0.05, max=4.0, help='Seconds that a step of the '
                                         'model takes.')] = 0.4,
    seconds: Annotated[float, typer.Option(min=2, help='How long to watch.')] = 30.0,
    as_json: _Json = False, out: _Out = None,
) -> None:
    """Rate and gaps of the commands while a slow model thinks: a stand-in, as large as the policy.

    Exit status 1 where commands come at less than 20 Hz, where one gap in a hundred is longer
    than 50 ms, or where one command of the policy in a hundred is zero.
    """
    from vla_nav.nodes.stream_benchmark import stream as measure
    result = _measure('stream', lambda progress: measure(policy, think, seconds, progress), out)
    if not as_json:
        table = Table('topic', 'Hz', 'gap p99, ms', 'longest, ms',
                      title=f'a model that takes {result["thinking_ms"]["p50"]:.0f} ms; '
                      f'standing in {result["standing_share"]:.1%} of the commands')
        for topic, row in result['commands'].items():
            table.add_row(topic, *(f'{row[key]:.1f}' for key in ('hz', 'p99_gap_ms',
                                                                 'longest_gap_ms')))
        _OUT.print(table)
    _end(result, as_json)


@app.command()
def policy(
    policies: _Policies = None, runtimes: _Runtimes = None,
    steps: Annotated[int, typer.Option(min=2, help='Steps to measure of each.')] = 300,
    warm_up: Annotated[int, typer.Option(min=1, help='Steps before.')] = 30,
    threads: Annotated[int, typer.Option(min=1, help='CPU threads of a network.')] = 1,
    markdown: Annotated[bool, typer.Option('--markdown', help='Print the table for '
                                           'docs/deployment.md.')] = False,
    as_json: _Json = False, out: _Out = None,
) -> None:
    """Time of a step on each runtime, by turns, beside the least that this machine can take.

    From a 1280x720 JPEG to velocities, without ROS; with memory and start-up of a fresh process.
    """
    from vla_nav.evaluation import bench_policy
    chosen = bench_policy.subjects(policies or ['models/compact'], runtimes or [])
    result = _measure('policy', lambda progress: bench_policy.measure(
        chosen, steps, warm_up, threads, progress), out)
    if out is not None:
        from vla_nav.evaluation.bench_plot import plot
        (out / 'policy.png').write_bytes(plot(result))
    if as_json:
        print(json.dumps(result, indent=2))
        return
    from vla_nav.evaluation import bench_table
    if markdown:
        print(bench_table.markdown(result), end='')
        return
    # A column a subject: there are more figures than fit side by side.
    table = Table('', *result['subjects'], title=f'{result["picture"]}, {threads} threads, ms')
    found = [bench_table.cells(label, row) for label, row in result['subjects'].items()]
    for name, *values in [*zip(bench_table.COLUMNS, *found)][1:]:
        table.add_row(name, *values)
    _OUT.print(table)
    _tell_unmeasured(result)


@app.command()
def replay(
    policy: _Policy = 'models/compact',
    detector: Annotated[str, typer.Option(help='A detector bundle, to look as well.')] = '',
    minutes: Annotated[float, typer.Option(min=0.1, help='Length of the recording.')] = 10.0,
    runs: Annotated[int, typer.Option(min=2, help='Evaluations, to be the same.')] = 3,
    work: Annotated[Path, typer.Option(metavar='DIR', help='Keeps the recording, 60 MB a '
                                       'minute.')] = Path('runs/replay'),
    as_json: _Json = False, out: _Out = None,
) -> None:
    """Pace and memory of `evaluate bag` on 1280x720 JPEG pictures, 15 a second.

    Exit status 1 below ten times real time (four with a detector), above 500 MB, or where two
    runs differ.
    """
    from vla_nav.simulation.gl import ensure_gl
    ensure_gl()  # before anything imports MuJoCo
    from vla_nav.evaluation.bench_replay import measure
    result = _measure('replay', lambda progress: measure(policy, detector, minutes, runs,
                                                         work, progress),
                      out)
    if not as_json:
        table = Table('recording, s', 'pictures', 'x real time', 'peak, MB', 'identical',
                      title=f'evaluate bag, slowest of {runs} runs')
        table.add_row(f'{result["seconds"]:.0f}', str(result['pictures']),
                      f'{result["times_real_time"]:.1f}', f'{result["peak_mb"]:.0f}',
                      'yes' if result['identical'] else 'NO')
        _OUT.print(table)
    _end(result, as_json)


@app.command()
def crew(
    policy: _Policy = 'models/compact',
    suite: Annotated[str, typer.Option(help='standard, or a .yaml file of yours.')] = 'standard',
    episodes: Annotated[int, typer.Option(min=1, help='Of each row of the suite.')] = 2,
    rounds: Annotated[int, typer.Option(min=1, help='The best of which counts.')] = 3,
    as_json: _Json = False, out: _Out = None,
) -> None:
    """How much faster two processes drive a suite than one.

    Exit status 1 below 1.8 times, or where they do not drive the same.
    """
    from vla_nav.simulation.gl import ensure_gl
    ensure_gl()  # before anything imports MuJoCo
    from vla_nav.evaluation.bench_crew import measure
    result = _measure('crew', lambda progress: measure(suite, policy, episodes, (1, 2),
                                                       rounds, progress), out)
    if not as_json:
        table = Table('processes', 'episodes a minute', 'times one',
                      title=f'suite {result["suite"]}')
        for size, rate in result['episodes_per_minute'].items():
            table.add_row(str(size), f'{rate:.1f}', f'{result["speedup"][size]:.2f}')
        _OUT.print(table)
    _end(result, as_json)


@app.command()
def detector(
    detector: Annotated[str, typer.Option(help='Detector bundle, a directory or a shipped one.')]
    = 'models/detector',
    against_ultralytics: Annotated[str | None, typer.Option(
        metavar='MODEL', help='Compare with ultralytics predict: a .pt, or a bundle that was '
        'trained here.')] = None,
    picture: Annotated[list[Path] | None, typer.Option(
        help='A JPEG; may be repeated.  [default: drawn ones of 1280x720]')] = None,
    steps: Annotated[int, typer.Option(min=2, help='Pictures to measure.')] = 300,
    warm_up: Annotated[int, typer.Option(min=1, help='Pictures before.')] = 30,
    markdown: Annotated[bool, typer.Option('--markdown', help='Print the page.')] = False,
    as_json: _Json = False, out: _Out = None,
) -> None:
    """Time of a detector, from a JPEG to boxes, at one and two threads, and its memory.

    With ultralytics in a process of its own, taking turns. Exit status 1 where a limit of the
    shipped detector is not kept.
    """
    from vla_nav.evaluation import bench_detector as work
    from vla_nav.evaluation import bench_detector_page as page
    plan = work.Plan(steps, warm_up, against_ultralytics, tuple(picture or ()))
    result = _measure('detector', lambda progress: work.measure(detector, plan, progress), out)
    if out is not None:
        (out / 'detector.md').write_text(page.markdown(result), 'utf-8')
    if markdown:
        print(page.markdown(result), end='')
    elif not as_json:
        for table, rows in ((Table('ms', 'p50', 'p95', 'p99', 'floor'), page.rows(result)),
                            (Table('2 threads', 'measured', 'limit', 'kept'),
                             page.bounds(result))):
            for row in rows:
                table.add_row(*row)
            _OUT.print(table)
    _end(result, as_json)


@app.command()
def monitor(
    policy: _Policy = 'models/compact',
    minutes: Annotated[float, typer.Option(min=0.05, help='How long it is left open.')] = 30.0,
    without_seconds: Annotated[float, typer.Option(
        min=1, help='How long the robot drives without it, before and after.')] = 60.0,
    as_json: _Json = False, out: _Out = None,
) -> None:
    """Memory of a monitor that is left open, and the rate of commands with and without it.

    Exit status 1 where it grew by more than 32 MB in the last quarter of the time, or commands
    came at less than 98 % of the rate.
    """
    from vla_nav.nodes.monitor_benchmark import left_open as measure
    result = _measure('monitor', lambda progress: measure(policy, minutes, without_seconds,
                                                          progress), out)
    if not as_json:
        table = Table('topic', 'before, Hz', 'open', 'after', 'longest gap open, ms',
                      title=f'a monitor open for {minutes:g} minutes: {result["peak_mb"]:.0f} MB '
                      f'at most, {result["growth_mb"]:+.1f} MB in the last quarter')
        for topic, rates in result['rates'].items():
            table.add_row(topic, *(f'{rates[key]["hz"]:.2f}' for key in ('before', 'open',
                                                                         'after')),
                          f'{rates["open"]["longest_gap_ms"]:.0f}')
        _OUT.print(table)
    _end(result, as_json)


@app.command()
def ablation(
    preset: Annotated[str, typer.Argument(help='A member of the VLA family, or a YAML file.')]
    = 'hybrid_small',
    overrides: Annotated[list[str] | None, typer.Argument(
        metavar='[KEY=VALUE]...', help='Changes to the preset, such as train.batch=8.')] = None,
    steps: Annotated[int, typer.Option(min=2, help='Control steps to measure of each.')] = 200,
    training_steps: Annotated[int, typer.Option(min=1, help='Training steps of each.')] = 5,
    threads: Annotated[int, typer.Option(min=1, help='CPU threads.')] = 1,
    markdown: Annotated[bool, typer.Option('--markdown', help='Print the table for '
                                           'docs/deployment.md.')] = False,
    as_json: _Json = False, out: _Out = None,
) -> None:
    """Published optimisations, each off and on: TorchScript, cuDNN benchmark, and so on.

    On the GPU where PyTorch finds one, else on the processor; with fresh weights, which take as
    long as trained ones.
    """
    from vla_nav.evaluation import ablation as work
    from vla_nav.evaluation import ablation_page as page
    plan = work.Plan(steps=steps, training_steps=training_steps, threads=threads)
    result = _measure('ablation', lambda progress: work.measure(
        preset, overrides or [], plan, progress), out)
    if out is not None:
        (out / 'ablation.png').write_bytes(page.plot(result))
        (out / 'ablation.md').write_text(page.markdown(result), 'utf-8')
    if as_json:
        print(json.dumps(result, indent=2))
        return
    if markdown:
        print(page.markdown(result), end='')
        return
    table = Table(*page.COLUMNS, title=f'{result["preset"]} on {result["device"]}')
    for row in result['rows']:
        table.add_row(*page.cells(row))
    _OUT.print(table)
    _tell_unmeasured(result)


def _tell_unmeasured(result: dict[str, Any]) -> None:
    for label, problem in result['not_measured'].items():
        _OUT.print(f'{label}: not measured: {problem}', markup=False, highlight=False)


def _measure(name: str, run: Callable[[Callable[[int, int], None]], dict[str, Any]],
             out: Path | None) -> dict[str, Any]:
    with Progress(console=_ERR) as bar:
        task = bar.add_task(name, total=None)
        try:
            result = run(lambda done, of: bar.update(task, completed=done, total=of))
        except (RuntimeError, ValueError, ImportError) as error:
            _ERR.print(f'error: {error}', style='red', markup=False, highlight=False)
            raise typer.Exit(1) from error
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / f'{name}.json').write_text(json.dumps(result, indent=2) + '\n', encoding='utf-8')
    return result


def _end(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, indent=2))
    raise typer.Exit(0 if result['passed'] else 1)
