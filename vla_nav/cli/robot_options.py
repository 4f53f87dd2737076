"""Options of the commands that listen to a running robot: which one, and on which topics."""

from __future__ import annotations

from typing import Annotated

import typer

Namespace = Annotated[str, typer.Option(help='Which robot, where there are several.')]
ImageTopic = Annotated[str, typer.Option(help='Camera topic.')]
CmdVelTopic = Annotated[str, typer.Option(help='Where the base listens.')]
Stamped = Annotated[bool, typer.Option(
    '--stamped', help='cmd_vel is TwistStamped instead of Twist.')]
SimTime = Annotated[bool, typer.Option('--sim-time', help='Follow /clock.')]
