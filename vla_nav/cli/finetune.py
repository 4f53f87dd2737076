"""``vla-nav train finetune``: the compact policy on recordings of one's own robot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vla_nav.bringup.share import find_bundle

_console = Console(stderr=True)


def finetune_command(
    data: Annotated[list[Path], typer.Option(
        metavar='DIR', help='Recorded episodes, searched deeply; may be repeated.')],
    out: Annotated[Path, typer.Option(help="The new bundle's folder.")],
    policy: Annotated[str, typer.Option(help='Compact bundle to begin from.')] = 'models/compact',
    steps: Annotated[int, typer.Option(min=1, help='Of the optimiser.')] = 600,
    batch: Annotated[int, typer.Option(min=1, help='Windows a step.')] = 16,
    rate: Annotated[float, typer.Option(min=1e-7, max=1e-2, help='Learning rate.')] = 1e-4,
    seed: Annotated[int, typer.Option(min=0, help='Of split and batches.')] = 0,
) -> None:
    """Fine-tune the compact policy on episodes that were recorded and converted.

    Labels are what was driven; the episodes are linted first, and a fifth of them is kept for
    validation. The best weights by that become the bundle.
    """
    from vla_nav.contracts import PolicyError
    from vla_nav.episodes.schema import EpisodeError
    from vla_nav.training.family.problems import TrainingError
    from vla_nav.training.finetune import FinetuneConfig, finetune

    def say(text: str) -> None:
        _console.print(text, markup=False, highlight=False, soft_wrap=True)
    try:
        outcome = finetune(Path(find_bundle(policy)), data, out,
                           FinetuneConfig(steps=steps, batch=batch, rate=rate, seed=seed), say)
    except (EpisodeError, PolicyError, TrainingError) as error:
        _console.print(f'error: {error}', style='red', markup=False, soft_wrap=True)
        raise typer.Exit(2) from error
    say(f'{out}: validation error {outcome.before:.4f} before, {outcome.after:.4f} after')
