"""``vla-nav data convert``: any recording to HDF5 episodes or to LeRobot v3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import track

from vla_nav.embodiments import load_embodiment
from vla_nav.episodes.convert import Options, convert
from vla_nav.episodes.schema import Episode, EpisodeError
from vla_nav.observations.translation import Translation

_console = Console(stderr=True)
_Form = Literal['hdf5', 'lerobot', 'lerobot-video']


def convert_command(
    source: Annotated[Path, typer.Argument(
        metavar='IN', help='A ROS 2 bag or a folder of them, a donkeycar tub, HDF5 of any '
        'layout, or a LeRobot v3 dataset.')],
    out: Annotated[Path, typer.Argument(metavar='OUT', help='Folder for the result.')],
    to: Annotated[_Form, typer.Option(help='lerobot keeps pictures as they are, lerobot-video '
                                      'makes smaller mp4 of them.')] = 'hdf5',
    instruction: Annotated[str, typer.Option(
        help='What the driver did, where the recording does not tell.')] = '',
    embodiment: Annotated[str, typer.Option(
        help='Profile of the robot: omni, differential, keyboard, donkeycar, or a YAML file.'
    )] = '',
    camera: Annotated[str, typer.Option(help='LeRobot: which of several cameras.')] = '',
    rate: Annotated[float | None, typer.Option(
        min=0.1, help='Pictures a second where stamps are missing (older HDF5) or not true '
        '(tub).')] = None,
    stamp_source: Annotated[Literal['header', 'arrival'] | None, typer.Option(
        help="Bag: stamp of a picture, as the nodes' parameter: the camera's header, or the time "
        'of arrival for a camera whose clock is off. By default what the recorder kept, or '
        'header.')] = None,
    image_topic: Annotated[str, typer.Option(help='Bag: topic of the camera.')] = '',
    command_topic: Annotated[str, typer.Option(help='Bag: topic of the commands.')] = '',
    odometry_topic: Annotated[str, typer.Option(help='Bag: topic of the odometry.')] = '',
    tolerance: Annotated[float | None, typer.Option(
        min=0.001, help='Bag: how old a command may be, s.')] = None,
    lead: Annotated[float | None, typer.Option(
        min=0.0, help='Bag: how long after its picture a command may come, s; 0 for commands '
        'that carry the stamp of their picture.')] = None,
    axes: Annotated[str, typer.Option(
        help='Bag: axes to keep, as in linear_x,angular_z.')] = '',
) -> None:
    """Make episodes of recordings, through the same translation as the live node.

    A command belongs to the picture that it answers: the newest one by header stamp (by arrival
    where there is none), not older than the tolerance. Nothing is made up where there is none.
    """
    given = {'image_topic': image_topic, 'stamp_source': stamp_source,
             'command_topic': command_topic, 'odometry_topic': odometry_topic,
             'command_tolerance': tolerance, 'command_lead': lead,
             'action_names': tuple(filter(None, axes.split(',')))}
    chosen = {key: value for key, value in given.items() if value not in ('', None, ())}
    try:
        Translation.model_validate(chosen)
        options = Options(
            instruction, load_embodiment(embodiment) if embodiment else None,
            chosen, camera, rate, _say)
        episodes, pictures = convert(source, out, to, options, _progress)
    except ModuleNotFoundError as error:
        if error.name != 'pyarrow':
            raise
        _console.print('error: LeRobot datasets need pyarrow; install it with\n'
                       '  pip install "vla_nav[train]"', style='red', markup=False)
        raise typer.Exit(2) from error
    except (EpisodeError, ValueError) as error:
        _console.print(f'error: {error}', style='red', markup=False, soft_wrap=True)
        raise typer.Exit(2) from error
    Console().print(f'{episodes} episodes, {pictures} pictures in {out}')


def _say(text: str) -> None:
    _console.print(text, style='yellow', markup=False, soft_wrap=True)


def _progress(recordings: Iterator[tuple[str, Episode]]) -> Iterator[tuple[str, Episode]]:
    return iter(track(recordings, 'converting', console=_console, transient=True))
