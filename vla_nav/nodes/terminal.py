"""Single keys from a terminal, without waiting for them."""

from __future__ import annotations

import atexit
import codecs
import os
import select
import sys
import termios
import tty
from typing import Any


class Keys:
    """Takes the terminal over from :meth:`take` until :meth:`close` gives it back."""

    def __init__(self) -> None:
        """Remember how the terminal is; standard input must be one."""
        self._stream = sys.stdin.fileno()
        self._before: list[Any] = termios.tcgetattr(self._stream)
        # Holds on to the bytes of a letter that has come in part.
        self._decoder = codecs.getincrementaldecoder('utf-8')(errors='ignore')
        self._taken = False

    def take(self) -> None:
        """Read single keys from now on; at the latest the end of the process restores it."""
        self._taken = True
        atexit.register(self.close)
        tty.setcbreak(self._stream)

    def pressed(self) -> str | None:
        """Return the keys pressed since the last call; None where the terminal has gone."""
        keys = ''
        # Past sys.stdin's buffer, which select does not see.
        while not in_background(self._stream) and select.select([self._stream], [], [], 0.0)[0]:
            try:
                read = os.read(self._stream, 64)
            except OSError:
                return None
            if not read:
                return None
            keys += self._decoder.decode(read)
        return keys

    def close(self) -> None:
        """Restore the terminal, also a second time; one that has gone needs nothing."""
        atexit.unregister(self.close)
        if not self._taken or in_background(self._stream):
            return  # in the background it is the shell's, which has set it as it likes
        try:
            termios.tcsetattr(self._stream, termios.TCSADRAIN, self._before)
        except termios.error:
            pass
        self._taken = False


def in_background(stream: int) -> bool:
    """Tell whether a shell would stop this process (`&`) for touching the terminal."""
    try:
        return os.tcgetpgrp(stream) != os.getpgrp()
    except OSError:  # not the terminal of this session, so that no shell minds
        return False
