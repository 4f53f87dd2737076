"""How fast a long recording is evaluated, in what memory, and whether thrice the same.

The recording is made from the simulator: the planner drives one scene after another, and a
1280x720 camera sees 15 JPEG pictures a second of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count, cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_nav.bringup.share import share_directory
from vla_nav.episodes.bag_folders import bag_bytes
from vla_nav.evaluation import machine
from vla_nav.language.grammar import phrase
from vla_nav.recording.robot_bag import RobotBag
from vla_nav.replay.evaluate import SUMMARY, evaluate_bag
from vla_nav.replay.settings import ReplaySettings
from vla_nav.simulation.expert import Expert
from vla_nav.simulation.judge import Judge
from vla_nav.simulation.scenario import PLAIN_CELLS, sample
from vla_nav.simulation.urdf import robot_urdf
from vla_nav.simulation.world import CAMERA_X_M, World
from vla_nav.spaces import OMNI_3D

WIDTH, HEIGHT, RATE_HZ = 1280, 720, 15
# With a detector the pace may be less.
BOUNDS = {'times_real_time': 10.0, 'peak_mb': 500.0}
DETECTOR_BOUNDS = {**BOUNDS, 'times_real_time': 4.0}
_START_NS = 1_700_000_000_000_000_000
# Hundredths of a second between pictures, the simulator's own step: 15 Hz on the average.
_STEPS = (7, 7, 6)
_FIRST_SEED = 2_000_000
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]
_PAUSE_NS = 2_000_000_000


def measure(policy: str, detector: str, minutes: float, runs: int, work: Path,
            progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Make the bag unless ``work`` holds it, and evaluate it in ``runs`` processes in turn.

    Without ``detector``, '', the policy and the guard only. ``progress`` takes how many pictures
    have been recorded or evaluated, and of how many.
    """
    bounds = DETECTOR_BOUNDS if detector else BOUNDS
    bag, made = work / f'robot_{minutes:g}min', work / f'robot_{minutes:g}min.complete'
    pictures = round(minutes * 60 * RATE_HZ)
    total, found = pictures * (runs + 1), []
    if not made.exists():
        shutil.rmtree(bag, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        drive_into(bag, pictures, lambda done: progress(done, total))
        made.touch()
    for run in range(runs):
        progress((run + 1) * pictures, total)
        done = subprocess.run([sys.executable, '-m', __name__, str(bag), policy, detector],
                              check=True, stdout=subprocess.PIPE, text=True)
        found.append(json.loads(done.stdout))
    # Not the recording's length: that has the pauses between two scenes in it.
    seconds = found[0]['pictures'] / RATE_HZ
    slowest = max(run['wall_s'] for run in found)
    result = {
        'policy': policy, 'detector': detector, 'seconds': seconds,
        'pictures': found[0]['pictures'], 'bag_bytes': bag_bytes(bag), 'runs': found,
        'times_real_time': round(seconds / slowest, 2),
        'peak_mb': max(run['peak_mb'] for run in found),
        'identical': len({run['figures_sha256'] for run in found}) == 1, 'bounds': bounds,
        'machine': machine.describe()}
    return {**result, 'passed': result['identical']
            and result['times_real_time'] >= bounds['times_real_time']
            and result['peak_mb'] <= bounds['peak_mb']}


def drive_into(path: Path, pictures: int, note: Callable[[int], None]) -> None:
    """Record a bag of so many pictures; ``note`` is told how many there are."""
    world, bag = World(WIDTH, HEIGHT), RobotBag(path)
    stamp_ns, done = _START_NS, 0
    try:
        for number in count():
            scenario = sample(_FIRST_SEED + number, PLAIN_CELLS[number % len(PLAIN_CELLS)])
            world.load(scenario)
            judge, expert = Judge(world), Expert(world)
            focal = scenario.look.focal(HEIGHT)
            bag.description(robot_urdf(CAMERA_X_M, scenario.look), stamp_ns)
            bag.instruction(phrase(scenario.intent, np.random.default_rng(number), 'en'),
                            stamp_ns)
            for steps in cycle(_STEPS):
                command = OMNI_3D.clip(expert.act())
                bag.odometry(world.pose, world.velocity, stamp_ns)
                bag.picture(_jpeg(world.render()), stamp_ns, focal)
                bag.command(command.tolist(), stamp_ns)
                world.advance(command, steps / 100)
                judge.update(world)
                stamp_ns, done = stamp_ns + steps * 10**7, done + 1
                note(done)
                if done == pictures:
                    return
                if judge.done:
                    break
            stamp_ns += _PAUSE_NS  # somebody carries the robot to the next scene
    finally:
        bag.close()
        world.close()


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode('.jpg', image[..., ::-1], _QUALITY)[1].tobytes()


def main(bag: str, policy: str, detector: str) -> None:
    """Evaluate in this process; print its time, its memory, and a hash of all figures."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        # The camera looks over the simulated robot's body, as its parameters say.
        settings = ReplaySettings(policy, detector=detector,
                                  params_file=share_directory() / 'config' / 'sim.yaml')
        evaluate_bag(Path(bag), settings, Path(folder), 'predictions')
        wall_s = time.monotonic() - began
        summary = json.loads((Path(folder) / SUMMARY).read_text('utf-8'))
    del summary['latency_ms']  # all that may vary
    print(json.dumps({
        'wall_s': round(wall_s, 3), 'peak_mb': round(machine.memory_mb(), 1),
        'pictures': summary['pictures']['evaluated'],
        'figures_sha256': hashlib.sha256(
            json.dumps(summary, sort_keys=True).encode()).hexdigest()}))


if __name__ == '__main__':
    main(*sys.argv[1:])
