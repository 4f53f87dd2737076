"""How long a policy's process takes from its start to its first command, and what memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geometry_msgs.msg import TwistStamped
from sensor_msgs.msg import CameraInfo, CompressedImage

from vla_nav.nodes.benchmarks import (
    EVERY,
    LATENCY_RATE_HZ,
    jpeg_message,
    machine,
    policy_commands,
    publish,
)
from vla_nav.nodes.running import SENSOR, stamp_to_ns
from vla_nav.nodes.trial_graph import TrialGraph

_MOST_MB, _MOST_S = 250.0, 3.0
# The memory is that of a policy at work, not of one that has looked once.
_PICTURES = 100


def start(policy: str, starts: int = 5, progress: Callable[[int, int], None] = lambda done, of:
          None) -> dict[str, Any]:
    """Start the policy's node ``starts`` times beside a camera that already runs, and time it.

    Raises RuntimeError where no command comes.
    """
    seconds, peaks = [], []
    for number in range(starts):
        with tempfile.TemporaryDirectory() as temporary:
            commands = policy_commands(policy, Path(temporary), 'compressed', {})
            node = commands.pop('policy')
            with TrialGraph(commands, Path(temporary)) as trial:
                took_s, peak_mb = _once(trial, node)
        seconds.append(took_s)
        peaks.append(peak_mb)
        progress(number + 1, starts)
    ranked = sorted(seconds)
    return {'start_s': {'p50': ranked[len(ranked) // 2], 'max': ranked[-1]},
            'peak_mb': max(peaks), 'starts': starts, 'each_s': seconds, 'each_mb': peaks,
            'passed': ranked[-1] <= _MOST_S and max(peaks) <= _MOST_MB,
            'settings': {'policy': policy, 'rate_hz': LATENCY_RATE_HZ, **machine()}}


def _once(trial: TrialGraph, node: list[str]) -> tuple[float, float]:
    """Return seconds until the first command for a picture, and the peak of memory in MB."""
    answered: list[int] = []

    def on_proposal(message: TwistStamped, at: int) -> None:
        if stamp_to_ns(message.header.stamp):  # none stands for a policy that does not drive yet
            answered.append(at)
    trial.listen(TwistStamped, 'cmd_vel_policy', on_proposal, EVERY)
    image = trial.node.create_publisher(CompressedImage, 'camera/image_raw/compressed', SENSOR)
    info = trial.node.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)
    made = [jpeg_message(seed) for seed in range(2)]
    began = time.monotonic_ns()
    trial.start('policy', node)
    due, left, end = time.monotonic(), _PICTURES, time.monotonic() + 30.0
    while left:
        publish(trial, made[left % len(made)], image, info)
        with trial.lock:
            left -= bool(answered)
        if time.monotonic() > end:
            raise RuntimeError(f'no command within 30 s: {trial.last_words("policy")}')
        due += 1.0 / LATENCY_RATE_HZ
        time.sleep(max(0.0, due - time.monotonic()))
    return (answered[0] - began) / 1e9, trial.peak_mb('policy')
