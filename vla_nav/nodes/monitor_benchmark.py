"""A monitor left open beside a robot that drives: its memory, and the rate of the commands."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import String

from vla_nav.bringup.graph import NodeSpec, command_line
from vla_nav.evaluation.bench_monitor import AROUND, OPEN, summary
from vla_nav.nodes.benchmarks import (
    EVERY,
    INSTRUCTION,
    LATENCY_RATE_HZ,
    jpeg_message,
    machine,
    policy_commands,
    publish,
)
from vla_nav.nodes.running import LATCHED, SENSOR
from vla_nav.nodes.trial_graph import TrialGraph

_TOPICS = {'cmd_vel': Twist, 'cmd_vel_policy': TwistStamped}
_LOOKS = 120
_NEVER = 'the monitor serves no page'


def left_open(policy: str, minutes: float, without_s: float,
              progress: Callable[[int, int], None] = lambda done, of: None) -> dict[str, Any]:
    """Drive with a monitor open for ``minutes``, and ``without_s`` before and after without one.

    1280x720 JPEGs at 15 Hz, of which the monitor shows ten a second. Raises RuntimeError where
    the graph or the monitor does not come up.
    """
    arrivals: dict[str, dict[str, list[int]]] = {
        topic: {stretch: [] for stretch in (AROUND[0], OPEN, AROUND[1])} for topic in _TOPICS}
    with tempfile.TemporaryDirectory() as temporary:
        commands = policy_commands(policy, Path(temporary), 'compressed', {})
        with TrialGraph(commands, Path(temporary)) as trial:
            robot = _Robot(trial, arrivals)
            robot.drive(AROUND[0], without_s)
            robot.drive('', 0.0)  # while the monitor starts, nothing counts
            trial.start('monitor', _monitor())
            trial.wait(lambda: 'open http' in trial.last_words('monitor'), _NEVER)
            held = []
            for look in range(_LOOKS):
                robot.drive(OPEN, minutes * 60.0 / _LOOKS)
                held.append(trial.memory_mb('monitor'))
                progress(look + 1, _LOOKS)
            trial.signal('monitor', 'SIGINT')
            robot.drive('', 5.0)  # its end is neither with it nor without
            robot.drive(AROUND[1], without_s)
    return summary(held, arrivals, {'policy': policy, 'minutes': minutes, 'without_s': without_s,
                                    'rate_hz': LATENCY_RATE_HZ, **machine()})


class _Robot:
    """Publishes pictures at the camera's rate and notes when commands arrive."""

    def __init__(self, trial: TrialGraph, arrivals: dict[str, dict[str, list[int]]]) -> None:
        self._trial, self._stretch = trial, ''
        self._made = cycle([jpeg_message(seed) for seed in range(16)])
        self._state = ''
        self._image = trial.node.create_publisher(CompressedImage, 'camera/image_raw/compressed',
                                                  SENSOR)
        self._info = trial.node.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)
        self._instruction = trial.node.create_publisher(String, 'instruction', 1)
        for topic, kind in _TOPICS.items():
            trial.listen(kind, topic, self._counter(arrivals[topic]), EVERY)
        trial.listen(String, 'policy/task_state', self._on_state, LATCHED)
        trial.wait(lambda: bool(self._state and self._image.get_subscription_count()),
                   'the graph is up')

    def drive(self, stretch: str, seconds: float) -> None:
        """Drive on for so long; what arrives counts for ``stretch``, '' for none."""
        with self._trial.lock:
            self._stretch = stretch
        begin = due = time.monotonic()
        while time.monotonic() - begin < seconds:
            publish(self._trial, next(self._made), self._image, self._info)
            if self._state == 'arrived':  # these pictures are no place to arrive at
                self._instruction.publish(String(data=INSTRUCTION))
            due += 1.0 / LATENCY_RATE_HZ
            time.sleep(max(0.0, due - time.monotonic()))

    def _counter(self, stretches: dict[str, list[int]]) -> Callable[[Any, int], None]:
        def count(message: Any, at: int) -> None:
            if self._stretch:
                stretches[self._stretch].append(at)
        return count

    def _on_state(self, message: String, at: int) -> None:
        self._state = message.data


def _monitor() -> list[str]:
    """Return the command line of a monitor whose ports are free."""
    with socket.socket() as page, socket.socket() as data:
        ports = []
        for probe in (page, data):
            probe.bind(('', 0))
            ports.append(probe.getsockname()[1])
    return ['-m', 'vla_nav.nodes.monitor_node', *command_line(NodeSpec(
        'monitor', 'monitor_node', parameters={
            'port': ports[0], 'data_port': ports[1], 'image_transport': 'compressed'}))]
