"""``vla-nav record``: record on the robot, by keys or by calling the recorder's services."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from vla_nav.bringup.share import find_bundle
from vla_nav.cli.robot_options import CmdVelTopic, ImageTopic, Namespace, SimTime, Stamped


def record(
    action: Annotated[Literal['run', 'start', 'stop', 'success', 'failure', 'discard'],
                      typer.Argument(
        help='run: a recorder with keys in this terminal. start, stop (and keep), success and '
        'failure (keep, and say how it ended) and discard tell a recorder that is running '
        'already, here or in the launched graph.')] = 'run',
    out: Annotated[Path, typer.Option(help='Where the takes go.')] = Path('data/bags'),
    instruction: Annotated[str, typer.Option(
        help='What the robot is told; left out, the newest on the topic "instruction".')] = '',
    scenario: Annotated[str, typer.Option(help='Name of the scene, for a balanced split.')] = '',
    embodiment: Annotated[str, typer.Option(help='Which robot this is.')] = 'omni',
    policy: Annotated[str, typer.Option(
        help='Policy bundle that drives, to be noted in the recording.')] = '',
    image_transport: Annotated[Literal['auto', 'raw', 'compressed'], typer.Option(
        help='auto: compressed where it is published.')] = 'auto',
    image_topic: ImageTopic = 'camera/image_raw',
    cmd_vel_topic: CmdVelTopic = 'cmd_vel',
    stamped: Stamped = False,
    sim_time: SimTime = False,
    namespace: Namespace = '',
) -> None:
    """Write the raw topics to MCAP, with the instruction, bundle and translation inside.

    Each take ends with an audit: messages of each topic, rates and gaps. `vla-nav data convert`
    makes episodes of it.
    """
    console = Console(stderr=True)
    if action != 'run':
        from vla_nav.nodes.recorder_client import call_recorder
        good, message = call_recorder(action, namespace)
        console.print(message, style='' if good else 'red', markup=False, soft_wrap=True)
        raise typer.Exit(0 if good else 1)
    from vla_nav.nodes.recorder_node import main
    chosen: dict[str, str] = {
        'directory': str(out), 'instruction': instruction, 'scenario': scenario,
        'embodiment': embodiment, 'bundle': find_bundle(policy) if policy else '',
        'image_transport': image_transport}
    words = ['--ros-args']
    for name, value in chosen.items():
        if value:
            quoted = value.replace('\\', '\\\\').replace('"', '\\"')
            words += ['-p', f'{name}:="{quoted}"']
    for name, switch in (('stamped_cmd_vel', stamped), ('use_sim_time', sim_time),
                         ('keyboard', sys.stdin.isatty())):
        words += ['-p', f'{name}:={str(switch).lower()}']
    for source, target in (('camera/image_raw', image_topic), ('cmd_vel', cmd_vel_topic)):
        if source != target:
            words += ['-r', f'{source}:={target}']
    if image_topic != 'camera/image_raw':
        words += ['-r', f'camera/image_raw/compressed:={image_topic}/compressed',
                  '-r', f'camera/camera_info:={image_topic.rpartition("/")[0]}/camera_info']
    if namespace:
        words += ['-r', f'__ns:=/{namespace.strip("/")}']
    main(words)
