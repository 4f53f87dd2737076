"""``vla-nav detector tools``, ``compile`` and ``auto``: detectors on NPUs."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vla_nav.cli.detector_progress import ERR, OUT, failing

_Target = Annotated[Literal['ethos-u55-256', 'ethos-u65-512', 'ethos-u85-512', 'ethos-n78'],
                    typer.Option(help='The NPU.')]
_OF_RANDOM = 9  # as many classes as the simulator's data set has


def tools(
    vela: Annotated[bool, typer.Option('--vela', help="Arm's compiler for Ethos-U.")] = False,
    tosa: Annotated[bool, typer.Option('--tosa', help='PyTorch to TOSA, by ExecuTorch.')] = False,
    tflite: Annotated[bool, typer.Option('--tflite', help='PyTorch to TFLite, by LiteRT.')]
    = False,
) -> None:
    """Make the environments of the NPU tools; without options, show where they are.

    `compile` needs --vela --tosa (1.4 GB); --tflite (2.1 GB) is for the other route. They go to
    .venv-npu of a checkout, else to ~/.cache/vla_nav; VLA_NAV_NPU_TOOLS names another folder.
    """
    from vla_nav.detection.npu.environments import ENVIRONMENTS
    wanted = {'vela': vela, 'tosa': tosa, 'tflite': tflite}
    with failing():
        for name, environment in ENVIRONMENTS.items():
            if wanted[name]:
                ERR.print(f'{environment.folder}: installing {environment.purpose} '
                          f'({environment.size}) ...', markup=False, soft_wrap=True)
                try:
                    environment.make()
                except subprocess.CalledProcessError as error:
                    raise RuntimeError(f'{environment.folder}: pip failed with status '
                                       f'{error.returncode}, see above') from error
            state = 'ready' if environment.ready else 'not made'
            OUT.print(f'{name}: {environment.purpose}, {environment.folder}, {state}',
                      markup=False, soft_wrap=True)


def compile_command(
    model: Annotated[list[str], typer.Option(
        metavar='DIR', help='Bundle of `vla-nav detector train`; or LEVEL/ACTIVATION, such as '
                            'L3/relu, for random weights. May be repeated.')],
    target: Annotated[list[str], typer.Option(
        help='The NPU: ethos-u55-256, ethos-u65-512, ethos-u85-512 or ethos-n78; may be '
             'repeated.')],
    image_size: Annotated[int | None, typer.Option(min=32, help='Side of the picture.',
                                                   show_default="the bundle's, or 320")] = None,
    data: Annotated[Path | None, typer.Option(
        metavar='DIR', help='Data set whose training pictures give 8-bit ranges; without, noise '
                            'does, which no cycle depends on.')] = None,
    route: Annotated[Literal['tosa', 'tflite'], typer.Option(
        help='How Vela gets the network; tflite leaves LeakyReLU to the CPU.')] = 'tosa',
    as_json: Annotated[bool, typer.Option('--json', help='Print JSON for programs.')] = False,
) -> None:
    """Say what of a detector an NPU runs and what falls back, and estimate its time.

    Ethos-U: Vela's estimates, of the network up to its raw outputs; the decoding is the CPU's.
    Ethos-N: Arm's published operator rules on each node of the ONNX graph; no time. The result
    is also written to npu.json of a bundle.
    """
    with failing():
        from vla_nav.detection.npu.compile import compile_network
        from vla_nav.detection.npu.report import add_to, lines, reasons
        from vla_nav.detection.npu.targets import target as known_target
        reports = {}
        for name in model:
            network, size, bundle = _network(name)
            size = image_size or size
            if size % 32:
                raise ValueError(f'image_size is {size}; give a multiple of 32')
            pictures = _pictures(data, size)
            with tempfile.TemporaryDirectory() as work:
                for chip in target:
                    ERR.print(f'{name} for {chip} ...', markup=False, soft_wrap=True)
                    report = compile_network(network, size, known_target(chip), Path(work),
                                             pictures, route)
                    reports[f'{name}, {chip}'] = report
                    if bundle is not None:
                        add_to(bundle, {chip: report})
    if as_json:
        typer.echo(json.dumps({name: report.model_dump(mode='json')
                               for name, report in reports.items()}, indent=1))
        return
    for line in lines(reports):
        _say(line)
    for name, report in reports.items():
        _say(f'\n{name} at {report.image_size} pixels by {report.tool.name} '
             f'{report.tool.version}; {report.assumptions}')
        for line in reasons(report.fallbacks):
            _say(f'  {line}')


def auto(
    target: _Target,
    data: Annotated[Path, typer.Option(metavar='DIR', help='A YOLO-format data set.')],
    out: Annotated[Path, typer.Option(metavar='DIR', help='The same command goes on with an '
                                      'unfinished search.')],
    image_size: Annotated[int, typer.Option(min=32, help='Of training and of the estimate.')]
    = 320,
    level: Annotated[list[str] | None, typer.Option(show_default='L0, L2, L3, L4')] = None,
    activation: Annotated[list[str] | None, typer.Option(show_default='relu, leaky')] = None,
    width: Annotated[list[float] | None, typer.Option(show_default='0.25, 0.125')] = None,
    head: Annotated[list[str] | None, typer.Option(
        help='bins, direct or two.', show_default='all three')] = None,
    most: Annotated[int, typer.Option(min=1, max=6, help='Train so many.')] = 6,
    preset: Annotated[Literal['full', 'cpu'], typer.Option(help='Recipe of `train`.')] = 'full',
    epochs: Annotated[int | None, typer.Option(min=1, show_default='of the preset')] = None,
    device: Annotated[str, typer.Option(help='cpu, cuda, cuda:1.')] = 'cpu',
    workers: Annotated[int, typer.Option(min=1, help='Processes of one thread each.')] = 1,
) -> None:
    """Search levels, activations, widths and heads for the best detectors of a target.

    All are compiled with random weights; at most six, spread over their estimates, are trained.
    What no other beats in mAP50 and estimate is the result: index.html, auto.md, summary.json.
    """
    with failing():
        from vla_nav.detection.dataset.lint import check_dataset
        from vla_nav.detection.npu.auto import Search, run
        from vla_nav.detection.npu.search import HEADS, WIDTHS, candidates
        from vla_nav.detection.npu.targets import target as known_target
        from vla_nav.detection.training.recipe import PRESETS
        given: dict[str, Any] = {'epochs': epochs} if epochs else {}
        recipe = replace(PRESETS[preset], image_size=image_size, **given)
        search = Search(
            out, known_target(target), candidates(
                level or ('L0', 'L2', 'L3', 'L4'), activation or ('relu', 'leaky'),
                width or WIDTHS, head or HEADS),
            recipe, most, shlex.join(['vla-nav', *sys.argv[1:]]), device, workers)
        summary = run(search, check_dataset(data), lambda text: ERR.print(
            text, markup=False, soft_wrap=True))
    OUT.print(f'{out / "index.html"}: kept are {", ".join(summary["front"])}', markup=False,
              soft_wrap=True)


def _say(line: str) -> None:
    OUT.print(line, markup=False, highlight=False, soft_wrap=True)


def _network(model: str) -> tuple[Any, int, Path | None]:
    """Return a network, its picture's side, and the bundle's folder if it is of one."""
    from vla_nav.detection.training import levels, trained
    if Path(model).is_dir():
        source = trained.open_trained(Path(model))
        return source.model, source.config.image_size, source.folder
    level, _, activation = model.rpartition('/')
    if activation not in levels.ACTIVATIONS:
        raise ValueError(f'{model}: is no folder; give a detector bundle, or LEVEL/ACTIVATION '
                         f'such as L3/relu with one of {", ".join(levels.ACTIVATIONS)}')
    import torch
    torch.manual_seed(0)
    classes = tuple(f'class_{number}' for number in range(_OF_RANDOM))
    return levels.build(levels.read_level(level, activation), classes).eval(), 320, None


def _pictures(data: Path | None, image_size: int) -> Any:
    if data is None:
        return None
    import numpy as np

    from vla_nav.detection.dataset.lint import check_dataset
    from vla_nav.detection.training.export import calibration
    return np.concatenate(list(calibration(check_dataset(data), image_size)))
