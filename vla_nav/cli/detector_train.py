"""``vla-nav detector train``: a level and an activation, by a stated recipe, to a bundle."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from vla_nav.cli.detector_progress import ERR, OUT, bar, failing


def train(
    data: Annotated[Path, typer.Option(metavar='DIR', help='A YOLO-format data set: its folder '
                                       'or data.yaml.')],
    level: Annotated[str, typer.Option(help='L0 to L4, or a YAML of your own.')] = 'L3',
    activation: Annotated[Literal['silu', 'relu', 'relu6', 'leaky'], typer.Option(
        help='Of every layer; leaky is LeakyReLU(0.1).')] = 'relu',
    out: Annotated[Path | None, typer.Option(
        metavar='DIR', help='Bundle; the same command goes on with an unfinished one.',
        show_default='runs/LEVEL_ACTIVATION')] = None,
    preset: Annotated[Literal['full', 'cpu'], typer.Option(
        help='full: 100 epochs of all pictures at 640; cpu: 40 of 1,600 at 192.')] = 'full',
    epochs: Annotated[int | None, typer.Option(min=1, show_default='of the preset')] = None,
    batch: Annotated[int | None, typer.Option(min=1, show_default='16')] = None,
    lr: Annotated[float | None, typer.Option(min=0, show_default='0.003')] = None,
    image_size: Annotated[int | None, typer.Option(min=32, help='Side of the square picture, a '
                                                   'multiple of 32.',
                                                   show_default='of the preset')] = None,
    pictures: Annotated[int | None, typer.Option(min=0, help='Train on so many; 0: all.',
                                                 show_default='of the preset')] = None,
    mosaic: Annotated[float | None, typer.Option(min=0, max=1, help='Share of pictures joined of '
                                                 'four.', show_default='of the preset')] = None,
    width: Annotated[float | None, typer.Option(help='Factor on the channels.',
                                                show_default="the level's own, 0.25")] = None,
    start: Annotated[Path | None, typer.Option(
        metavar='DIR', help='A trained bundle of the same level to begin from; its classes and '
        'size may be others.', show_default='from nothing')] = None,
    check_every: Annotated[int, typer.Option(min=0, help='Epochs between looks at 200 validation '
                                             'pictures; 0: none before the end.')] = 0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[str, typer.Option(help='cpu, cuda, cuda:1; auto: cuda where there is one.')
                      ] = 'auto',
    workers: Annotated[int, typer.Option(min=1, help='Processes of one thread each that share '
                                         'a training on the processor. Two trainings side by '
                                         'side are faster than one with two.')] = 1,
) -> None:
    """Train a detector and write its bundle, with an fp32 graph that was proved equal.

    A run that was cut off goes on where it was, to the same weights as if it had not been. The
    data set is checked first; nothing is written beside it.
    """
    folder = out or Path('runs') / f'{Path(level).stem}_{activation}'
    given: dict[str, Any] = {'epochs': epochs, 'batch': batch, 'rate': lr, 'mosaic': mosaic,
                             'image_size': image_size, 'pictures': pictures}
    with failing():
        import torch

        from vla_nav.detection.dataset.lint import check_dataset
        from vla_nav.detection.training import learn, trained
        from vla_nav.detection.training.recipe import PRESETS
        recipe = replace(PRESETS[preset], seed=seed, check_every=check_every, **{
            key: value for key, value in given.items() if value is not None})
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        with bar('looking through the data set') as show:
            dataset = check_dataset(data, show)
        job = learn.Job(level, activation, dataset.names, recipe, width, start)
        job.build()  # or a wrong level or start would be told of by another process
        state = folder / 'state'
        learn.train(job, dataset, state, device, workers)
        command = shlex.join(['vla-nav', *sys.argv[1:]])
        with bar('comparing graph and network') as show:
            done, total = iter(range(1 << 60)), 2 * len(dataset.pictures('val'))
            config = trained.finish(folder, state, job, dataset, command,
                                    lambda: show(next(done), total))
    ERR.print(f'{state} can be removed: it is only to go on with the training',
              soft_wrap=True)
    OUT.print(f'{folder}: {config.name}, see README.md there', markup=False, soft_wrap=True)
