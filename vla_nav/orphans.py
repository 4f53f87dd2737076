"""Worker processes that end when the process that started them is gone."""

from __future__ import annotations

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """End this worker, at once, as soon as its parent is no more.

    A killed parent can tell nobody; its workers would compute on or wait for ever.
    """
    threading.Thread(target=_wait, name='parent', daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
