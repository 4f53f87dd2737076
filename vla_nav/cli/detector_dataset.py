"""``vla-nav detector dataset`` and ``lint``: pictures with boxes, made and checked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vla_nav.cli.detector_progress import OUT, bar, failing

_Json = Annotated[bool, typer.Option('--json', help='Print JSON for programs.')]


def dataset(
    out: Annotated[Path, typer.Option(help='Folder; one that is unfinished is gone on with.')],
    train: Annotated[int, typer.Option(min=1, help='Pictures to train on.')] = 1600,
    val: Annotated[int, typer.Option(min=1, help='Pictures to choose by.')] = 400,
    test: Annotated[int, typer.Option(min=0, help='Pictures to report on.')] = 1000,
    seed: Annotated[int, typer.Option(min=0, help='Another seed, other pictures.')] = 0,
    size: Annotated[int, typer.Option(min=32, max=640, help="The longer side of the detector's "
                                      'picture, which limits refer to.')] = 320,
    min_side: Annotated[float, typer.Option(min=1, help='Narrower or lower boxes are not '
                                            'labelled, in pixels at SIZE.')] = 6.0,
    min_visible: Annotated[float, typer.Option(min=0, max=1, help='Least share of a thing that '
                                               'nothing hides.')] = 0.25,
    workers: Annotated[int, typer.Option(min=1, help='Processes; the pictures do not depend on '
                                         'them.')] = os.cpu_count() or 1,
    as_json: _Json = False,
) -> None:
    """Make labelled pictures from the simulator, in ultralytics YOLO format."""
    from vla_nav.simulation.gl import ensure_gl
    with failing():
        ensure_gl()  # before MuJoCo is imported
        from vla_nav.detection.dataset.boxes import Limits
        from vla_nav.detection.dataset.card import finish_dataset
        from vla_nav.detection.dataset.generate import Settings, generate
        settings = Settings(train, val, test, seed, size,
                            Limits(side_px=min_side, visible=min_visible))
        with bar('pictures') as show:
            shots = generate(out, settings, workers, show)
        facts = finish_dataset(out, settings, shots)
    if as_json:
        print(json.dumps({key: value for key, value in facts.items() if key != 'pictures'},
                         indent=2))
        return
    table = Table('class', *facts['splits'])
    for name in facts['classes']:
        table.add_row(name, *(str(found['instances'][name])
                              for found in facts['splits'].values()))
    OUT.print(table)
    OUT.print(f'{out}: card.md says how it was made; train_sheet.png shows boxes',
               highlight=False)


def lint(
    data: Annotated[Path, typer.Argument(metavar='DIR', help='A data set in YOLO format: its '
                                         'folder or its data.yaml.')],
    as_json: _Json = False,
) -> None:
    """Find what would spoil a training or a comparison: wrong boxes, bad pictures, leaks.

    Exit status 1 where there is an error, 0 with warnings only.
    """
    from vla_nav.detection.dataset.lint import lint_dataset
    with bar('pictures') as show:
        findings = lint_dataset(data, show)
    if as_json:
        print(json.dumps([finding.to_dict() for finding in findings], indent=2,
                         ensure_ascii=False))
    for finding in () if as_json else findings:
        colour = 'red' if finding.severity == 'error' else 'yellow'
        OUT.print(f'[{colour}]{finding.severity}[/] ', end='')
        OUT.print(str(finding), markup=False, highlight=False, soft_wrap=True)
    errors = sum(finding.severity == 'error' for finding in findings)
    if not as_json:
        OUT.print(f'{errors} errors, {len(findings) - errors} warnings')
    raise typer.Exit(1 if errors else 0)
