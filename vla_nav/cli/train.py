"""``vla-nav train``: from nothing to a bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help='Train a policy and write its bundle.')

_Out = Annotated[Path, typer.Option(help="The bundle's folder.")]
_Seed = Annotated[int, typer.Option(min=0, help='Of weights, batches and sentences.')]


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
