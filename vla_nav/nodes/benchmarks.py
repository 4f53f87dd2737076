"""Benchmarks of the real graph over DDS: latency, large pictures, stopping after a failure."""

from __future__ import annotations

import os
import tempfile
import time
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist, TwistStamped
from numpy.typing import NDArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from vla_nav.bringup.graph import command_line, graph
from vla_nav.bringup.share import find_bundle
from vla_nav.control.guard import GuardSettings
from vla_nav.evaluation.latency import latencies, latency_summary
from vla_nav.evaluation.safety_trials import FAULTS, Fault, Trial, trial_summary
from vla_nav.evaluation.trial_bundle import write_trial_bundle
from vla_nav.nodes.picture_messages import raw_image
from vla_nav.nodes.running import LATCHED, SENSOR, stamp_to_ns
from vla_nav.nodes.trial_graph import TrialGraph
from vla_nav.runtimes.bundle import load_config

Progress = Callable[[int, int], None]
INSTRUCTION = 'Go around the box on its left and stop at the red cup.'
LATENCY_RATE_HZ = 15.0
PICTURE_RATE_HZ = 30.0
MUST_SHARE = 0.98
_WARM_UP = 30
_TELL_AGAIN_NS = 1_000_000_000
EVERY = QoSProfile(depth=100)  # of a listener that must not miss a message
_HEIGHT, _WIDTH, _PICTURES = 720, 1280, 16
# Limits that never bind, so that a velocity passes the guard unchanged and can be recognised.
_UNBOUND = {'max_velocity': '[1e3, 1e3, 1e3]', 'min_velocity': '[-1e3, -1e3, -1e3]',
            'max_acceleration': '[1e9, 1e9, 1e9]', 'blind_distance': '10.0'}


def latency(policy: str, frames: int = 2000, progress: Progress = lambda done, of: None
            ) -> dict[str, Any]:
    """Measure from the publication of a 1280x720 JPEG to the receipt of its ``cmd_vel``.

    The pictures were encoded before. Raises RuntimeError where the graph does not come up.
    """
    made = [jpeg_message(seed) for seed in range(_PICTURES)]
    published: dict[int, int] = {}
    proposed: dict[int, tuple[float, float, float]] = {}
    sent: list[tuple[int, tuple[float, float, float]]] = []
    state = ['']
    with tempfile.TemporaryDirectory() as temporary:
        commands = policy_commands(policy, Path(temporary), 'compressed', _UNBOUND)
        with TrialGraph(commands, Path(temporary)) as trial:
            def on_proposal(message: TwistStamped, at: int) -> None:
                # Later ones for the same picture are blended anew, and not what it caused first.
                proposed.setdefault(stamp_to_ns(message.header.stamp), _numbers(message.twist))

            trial.listen(TwistStamped, 'cmd_vel_policy', on_proposal, EVERY)
            trial.listen(Twist, 'cmd_vel', lambda m, at: sent.append((at, _numbers(m))), EVERY)
            trial.listen(String, 'policy/task_state', lambda m, _: state.append(m.data), LATCHED)
            image = trial.node.create_publisher(CompressedImage, 'camera/image_raw/compressed',
                                                SENSOR)
            info = trial.node.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)
            instruction = trial.node.create_publisher(String, 'instruction', 1)
            trial.wait(lambda: bool(sent and state[-1] and image.get_subscription_count()),
                       'the graph is up')
            again, due = 0, time.monotonic()
            for k in range(_WARM_UP + frames):
                stamp, began = publish(trial, made[k % _PICTURES], image, info)
                if k == _WARM_UP and state[-1] != 'driving':
                    raise RuntimeError(f'the policy does not drive, it is "{state[-1]}": '
                                       f'{trial.last_words("policy")}')
                if k >= _WARM_UP:
                    published[stamp] = began
                    progress(k - _WARM_UP + 1, frames)
                if state[-1] == 'arrived':  # these pictures are no place to arrive at
                    instruction.publish(String(data=INSTRUCTION))
                    again += 1
                due += 1.0 / LATENCY_RATE_HZ
                time.sleep(max(0.0, due - time.monotonic()))
    found, untold = latencies(published, proposed, sent)
    return latency_summary(found, untold, {
        'policy': policy, 'frames': frames, 'rate_hz': LATENCY_RATE_HZ,
        'picture': f'{_WIDTH}x{_HEIGHT} JPEG, {len(made[0].data)} bytes',
        'instructed_again': again, **machine()})


def pictures(policy: str, seconds: float = 20.0, progress: Progress = lambda done, of: None
             ) -> dict[str, Any]:
    """Publish 1280x720 pictures at 30 Hz, raw and compressed, and count the policy's answers.

    Raises RuntimeError where the graph does not come up.
    """
    frames = round(seconds * PICTURE_RATE_HZ)
    shares = {}
    for transport in ('raw', 'compressed'):
        with tempfile.TemporaryDirectory() as temporary:
            commands = policy_commands(policy, Path(temporary), transport, {})
            with TrialGraph(commands, Path(temporary)) as trial:
                shares[transport] = _answered(trial, transport, frames, progress) / frames
    return {'answered_share': shares, 'published': frames, 'must_share': MUST_SHARE,
            'passed': min(shares.values()) >= MUST_SHARE,
            'settings': {'policy': policy, 'rate_hz': PICTURE_RATE_HZ,
                         'picture': f'{_WIDTH}x{_HEIGHT}', **machine()}}


def _answered(trial: TrialGraph, transport: str, frames: int, progress: Progress) -> int:
    """Return how many of ``frames`` pictures have a proposal with their stamp."""
    stamps: set[int] = set()
    trial.listen(TwistStamped, 'cmd_vel_policy',
                 lambda m, at: stamps.add(stamp_to_ns(m.header.stamp)), EVERY)
    kind, topic = ((Image, 'camera/image_raw') if transport == 'raw' else
                   (CompressedImage, 'camera/image_raw/compressed'))
    image = trial.node.create_publisher(kind, topic, SENSOR)
    info = trial.node.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)
    trial.wait(lambda: bool(image.get_subscription_count()), 'the policy listens')
    make = _raw_message if transport == 'raw' else jpeg_message
    made = [make(seed) for seed in range(_PICTURES)]
    published, due = set(), time.monotonic()
    for k in range(_WARM_UP + frames):
        stamp, _ = publish(trial, made[k % _PICTURES], image, info)
        if k >= _WARM_UP:
            published.add(stamp)
            progress(k - _WARM_UP + 1, frames)
        due += 1.0 / PICTURE_RATE_HZ
        time.sleep(max(0.0, due - time.monotonic()))
    # The last answer is under way: one picture's time is more than it takes.
    time.sleep(1.0 / PICTURE_RATE_HZ)
    with trial.lock:
        return len(published & stamps)


def safety(policy: str, trials: int = 20, progress: Progress = lambda done, of: None
           ) -> dict[str, Any]:
    """Let camera and policy fail ``trials`` times in each way, and time the first zero.

    The network is a stand-in that always drives, with the interface of the bundle ``policy``.
    """
    source = Path(find_bundle(policy))
    limits = {'camera_timeout': GuardSettings().camera_timeout, 'frozen_after': 0.5,
              'max_observation_age': load_config(source).max_observation_age_s, 'at once': 0.0}
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        bundle = write_trial_bundle(source, Path(temporary) / 'bundle')
        commands = {**policy_commands(str(bundle), Path(temporary), 'raw', {}),
                    'camera': ['-m', 'vla_nav.nodes.trial_camera']}
        with TrialGraph(commands, Path(temporary)) as trial:
            failing = _Failing(trial, np.random.default_rng(0))
            for k in range(trials):
                for j, fault in enumerate(FAULTS):
                    results.append(failing.once(fault, limits[fault.limit]))
                    progress(k * len(FAULTS) + j + 1, trials * len(FAULTS))
    return trial_summary(results, {'policy': policy, 'trials': trials, 'limits_s': limits,
                                   **machine()})


class _Failing:
    """Breaks one thing at a time, measures, and repairs it."""

    def __init__(self, trial: TrialGraph, random: np.random.Generator) -> None:
        self._trial = trial
        self._random = random
        self._sent: list[tuple[int, bool]] = []  # (time of receipt, is it all zero)
        self._changed_ns = self._black_ns = self._same_ns = 0
        self._picture: Any = None
        self._state, self._told_ns = '', 0
        self._mode = trial.node.create_publisher(String, 'trial_camera/mode', LATCHED)
        self._instruction = trial.node.create_publisher(String, 'instruction', 1)
        trial.listen(Twist, 'cmd_vel', self._on_command, EVERY)
        trial.listen(Image, 'camera/image_raw', self._on_picture, SENSOR)
        trial.listen(String, 'policy/task_state', self._on_state, LATCHED)

    def once(self, fault: Fault, limit_s: float) -> Trial:
        """Return the result of one failure."""
        self._wait_for_motion(fault)
        # Not in step with any timer of the graph.
        time.sleep(self._random.uniform(0.0, 0.1))
        with self._trial.lock:
            self._sent.clear()
        failed_ns = self._fail(fault)
        self._trial.wait(lambda: self._first_zero(failed_ns) is not None,
                         f'{fault.name}: the robot stops')
        time.sleep(0.3)
        with self._trial.lock:
            zero = self._first_zero(failed_ns)
            assert zero is not None
            stayed = all(is_zero for at, is_zero in self._sent if at >= zero)
            heard = [failed_ns, *(at for at, _ in self._sent if failed_ns < at <= zero)]
        self._repair(fault)
        return Trial(fault.name, limit_s, (zero - failed_ns) / 1e9, stayed,
                     float(np.diff(heard).max()) / 1e9)

    def _fail(self, fault: Fault) -> int:
        """Cause the fault and return the steady time at which it began."""
        if fault.mode:
            self._black_ns = self._same_ns = 0
            self._mode.publish(String(data=fault.mode))
            if fault.mode == 'black':
                self._trial.wait(lambda: self._black_ns > 0, 'a black picture')
                return self._black_ns
            self._trial.wait(lambda: self._same_ns > 0, 'the same picture again')
            return self._changed_ns
        self._trial.signal(fault.process, fault.signal)
        return time.monotonic_ns()

    def _repair(self, fault: Fault) -> None:
        if fault.mode:
            began = time.monotonic_ns()
            self._mode.publish(String(data='run'))
            # A policy that is told to go on while the picture is still black gives NaN again.
            self._trial.wait(lambda: self._changed_ns > began, 'a new picture')
            self._instruct()
        elif fault.signal == 'SIGKILL':
            self._trial.start(fault.process)
        else:
            self._trial.signal(fault.process, 'SIGCONT')

    def _instruct(self) -> None:
        self._told_ns = time.monotonic_ns()
        self._instruction.publish(String(data=INSTRUCTION))

    def _on_state(self, message: String, at: int) -> None:
        self._state = message.data

    def _wait_for_motion(self, fault: Fault) -> None:
        with self._trial.lock:
            self._sent.clear()

        def driving() -> bool:
            # A black picture that was still under way has stopped the policy once more.
            if self._state == 'stopped' and time.monotonic_ns() - self._told_ns > _TELL_AGAIN_NS:
                self._instruct()
            newest = self._sent[-20:]
            return len(newest) == 20 and not any(is_zero for _, is_zero in newest)

        self._trial.wait(driving, f'before "{fault.name}": the robot drives')

    def _first_zero(self, since_ns: int) -> int | None:
        return next((at for at, is_zero in self._sent if is_zero and at > since_ns), None)

    def _on_command(self, message: Twist, at: int) -> None:
        self._sent.append((at, _numbers(message) == (0.0, 0.0, 0.0)))

    def _on_picture(self, message: Image, at: int) -> None:
        if self._picture is None or message.data != self._picture:
            self._changed_ns, self._picture = at, message.data
            if not any(message.data[:64]):
                self._black_ns = self._black_ns or at
        else:
            self._same_ns = at


def policy_commands(policy: str, work: Path, transport: str, guard: Mapping[str, str],
                    model_delay: str = '') -> dict[str, list[str]]:
    """Return the command lines of guard and policy, as the bring-up has them."""
    arguments = {'policy': policy, 'instruction': INSTRUCTION, 'image_transport': transport,
                 'model_delay': model_delay}
    if guard:
        lines = [f'    {key}: {value}' for key, value in guard.items()]
        arguments['params_file'] = str(work / 'guard.yaml')
        (work / 'guard.yaml').write_text(
            '\n'.join(['/**/guard:', '  ros__parameters:', *lines, '']), encoding='utf-8')
    return {node.name: ['-m', f'vla_nav.nodes.{node.executable}', *command_line(node)]
            for node in graph('robot', arguments)}


def machine() -> dict[str, Any]:
    """Return what else decides such figures: cores, load, and how the kernel schedules us."""
    names = {value: name for name, value in vars(os).items()
             if name in ('SCHED_OTHER', 'SCHED_RR', 'SCHED_FIFO')}
    return {'cores': os.cpu_count(), 'load_1min': round(os.getloadavg()[0], 1),
            'scheduling': names.get(os.sched_getscheduler(0), 'other')}


def publish(trial: TrialGraph, message: Any, image: Any, info: Any) -> tuple[int, int]:
    """Publish one picture; return its stamp, and the steady time before it was handed over."""
    message.header.stamp = trial.node.get_clock().now().to_msg()
    began = time.monotonic_ns()
    image.publish(message)
    info.publish(CameraInfo(header=message.header, height=_HEIGHT, width=_WIDTH))
    return stamp_to_ns(message.header.stamp), began


def _raw_message(seed: int) -> Image:
    return raw_image(_picture(seed), Time(), 'camera')


def jpeg_message(seed: int) -> CompressedImage:
    """Return a 1280x720 JPEG as a camera sends it, without a stamp."""
    encoded = cv2.imencode('.jpg', _picture(seed), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return CompressedImage(format='jpeg', data=array('B', encoded.tobytes()))


def _picture(seed: int) -> NDArray[np.uint8]:
    """Return uint8 [720, 1280, 3] with as much detail as a camera's."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (18, 32, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC)
    noisy = smooth + random.normal(0.0, 4.0, smooth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def _numbers(twist: Twist) -> tuple[float, float, float]:
    return twist.linear.x, twist.linear.y, twist.angular.z
