"""``vla-nav teleop``: drive by keyboard."""

from __future__ import annotations

from typing import Annotated

import typer

from vla_nav.cli.robot_options import Namespace


def teleop(
    namespace: Namespace = '',
    speed: Annotated[float, typer.Option(min=0.01, max=5.0, help='Start speed, m/s.')] = 0.3,
    turn: Annotated[float, typer.Option(min=0.01, max=10.0, help='Turn rate, rad/s.')] = 0.8,
) -> None:
    """Drive by keyboard; a person goes before the policy.

    The guard's limits and the e-stop hold for a person too. Control is yours from the first
    direction key until you press g.
    """
    from vla_nav.nodes.teleop_node import main
    arguments = ['--ros-args', '-p', f'speed:={speed}', '-p', f'turn:={turn}']
    if namespace:
        arguments += ['-r', f'__ns:=/{namespace.strip("/")}']
    main(arguments)
