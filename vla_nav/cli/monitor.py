"""``vla-nav monitor``: see a running robot in the browser, or record what there is to see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vla_nav.bringup.graph import NodeSpec, Value, camera_remappings, command_line
from vla_nav.cli.robot_options import CmdVelTopic, ImageTopic, Namespace, SimTime, Stamped
from vla_nav.nodes.monitor_node import main


def monitor(
    save: Annotated[Path | None, typer.Option(
        help='Write a Rerun recording (.rrd) instead of serving a page.')] = None,
    host: Annotated[str, typer.Option(
        help='Name by which browsers on other machines reach this one.')] = 'localhost',
    port: Annotated[int, typer.Option(min=1, max=65535, help='Port of the page.')] = 9090,
    data_port: Annotated[int, typer.Option(
        min=1, max=65535, help='Port of what the page shows.')] = 9876,
    memory: Annotated[str, typer.Option(
        help='Most that is kept for pages that are opened later; then the oldest goes.')
        ] = '256MiB',
    rate: Annotated[float, typer.Option(min=1.0, max=50.0, help='How often it looks, Hz.')] = 10.0,
    image_transport: Annotated[Literal['raw', 'compressed'], typer.Option(
        help='How pictures travel to the monitor.')] = 'raw',
    image_topic: ImageTopic = 'camera/image_raw',
    cmd_vel_topic: CmdVelTopic = 'cmd_vel',
    stamped: Stamped = False,
    sim_time: SimTime = False,
    namespace: Namespace = '',
) -> None:
    """Show a running robot in the browser: picture, plan, commands, latencies, and why it stops.

    It only listens, best effort and to the newest of each topic, and can come and go at any time.
    Whoever can reach this machine's ports can see the page.
    """
    parameters: dict[str, Value] = {
        'save': str(save or ''), 'host': host, 'port': port, 'data_port': data_port,
        'memory': memory, 'rate': rate, 'image_transport': image_transport,
        'stamped_cmd_vel': stamped, 'use_sim_time': sim_time}
    remappings = camera_remappings(image_topic)
    if cmd_vel_topic != 'cmd_vel':
        remappings += (('cmd_vel', cmd_vel_topic),)
    main(command_line(NodeSpec('monitor', 'monitor_node', namespace=namespace,
                               parameters=parameters, remappings=remappings)))
