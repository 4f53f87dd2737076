"""The stream of commands over DDS while a model thinks for long."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Path as ChunkPath
from sensor_msgs.msg import CameraInfo, CompressedImage

from vla_nav.bringup.share import find_bundle
from vla_nav.evaluation.command_stream import PROPOSALS, stream_summary
from vla_nav.evaluation.trial_bundle import write_trial_bundle
from vla_nav.nodes.benchmarks import (
    EVERY,
    LATENCY_RATE_HZ,
    jpeg_message,
    machine,
    policy_commands,
    publish,
)
from vla_nav.nodes.running import COMMAND, SENSOR
from vla_nav.nodes.trial_graph import TrialGraph

_PICTURES, _PATIENCE_S = 16, 60.0
_AT_FIRST = 2  # thoughts until the memory of threads and caches has settled


def stream(policy: str, think_s: float = 0.4, seconds: float = 30.0,
           progress: Callable[[int, int], None] = lambda done, of: None) -> dict[str, Any]:
    """Drive on 1280x720 JPEGs at 15 Hz with a model of ``think_s``, and note each command.

    The model is a stand-in with the interface of the bundle ``policy``, which computes all the
    time. Raises RuntimeError where the graph does not come up.
    """
    arrivals: dict[str, list[int]] = {PROPOSALS: [], 'cmd_vel': []}
    thoughts: list[int] = []  # when each chunk came
    standing: list[int] = []
    made = [jpeg_message(seed) for seed in range(_PICTURES)]
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        bundle = write_trial_bundle(Path(find_bundle(policy)), work / 'bundle', think_s)
        commands = policy_commands(str(bundle), work, 'compressed', {}, str(think_s))
        with TrialGraph(commands, work) as trial:
            def on_proposal(message: TwistStamped, at: int) -> None:
                on_command(PROPOSALS, at)
                # Behind the end of a chunk zeros are sent; the stand-in itself never stands.
                twist = message.twist
                if not any((twist.linear.x, twist.linear.y, twist.angular.z)):
                    standing.append(at)

            def on_command(topic: str, at: int) -> None:
                if len(thoughts) > _AT_FIRST:
                    arrivals[topic].append(at)

            trial.listen(TwistStamped, PROPOSALS, on_proposal, EVERY)
            trial.listen(ChunkPath, 'policy/action_chunk', lambda _, at: thoughts.append(at),
                         COMMAND)
            trial.listen(Twist, 'cmd_vel', lambda _, at: on_command('cmd_vel', at), EVERY)
            image = trial.node.create_publisher(CompressedImage, 'camera/image_raw/compressed',
                                                SENSOR)
            info = trial.node.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)
            trial.wait(lambda: bool(image.get_subscription_count()), 'the policy listens')
            due = began = time.monotonic()
            driving: float | None = None
            number = 0
            # Two thoughts at least, since what is between them is the model's time.
            while (driving is None or time.monotonic() - driving < seconds
                   or len(thoughts) < _AT_FIRST + 2):
                publish(trial, made[number % _PICTURES], image, info)
                number += 1
                if driving is None and arrivals['cmd_vel']:
                    driving = time.monotonic()
                if time.monotonic() - (thoughts[-1] * 1e-9 if thoughts else began) > _PATIENCE_S:
                    raise RuntimeError(f'no picture is answered within {_PATIENCE_S:.0f} s: '
                                       f'{trial.last_words("policy")}')
                progress(round(10 * (time.monotonic() - (driving or time.monotonic()))),
                         round(10 * seconds))
                due += 1.0 / LATENCY_RATE_HZ
                time.sleep(max(0.0, due - time.monotonic()))
            with trial.lock:
                found = {topic: list(times) for topic, times in arrivals.items()}
                counted = thoughts[_AT_FIRST:]
                stood = sum(at >= counted[0] for at in standing)
    return stream_summary(found, counted, stood, {
        'policy': policy, 'think_s': think_s, 'seconds': seconds, 'rate_hz': LATENCY_RATE_HZ,
        **machine()})
