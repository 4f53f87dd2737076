"""``vla-nav distill``: a small policy that carries a large one's behaviour."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from vla_nav.bringup.share import find_bundle
from vla_nav.contracts import PolicyError

_ERR = Console(stderr=True)


def distill(
    teacher: Annotated[list[str], typer.Option(
        help='Bundle of a member of the family, or of an ensemble; several teach their mean.')],
    frames: Annotated[Path, typer.Option(
        metavar='DIR', help='Drives to begin with: the WORK/data of vla-nav train compact.')],
    out: Annotated[Path, typer.Option(help="The student's bundle.")] = Path('runs/student'),
    student: Annotated[Literal['compact'], typer.Option(help='What learns.')] = 'compact',
    work: Annotated[Path, typer.Option(help='Labels, own drives and checkpoint; a run that was '
                                       'cut off goes on from here.')] = Path('runs/distill'),
    start: Annotated[Path | None, typer.Option(help='A compact bundle whose weights to begin '
                                               'from, instead of from nothing.')] = None,
    steps: Annotated[int, typer.Option(min=1, help='Steps on the drives given.')] = 8000,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds of the student's own drives.")] = 2,
    episodes: Annotated[int, typer.Option(min=1, help='Own drives in each round.')] = 1000,
    round_steps: Annotated[int, typer.Option(min=1, help='Steps after each round.')] = 4000,
    memory_steps: Annotated[int, typer.Option(min=0, help='Steps of the memory.')] = 4000,
    lr: Annotated[float, typer.Option(min=0, help='Peak learning rate; lower with --start.')]
    = 1.5e-3,
    seed: Annotated[int, typer.Option(min=0, help='Of weights and batches.')] = 0,
    workers: Annotated[int, typer.Option(min=1, help='Processes, one thread each.')] = 2,
    smoke: Annotated[bool, typer.Option(help='A few steps only, to see that it runs.')] = False,
) -> None:
    """Teach a small policy what a large one would do: on given drives, then on its own (DAgger).

    The teacher looks at the frames' pictures, so it must take pictures as small as the student's.
    """
    from vla_nav.cli.train import shipped_reader
    from vla_nav.training.distill import SMOKE, DistillPlan, too_small
    from vla_nav.training.distill import distill as teach
    from vla_nav.training.family.problems import TrainingError
    plan = replace(SMOKE, seed=seed, workers=workers) if smoke else DistillPlan(
        steps, rounds, episodes, round_steps, memory_steps, rate=lr, seed=seed, workers=workers)
    try:
        bundles = [Path(find_bundle(name)) for name in teacher]
        if why := too_small(bundles):  # said before hours of training, and in the card
            _ERR.print(f'warning: {why}', style='yellow', markup=False, highlight=False)
        made = teach(bundles, frames, work, out,
                     shipped_reader(), plan, start, shlex.join(['vla-nav', *sys.argv[1:]]))
    except (PolicyError, TrainingError, ValueError) as error:
        _ERR.print(f'error: {error}', style='red', markup=False, highlight=False)
        raise typer.Exit(1) from error
    typer.echo(json.dumps({'student': student, 'bundle': str(out), **made}, indent=1))
