"""Single keys from a terminal, without waiting for them."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from typing import Any


class Keys:
    """Takes the terminal over until :meth:`close` gives it back."""

    def __init__(self) -> None:
        """Read single keys from now on; needs a terminal as standard input."""
        self._stream = sys.stdin.fileno()
        self._before: list[Any] = termios.tcgetattr(self._stream)
        tty.setcbreak(self._stream)

    def pressed(self) -> str | None:
        """Return the keys pressed since the last call; None where the terminal has gone."""
        keys = ''
        # Past sys.stdin's buffer, which select does not see.
        while select.select([self._stream], [], [], 0.0)[0]:
            read = os.read(self._stream, 64).decode(errors='ignore')
            if not read:
                return None
            keys += read
        return keys

    def close(self) -> None:
        """Restore the terminal."""
        termios.tcsetattr(self._stream, termios.TCSADRAIN, self._before)
