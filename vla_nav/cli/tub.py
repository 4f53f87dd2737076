"""``vla-nav train tub`` and ``vla-nav evaluate tub``: the track policy on a donkeycar tub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

_ERR, _OUT = Console(stderr=True), Console()
_Tub = Annotated[Path, typer.Option(help='The tub: its folder, or its .tar.gz.')]
_Seed = Annotated[int, typer.Option(min=0, help='Of weights, batches and augmentation.')]


def train(
    tub: _Tub,
    out: Annotated[Path, typer.Option(help="The bundle's folder.")] = Path('models/tub'),
    results: Annotated[Path, typer.Option(help='What "vla-nav evaluate tub" measured of the '
                                          'recipe, for the card.')] = Path('docs/tub.json'),
    batch: Annotated[int | None, typer.Option(min=1, help='Frames a step, where memory is short; '
                                              'without, as the recipe that was measured.')] = None,
    seed: _Seed = 0,
) -> None:
    """Train the track policy on a whole donkeycar tub: pictures to steering and throttle."""
    from vla_nav.episodes.schema import EpisodeError
    from vla_nav.training.family.problems import TrainingError
    from vla_nav.training.tub.build import build_bundle
    from vla_nav.training.tub.members import Recipe

    recipe = Recipe(seed=seed) if batch is None else Recipe(seed=seed, batch=batch)
    try:
        build_bundle(tub, out, recipe, results)
    except (EpisodeError, TrainingError, ValueError) as error:
        raise _failed(error) from error
    typer.echo(f'{out}/  config.json  policy.onnx  model.safetensors  README.md  metrics.json')


def evaluate(
    tub: _Tub,
    out: Annotated[Path, typer.Option(help='Folder for tub.md, tub.json and images/tub.png.')]
    = Path('docs'),
    work: Annotated[Path, typer.Option(help='Folder that keeps the folds; what is there for the '
                                       'same recipe is not computed again.')] = Path('runs/tub'),
    fold: Annotated[int, typer.Option(min=0, max=5, help='Only this one, and no page; 0 is all.')]
    = 0,
    seed: _Seed = 0,
) -> None:
    """Measure the track policy in blocked folds of a tub, beside ridge regression and constants.

    Tuning and training see the training frames of a fold only.
    """
    from vla_nav.episodes.schema import EpisodeError
    from vla_nav.training.tub.frames import load_frames
    from vla_nav.training.tub.members import Recipe
    from vla_nav.training.tub.report import MUST_BEAT, write_report
    from vla_nav.training.tub.study import run_study

    recipe = Recipe(seed=seed)
    try:
        frames = load_frames(tub, recipe.network.height, recipe.network.width)
        results = run_study(frames, recipe, work, fold,
                            lambda line: print(line, file=sys.stderr, flush=True))
    except (EpisodeError, ValueError) as error:
        raise _failed(error) from error
    table = Table(title='mean absolute error of steering and throttle')
    names = ('policy', *MUST_BEAT)
    for title in ('fold', *names):
        table.add_column(title.replace('_', ' '), justify='right')
    for result in results:
        table.add_row(str(result['fold']),
                      *(f'{result["mae"][name]["both"]:.4f}' for name in names))
    _OUT.print(table)
    if not fold:
        _OUT.print(str(write_report(results, recipe, tub.name, out)), highlight=False)


def _failed(error: Exception) -> typer.Exit:
    _ERR.print(f'[red]error:[/] {error}', soft_wrap=True)
    return typer.Exit(1)
