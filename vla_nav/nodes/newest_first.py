"""A thread that works on the newest of what it is handed, so that slow work delays no message."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar('Item')


class NewestFirst(Generic[Item]):
    """A mailbox of one slot before a worker; ``dropped`` counts what was never looked at."""

    def __init__(self, name: str, work: Callable[[Item], None]) -> None:
        """Start the thread; ``work`` runs in it and must not raise."""
        self.dropped = 0
        self._work = work
        self._wake = threading.Condition()
        self._slot: list[Item] = []
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def hand(self, item: Item) -> None:
        """Take an item; one that has not been begun yet is dropped."""
        with self._wake:
            self.dropped += len(self._slot)
            self._slot = [item]
            self._wake.notify()

    def clear(self) -> None:
        """Forget what has not been begun."""
        with self._wake:
            self._slot = []

    def end(self, patience_s: float = 2.0) -> None:
        """End the thread; work that hangs is left behind as a daemon."""
        with self._wake:
            self._ending = True
            self._wake.notify()
        self._thread.join(patience_s)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._ending or bool(self._slot))
                if self._ending:
                    return
                item = self._slot.pop()
            self._work(item)
