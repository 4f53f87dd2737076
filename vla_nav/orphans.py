"""Processes that end when the process that started them is gone."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def end_with_parent() -> None:
    """End this worker, at once, as soon as its parent is no more.

    A killed parent can tell nobody; its workers would compute on or wait for ever.
    """
    threading.Thread(target=_wait, name='parent', daemon=True).start()


def die_with_parent() -> None:
    """Let Linux send this process SIGTERM when its parent ends; a ``preexec_fn``.

    The parent is the thread that starts the process, which must therefore wait for it.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
