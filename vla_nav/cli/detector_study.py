"""``vla-nav detector study``: several levels by one command, from training to the table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vla_nav.cli.detector_compare import TARGETS
from vla_nav.cli.detector_compare import compare as compare_command
from vla_nav.cli.detector_progress import ERR, failing

_MODELS = 'L0/silu L0/relu, and L2, L3, L4 with relu and leaky'


def study(
    data: Annotated[Path, typer.Option(metavar='DIR', help='A YOLO-format data set.')],
    out: Annotated[Path, typer.Option(metavar='DIR', help='Bundles, logs, and the comparison; the '
                                      'same command goes on with an unfinished study.')] =
    Path('runs/detectors'),
    model: Annotated[list[str] | None, typer.Option(
        metavar='LEVEL/ACTIVATION', help='May be repeated.', show_default=_MODELS)] = None,
    beside: Annotated[list[Path] | None, typer.Option(
        metavar='DIR', help='A trained bundle that is compared too, such as one of `auto`; may be '
                            'repeated.')] = None,
    preset: Annotated[Literal['full', 'cpu'], typer.Option(help='Recipe of `train`.')] = 'full',
    epochs: Annotated[int | None, typer.Option(min=1, show_default='of the preset')] = None,
    device: Annotated[str, typer.Option(help='Of the trainings: auto, cpu, cuda.')] = 'auto',
    targets: Annotated[str, typer.Option(help='NPUs to compile for, joined by commas; "" for '
                                         'none.')] = TARGETS,
    together: Annotated[int, typer.Option(min=1, help='Models at a time; a training on the '
                                          'processor takes one core.')] = 1,
) -> None:
    """Train levels and activations on the same data with the same budget, and compare them.

    What is done is not done again, also by hand with `train`, `export --int8` and `compile`.
    """
    names = [name for name in targets.split(',') if name]
    with failing():
        from vla_nav.detection import study as studies
        from vla_nav.detection.npu.targets import target as known_target
        for name in names:
            known_target(name)
        recipe = ['--preset', preset, '--device', device,
                  *(['--epochs', str(epochs)] if epochs else [])]
        plan = studies.Study(model or studies.MODELS, data, out, recipe, names)
        studies.run(plan, together,
                    lambda text: ERR.print(text, markup=False, highlight=False, soft_wrap=True))
        folders = [plan.folder(one) for one in plan.models]
    compare_command([*folders, *(beside or [])], data, targets=targets, out=out)
