"""``vla-nav train``: from nothing, or from recordings, to a bundle."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from vla_nav.cli import tub
from vla_nav.cli.finetune import finetune_command

_ERR = Console(stderr=True)


class _Presets(TyperGroup):
    """A group in which any word that is no command is a preset of the VLA family."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; ``train clip_lstm ...`` is ``train preset clip_lstm ...``."""
        if args and not args[0].startswith('-') and args[0] not in self.commands:
            args = ['preset', *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(no_args_is_help=True, cls=_Presets, help=(
    'Train a policy and write its bundle: `train PRESET --data DIR... [key=value ...]` for a '
    'member of the VLA family on your recordings, or one of the commands below.'))
app.command('tub')(tub.train)
app.command('finetune')(finetune_command)

_Out = Annotated[Path, typer.Option(help="The bundle's folder.")]
_Seed = Annotated[int, typer.Option(min=0, help='Of weights, batches and sentences.')]
_Reader = Annotated[Path | None, typer.Option(
    '--instruction', help="A trained instruction.onnx; without, the shipped policy's.")]


@app.command()
def preset(
    name: Annotated[str, typer.Argument(metavar='PRESET', help='A preset (vla-nav policies list '
                                        'shows them), or a YAML file.')],
    words: Annotated[list[str] | None, typer.Argument(
        metavar='[DIR]... [KEY=VALUE]...', help='More recordings, and changes to the preset such '
        'as train.lr=3e-4.')] = None,
    data: Annotated[list[Path] | None, typer.Option(
        metavar='DIR', help='Recordings, searched deeply; may be repeated.')] = None,
    out: Annotated[Path | None, typer.Option(help="The bundle's folder, runs/PRESET by default; "
                   'a training that was cut off goes on from out/training.')] = None,
    cache: Annotated[Path, typer.Option(help='Features of frozen backbones, for any training.')]
    = Path('runs/features'),
    reader: _Reader = None,
    phrase: Annotated[list[str] | None, typer.Option(
        metavar='TEXT', help='For recordings of one task that the grammar does not know: how to '
        'name it, such as "follow the track"; may be repeated.')] = None,
) -> None:
    """Train a member of the VLA family on recordings.

    The same command runs on a processor, on a GPU and, as `accelerate launch -m
    vla_nav.cli.main train ...`, on many. Recordings are linted first.
    """
    from vla_nav.contracts import PolicyError
    from vla_nav.episodes.schema import EpisodeError
    from vla_nav.policies.config import ConfigError, load_preset
    from vla_nav.policies.pretrained import WeightsError
    from vla_nav.training.family.problems import TrainingError
    from vla_nav.training.family.run import Job, train
    from vla_nav.training.family.showing import shown

    changes = [word for word in words or [] if '=' in word]
    folders = [*(data or []), *(Path(word) for word in words or [] if '=' not in word)]
    try:
        config = load_preset(name, changes)
        job = Job(config, tuple(folders), out or Path('runs') / config.name, cache,
                  reader or shipped_reader(), ('vla-nav', *sys.argv[1:]),
                  phrases=tuple(phrase or ()))
        with shown(config.name) as notes:
            metrics = train(job, notes)
    except (ConfigError, EpisodeError, PolicyError, TrainingError, WeightsError) as error:
        raise _failed(error) from error
    if metrics is not None:
        typer.echo(f'{job.out}: epoch {metrics["best_epoch"]} is the best, validation loss '
                   f'{metrics["best_validation_loss"]:.5f}; figures in {job.out / "README.md"}')


@app.command()
def ensemble(
    bundles: Annotated[list[Path], typer.Argument(metavar='BUNDLE...', help='Two or more.')],
    data: Annotated[list[Path], typer.Option(metavar='DIR', help='Recordings; those that a '
                                             'bundle was trained on are left out.')],
    out: _Out = Path('runs/ensemble'),
    rate_hz: Annotated[float | None, typer.Option(
        '--rate', min=0.1, help='Pictures a second of recordings without stamps.')] = None,
) -> None:
    """Fit the weights of an ensemble on validation drives, and report it on test drives."""
    from vla_nav.contracts import PolicyError
    from vla_nav.episodes.schema import EpisodeError
    from vla_nav.training.family.ensemble import fit_ensemble
    from vla_nav.training.family.problems import TrainingError

    try:
        typer.echo(json.dumps(fit_ensemble(bundles, data, out, rate_hz), indent=1))
    except (EpisodeError, PolicyError, TrainingError) as error:
        raise _failed(error) from error


@app.command()
def small(
    name: Annotated[str, typer.Argument(metavar='PRESET', help='Such as hybrid_small.')],
    frames: Annotated[Path, typer.Option(metavar='DIR', help="Frames to learn from: the compact "
                                         "policy's training data (WORK/data).")],
    unseen: Annotated[Path, typer.Option(metavar='DIR', help='Frames of other drives, to '
                                         'validate on.')],
    overrides: Annotated[list[str] | None, typer.Argument(
        metavar='[KEY=VALUE]...', help='Changes to the preset.')] = None,
    out: Annotated[Path | None, typer.Option(help="The bundle's folder, runs/PRESET by default; "
                   'a training that was cut off goes on from there.')] = None,
    reader: _Reader = None,
    rounds: Annotated[int, typer.Option(min=1, help='How often it drives itself, 300 episodes, '
                                        'and learns from that.')] = 1,
    memory_steps: Annotated[int, typer.Option(min=1, help='Steps of head and predictor; a large '
                                              'head needs fewer.')] = 3000,
    workers: Annotated[int, typer.Option(min=1, help='Processes, one thread each.')] = 2,
    quick: Annotated[bool, typer.Option('--quick', help='A few steps only, to see that it '
                                        'runs.')] = False,
) -> None:
    """Train a small member of the VLA family on simulated frames, as compact is trained."""
    from vla_nav.policies.config import ConfigError
    from vla_nav.training.family.member import QUICK, MemberPlan, train_member
    from vla_nav.training.family.problems import TrainingError

    whole = MemberPlan()
    plan = QUICK if quick else replace(
        whole, rounds=rounds, remember=replace(whole.remember, steps=memory_steps))
    plan = replace(plan, workers=workers)
    try:
        metrics = train_member(name, overrides or [], frames, unseen, out or Path('runs') / name,
                               reader or shipped_reader(), plan,
                               shlex.join(['vla-nav', *sys.argv[1:]]))
    except (ConfigError, TrainingError) as error:
        raise _failed(error) from error
    typer.echo(json.dumps(metrics['validation']))


@app.command()
def study(
    work: Annotated[Path, typer.Option(help='Folder of everything; a study that was cut off '
                                       'goes on from here. Needs 20 GB.')] = Path('runs/study'),
    overrides: Annotated[list[str] | None, typer.Argument(
        metavar='[KEY=VALUE]...', help='Changes to every preset.')] = None,
    frames: Annotated[Path | None, typer.Option(
        metavar='DIR', help="The compact policy's training data (WORK/data), to learn from the "
        'same; without, drives are made.')] = None,
    expert: Annotated[int, typer.Option(min=2, help='Drives of the expert.')] = 1000,
    driven: Annotated[int, typer.Option(min=0, help='Drives of models/compact, with the '
                                        "expert's labels.")] = 600,
    workers: Annotated[int, typer.Option(min=1, help='Processes that simulate.')] = 2,
    quick: Annotated[bool, typer.Option('--quick', help='A few drives and steps only, to see '
                                        'that it runs.')] = False,
) -> None:
    """Train the family's small forms on simulated drives and measure them: one table."""
    from vla_nav.bringup.share import share_directory
    from vla_nav.training.family.problems import TrainingError
    from vla_nav.training.family.study import QUICK, StudyPlan, run_study

    plan = replace(QUICK, frames=frames) if quick else StudyPlan(
        frames, expert, driven, workers=workers, overrides=tuple(overrides or ()))
    try:
        typer.echo(run_study(work, plan, share_directory() / 'models' / 'compact',
                             lambda line: typer.echo(line, err=True)))
    except TrainingError as error:
        raise _failed(error) from error


@app.command()
def instruction(
    out: Annotated[Path, typer.Option(help='Folder for instruction.onnx and metrics.json.')]
    = Path('runs/instruction'),
    seed: _Seed = 0,
) -> None:
    """Train the instruction reader: sentences of the grammar to the features that steer."""
    from vla_nav.training.instruction_build import build_instruction

    typer.echo(json.dumps(build_instruction(out, seed=seed), indent=1))


@app.command()
def compact(
    out: _Out = Path('models/compact'),
    work: Annotated[Path, typer.Option(help='Rollouts and checkpoints; a run that was cut off '
                                       'goes on from here. Needs 16 GB.')] = Path('runs/train'),
    reader: Annotated[Path, typer.Option('--instruction', help='A trained instruction.onnx.')]
    = Path('runs/instruction/instruction.onnx'),
    start: Annotated[Path | None, typer.Option(help='A bundle whose weights to begin from, '
                                               'instead of from nothing.')] = None,
    seed: _Seed = 0,
    workers: Annotated[int, typer.Option(min=1, help='Processes, one thread each.')] = 2,
    smoke: Annotated[bool, typer.Option(help='A few steps only, to see that it runs.')] = False,
) -> None:
    """Imitate the expert, correct the policy where it drives (DAgger), add the memory."""
    from vla_nav.training.compact import SMOKE, Recipe, train_compact

    recipe = replace(SMOKE if smoke else Recipe(), seed=seed, workers=workers)
    train_compact(work, out, reader, recipe, start)


def _failed(error: Exception) -> typer.Exit:
    _ERR.print(f'error: {error}', style='red', markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(1)


def shipped_reader() -> Path:
    """Return the instruction reader of the policy that the package ships."""
    from vla_nav.bringup.share import share_directory

    return share_directory() / 'models' / 'compact' / 'instruction.onnx'


def main() -> None:
    """Run ``vla-nav train`` for ``ros2 run vla_nav train``."""
    from vla_nav.cli.main import main as command_line

    sys.argv = ['vla-nav', 'train', *sys.argv[1:]]  # as usage and model cards shall have it
    command_line()
