"""``vla-nav detector compare``: several detectors in one table, and which of them to take."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vla_nav.cli.detector_progress import OUT, bar, failing

TARGETS = 'ethos-u55-256,ethos-u65-512,ethos-u85-512,ethos-n78'


def compare(
    models: Annotated[list[Path], typer.Option(help='Detector bundles, as in --models A B C.')],
    data: Annotated[Path, typer.Option(help='A YOLO-format data set: its folder or data.yaml.')],
    more: Annotated[list[Path] | None, typer.Argument(metavar='[DIR]...', help='More bundles.')
                    ] = None,
    split: Annotated[str, typer.Option(help='train, val or test; test where there is one, else '
                                       'val.')] = '',
    targets: Annotated[str, typer.Option(help='NPUs, whose figures `vla-nav detector compile` '
                                         'has put into the bundles; "" for none.')] = TARGETS,
    out: Annotated[Path, typer.Option(help='Folder for compare.json, compare.md and index.html; '
                                      'what is measured there is not measured again.')] =
    Path('runs/detectors'),
    threads: Annotated[int, typer.Option(min=1, help='Of the network.')] = os.cpu_count() or 1,
    rounds: Annotated[int, typer.Option(min=1, help='Frames a latency stands on.')] = 100,
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON for programs.')] = False,
) -> None:
    """Measure detectors on the same pictures and machine, and recommend some of them."""
    with failing():
        from vla_nav.detection.compare import compare as compare_models
        from vla_nav.detection.compare_page import write_pages
        from vla_nav.detection.dataset.yolo import open_dataset
        chosen = split or ('test' if open_dataset(data).splits.get('test') else 'val')
        out.mkdir(parents=True, exist_ok=True)
        summary = compare_models(
            [*models, *(more or [])], data, chosen, [name for name in targets.split(',') if name],
            out, threads, rounds, time.perf_counter_ns, _bar)
        write_pages(out, summary)
    # Last, since a folder with it counts as complete.
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    (out / 'compare.json').write_text(text + '\n', 'utf-8')
    if as_json:
        print(text)
    else:
        _show(summary, out)


def _show(summary: dict[str, Any], out: Path) -> None:
    table = Table('model', 'mAP50', '95 %', 'mAP50-95', 'recall', 'network ms')
    for name, model in summary['models'].items():
        found = model['accuracy'][model['deployed']]
        low, high = found['interval']
        table.add_row(name, f'{found["map50"] or 0:.3f}', f'{low:.3f} to {high:.3f}',
                      f'{found["map50_95"] or 0:.3f}', f'{found["recall"] or 0:.3f}',
                      f'{model["latency_ms"][model["deployed"]]["network"]["p50"]:.2f}')
    OUT.print(table)
    for target, choice in summary['recommendations'].items():
        OUT.print(f'{target}: ' + ', '.join(f'{kind} {name or "none"}'
                                            for kind, name in choice.items()), highlight=False)
    OUT.print(f'Page with all figures: {out / "index.html"}', highlight=False)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    with bar(title) as show:
        done = itertools.count(1)
        yield lambda: show(next(done), total)
