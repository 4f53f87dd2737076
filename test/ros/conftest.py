"""A graph of real processes over DDS, on a domain of its own, and a probe that watches it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

# Chosen before rclpy is imported. Two test runs on one machine must not hear each other, and
# nothing must leave the machine. Domains above 101 collide with ephemeral ports on Linux.
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
os.environ.pop('ROS_LOCALHOST_ONLY', None)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'

# Chromium is loaded by Qt, which needs libraries of the desktop; in a process of its own, since it
# brings half a gigabyte along.
_LOADS = subprocess.run([sys.executable, '-c', 'import PyQt6.QtWebEngineWidgets'],
                        capture_output=True, text=True)
collect_ignore = [] if _LOADS.returncode == 0 else ['test_monitor_page.py']
if collect_ignore and os.environ.get('CI'):
    raise RuntimeError('Chromium cannot be loaded, and test_monitor_page.py would be left out: '
                       'install what docs/monitoring.md lists, or unset CI. '
                       + _LOADS.stderr[-500:])

# A loaded machine takes its time to start Python; waiting longer costs nothing where all is well.
PATIENCE_S = 90.0


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ros)


class Probe:
    """A node that notes messages with their time of arrival, and waits for what is to come."""

    def __init__(self):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        self.node = rclpy.create_node('probe')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._news = threading.Condition()
        self._seen = {}
        self._ending = False
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        while not self._ending:
            self._executor.spin_once(timeout_sec=0.05)

    def close(self):
        self._ending = True
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()

    def watch(self, message_type, topic, qos=10):
        self._seen[topic] = []

        def note(message):
            with self._news:
                self._seen[topic].append((time.monotonic(), message))
                self._news.notify_all()
        self.node.create_subscription(message_type, topic, note, qos)

    def seen(self, topic):
        with self._news:
            return list(self._seen[topic])

    def wait(self, topic, condition, since=None, timeout=PATIENCE_S):
        """Return (time, message) of the first message after ``since`` that fits."""
        since = time.monotonic() if since is None else since
        end = time.monotonic() + timeout
        looked = 0
        with self._news:
            while True:
                messages = self._seen[topic]
                for at, message in messages[looked:]:
                    if at >= since and condition(message):
                        return at, message
                looked = len(messages)
                if not self._news.wait(end - time.monotonic()):
                    last = messages[-1][1] if messages else 'nothing'
                    pytest.fail(f'{topic}: nothing that fits within {timeout} s; last: {last}')

    def wait_until(self, condition, what, timeout=PATIENCE_S):
        """Wait until ``condition()`` holds; looked at whenever a message comes."""
        end = time.monotonic() + timeout
        with self._news:
            while not condition():
                if time.monotonic() > end:
                    pytest.fail(f'not within {timeout} s: {what}')
                self._news.wait(0.02)

    def call(self, service_type, name, request):
        client = self.node.create_client(service_type, name)
        assert client.wait_for_service(timeout_sec=PATIENCE_S), f'no service {name}'
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        assert done.wait(PATIENCE_S), f'no answer from {name}'
        return future.result()


class Graph:
    """Processes by name; whatever is left at the end of a test is ended."""

    def __init__(self, logs):
        self._logs = logs
        self.processes = {}

    def start(self, executable, *, name=None, namespace=None, remap=(), env=None, **parameters):
        key = name or executable
        command = [sys.executable, '-m', f'vla_nav.nodes.{executable}', '--ros-args']
        if namespace:
            command += ['-r', f'__ns:=/{namespace}']
        for source, target in dict(remap).items():
            command += ['-r', f'{source}:={target}']
        for parameter, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else value
            command += ['-p', f'{parameter}:={text}']
        with self.log(key).open('ab') as log:
            self.processes[key] = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **(env or {})})
        return self.processes[key]

    def log(self, key):
        return self._logs / f'{key}.log'

    def signal(self, key, sent):
        self.processes[key].send_signal(sent)
        if sent == signal.SIGKILL:
            self.processes[key].wait()

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGINT)
        for process in self.processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope='session')
def ros():
    from vla_nav.bringup.dds import use_profile
    from vla_nav.bringup.shared_memory import remove_stale_segments
    use_profile('large_images')
    import rclpy
    rclpy.init()
    yield
    rclpy.shutdown()
    remove_stale_segments()


@pytest.fixture
def probe(ros):
    probe = Probe()
    yield probe
    probe.close()


@pytest.fixture
def graph(tmp_path):
    graph = Graph(tmp_path)
    yield graph
    graph.close()
    for log in sorted(tmp_path.glob('*.log')):
        print(f'--- {log.name}\n{log.read_text(errors="replace")[-2000:]}')


@pytest.fixture
def free_ports():
    """Return two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(('', 0))
        return one.getsockname()[1], other.getsockname()[1]


@pytest.fixture
def bundle(tmp_path):
    """Return a bundle that drives straight on at 0.3 m/s."""
    from bundles import write_bundle
    return write_bundle(tmp_path / 'bundle')
