"""``vla-nav say``: tell a running robot what to do."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from vla_nav.cli.robot_options import Namespace


def say(
    text: Annotated[str, typer.Argument(help='What to do; "" ends the task.')],
    namespace: Namespace = '',
) -> None:
    """Tell a running robot what to do, and show what it makes of it.

    Exit status 1 where nobody took it, or it was not understood.
    """
    from vla_nav.nodes.say_client import say as publish
    good, answer = publish(text, namespace)
    Console(stderr=not good).print(answer, style='' if good else 'red', markup=False,
                                   soft_wrap=True)
    raise typer.Exit(0 if good else 1)
