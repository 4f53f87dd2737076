"""A graph of real processes on a DDS domain of its own, for benchmarks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from vla_nav.bringup.dds import use_profile
from vla_nav.bringup.shared_memory import remove_stale_segments
from vla_nav.evaluation.machine import memory_mb

_PATIENCE_S = 30.0


class TrialGraph:
    """Starts and ends processes, and listens; a context manager that leaves nothing behind.

    ``lock`` guards what the callbacks of :meth:`listen` write.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], log_dir: Path) -> None:
        """Take the command line, after the interpreter's, of each process by name."""
        self._commands = commands
        self._logs = log_dir
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.lock = threading.Condition()
        self._ending = False

    def __enter__(self) -> TrialGraph:
        """Join a domain that no robot nearby listens to, and start everything."""
        domain = 1 + os.getpid() % 100
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        self._environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain)}
        use_profile('large_images')
        # A SIGTERM, from `timeout` say, must not leave the processes behind.
        self._sigterm = signal.signal(signal.SIGTERM, signal.default_int_handler)
        self._logs.mkdir(parents=True, exist_ok=True)
        rclpy.init(domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node('bench')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name='bench', daemon=True)
        self._thread.start()
        try:
            for name in self._commands:
                self.start(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End everything."""
        for name in self._processes:
            self.signal(name, 'SIGCONT')
            self.signal(name, 'SIGINT')
        for process in self._processes.values():
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._ending = True
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown()
        remove_stale_segments()
        signal.signal(signal.SIGTERM, self._sigterm)

    def start(self, name: str, command: Sequence[str] = ()) -> None:
        """Start a process, again if need be, or another with its command line."""
        with (self._logs / f'{name}.log').open('ab') as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, *(command or self._commands[name])],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment,
                start_new_session=True)

    def signal(self, name: str, sent: str) -> None:
        """Send a signal by its name; after SIGKILL the process is gone."""
        process = self._processes[name]
        if process.poll() is None:
            process.send_signal(signal.Signals[sent])
            if sent == 'SIGKILL':
                process.wait()

    def peak_mb(self, name: str) -> float:
        """Return the peak resident memory of a process in MB."""
        return memory_mb(process=str(self._processes[name].pid))

    def memory_mb(self, name: str) -> float:
        """Return the resident memory of a process at this moment in MB."""
        return memory_mb('VmRSS', str(self._processes[name].pid))

    def last_words(self, name: str) -> str:
        """Return the last line of a process's log."""
        lines = (self._logs / f'{name}.log').read_text('utf-8', 'replace').splitlines()
        return lines[-1] if lines else 'it has said nothing'

    def listen(self, kind: Any, topic: str, callback: Callable[[Any, int], None],
               qos: QoSProfile) -> None:
        """Call ``callback(message, steady_ns)`` for each message, under the lock."""
        def receive(message: Any) -> None:
            arrived = time.monotonic_ns()
            with self.lock:
                callback(message, arrived)
                self.lock.notify_all()
        self.node.create_subscription(kind, topic, receive, qos)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until ``condition``, looked at after each message; raise RuntimeError if never."""
        end = time.monotonic() + _PATIENCE_S
        with self.lock:
            while not condition():
                if time.monotonic() > end:
                    raise RuntimeError(
                        f'not within {_PATIENCE_S:.0f} s: {what}. Last words: ' + '; '.join(
                            f'{name}: {self.last_words(name)}' for name in self._processes))
                self.lock.wait(0.05)

    def _spin(self) -> None:
        while not self._ending:
            self._executor.spin_once(timeout_sec=0.05)
