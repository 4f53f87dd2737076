"""``vla-nav export``: a trained policy for another runtime, proved equal to its source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from vla_nav.simulation.gl import NoGl, ensure_gl

_OUT, _ERR = Console(), Console(stderr=True)


def export(
    to: Annotated[Literal['onnx', 'torchscript', 'openvino'], typer.Option(
        help='Runtime to export to.')],
    out: Annotated[Path, typer.Option(metavar='DIR', help='New directory of the bundle.')],
    policy: Annotated[str, typer.Option(help='Trained bundle, a directory or a shipped one.')]
    = 'models/compact',
    precision: Annotated[Literal['fp32', 'fp16', 'bf16', 'int8'], typer.Option(
        help='int8 is static QDQ; weights alone behind pretrained backbones.')] = 'fp32',
    part: Annotated[Literal['full', 'head'], typer.Option(
        help='head: only what is behind the encoder.')] = 'full',
    calibrate: Annotated[Path | None, typer.Option(
        metavar='DIR', help="Recordings to calibrate and validate on, in place of the expert's "
                            'drives in the simulator.')] = None,
    drives: Annotated[int, typer.Option(min=0, help='Simulated drives to validate on.')] = 4,
    episodes: Annotated[int, typer.Option(min=0, help='Episodes that source and export drive '
                                          'in closed loop.')] = 4,
    catch_up: Annotated[bool, typer.Option(
        help='Add the memory by itself: where a slow model misses pictures, its memory moves on '
             'all the same.')] = True,
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON for programs.')] = False,
) -> None:
    """Export a policy; an export that is not equal to its source is not kept.

    Outputs over 120 fresh inputs in runs of 20 steps, the error on drives and the success in
    closed loop are compared and written into the new bundle. Bounds: 1e-4 in fp32, 5e-3 in fp16,
    3 % of the error on drives in bf16 and int8.
    """
    try:
        ensure_gl()
        from vla_nav.bringup.share import find_bundle
        from vla_nav.export.write import Order, export
        order = Order(to, precision, part, calibrate, drives, episodes, catch_up)
        with _ERR.status('loading') as status:
            config = export(Path(find_bundle(policy)), out, order, status.update)
    except (NoGl, RuntimeError, ValueError, OSError) as error:
        _ERR.print(f'error: {error}', style='red', markup=False, highlight=False)
        raise typer.Exit(1) from error
    assert config.export is not None
    if as_json:
        print(json.dumps({'out': str(out), 'parity': config.export.parity, 'bytes': {
            path.name: path.stat().st_size for path in sorted(out.iterdir())}}))
        return
    _OUT.print(f'{out}: {config.export.parity}', markup=False, soft_wrap=True)
