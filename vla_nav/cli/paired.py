"""``vla-nav evaluate paired``: two closed-loop measurements, episode by episode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_OUT, _ERR = Console(), Console(stderr=True)


def paired(
    first: Annotated[Path, typer.Argument(help='Folder that evaluate closed-loop --out wrote.')],
    second: Annotated[Path, typer.Argument(help='Another, of the same episodes.')],
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON for programs.')] = False,
) -> None:
    """Say how much more often the first succeeds than the second, with 95 % bounds.

    An export against its source, a student against its teacher: both must have driven the same
    episodes.
    """
    from vla_nav.evaluation.paired import compare
    from vla_nav.evaluation.provenance import provenance
    try:
        result = compare(first, second)
    except (OSError, ValueError) as error:
        _ERR.print(f'error: {error}', style='red', markup=False, highlight=False)
        raise typer.Exit(1) from error
    if as_json:
        print(json.dumps({**result, **provenance()}, indent=2))
        return
    low, high = result['ci95']
    _OUT.print(f'{result["episodes"]} episodes: {result["first_rate"]:.3f} against '
               f'{result["second_rate"]:.3f}, {result["difference"]:+.3f} ({low:+.3f} to '
               f'{high:+.3f}); only the first succeeds in {result["only_first"]}, only the second '
               f'in {result["only_second"]} (McNemar p = {result["p"]:.3g})', highlight=False)
