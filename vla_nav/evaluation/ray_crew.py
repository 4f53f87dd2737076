"""The workers of a Ray cluster as a crew."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from vla_nav.evaluation.crew import PINNED, Result


class RayCrew:
    """One worker for each core of a cluster.

    A worker that dies costs its episode alone, which then raises; Ray starts another.
    """

    def __init__(self, address: str) -> None:
        """Join the cluster at ``address``; RuntimeError says what to do where that fails."""
        try:
            self._ray: Any = importlib.import_module('ray')
        except ModuleNotFoundError as error:
            raise RuntimeError('--ray-address needs Ray, which is not installed here: '
                               'pip install "vla_nav[cluster]"') from error
        # MuJoCo looks for its GL back end when a worker imports it.
        variables = {**PINNED, **{name: os.environ[name] for name in
                                  ('MUJOCO_GL', 'PYOPENGL_PLATFORM') if name in os.environ}}
        try:
            self._ray.init(address=address, runtime_env={'env_vars': variables},
                           log_to_driver=False, logging_level='warning')
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RuntimeError(f'no Ray cluster at {address}: {error}; start one with '
                               '"ray start --head", or give local for this machine') from error
        self.size = int(self._ray.cluster_resources().get('CPU', 1))
        # Retries are the caller's: it counts them, whoever does the work.
        self._call = self._ray.remote(num_cpus=1, max_retries=0)(_call)

    def submit(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have a worker call ``work``."""
        future = Future[Result]()
        self._call.remote(work, *arguments).future().add_done_callback(
            lambda done: _hand_on(done, future))
        return future

    def renew(self) -> None:
        """Leave it to Ray, which replaces workers by itself."""

    def __enter__(self) -> RayCrew:
        """Return the crew."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Leave the cluster; what is under way there is cancelled."""
        self._ray.shutdown()


def _hand_on(done: Future[Result], future: Future[Result]) -> None:
    error = done.exception()
    if error is None:
        future.set_result(done.result())
    else:  # what the work raised, rather than a page of Ray's about it
        future.set_exception(getattr(error, 'cause', None) or error)


def _call(work: Callable[..., Result], *arguments: Any) -> Result:
    return work(*arguments)
