"""The chain of ``docs/own-robot.md`` with the simulated robot as the robot, in one go.

    python tools/try_own_robot.py --out runs/own_robot

Drives by `vla-nav teleop`, whose keys it presses on a pseudo-terminal: each the one that is
nearest to what the simulator's planner would do from where the robot is. Records, converts, lints,
fine-tunes, evaluates, and drives with the result; ``summary.json`` has the figures. Takes real
time: half a minute a drive. Takes that are there are not driven, and what is trained is not
trained, again.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from vla_nav.language.grammar import phrase
from vla_nav.simulation.choice import choose_scene

VLA_NAV = [sys.executable, '-c', 'from vla_nav.cli.main import main; main()']
SPEED, TURN = 0.35, 0.8
# Scenes that neither the shipped policy nor its evaluation has seen.
FIRST_SEED = 5_000_000
KEYS = (('w', 's'), ('q', 'e'), ('a', 'd'))


class Terminal:
    """A command on a pseudo-terminal, whose keys are pressed from here."""

    def __init__(self, log: Path, *words: str) -> None:
        self.keys, terminal = pty.openpty()
        with log.open('ab') as output:
            self.process = subprocess.Popen([*VLA_NAV, *words], stdin=terminal, stdout=output,
                                            stderr=output, start_new_session=True)
        os.close(terminal)

    def press(self, key: str) -> None:
        """Press one key."""
        os.write(self.keys, key.encode())

    def close(self) -> None:
        """End the command as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        os.close(self.keys)


class Pilot:
    """Presses the key that is due: what was wanted and not yet pressed is kept in mind."""

    def __init__(self) -> None:
        self._owed = [0.0, 0.0, 0.0]

    def key(self, wanted: tuple[float, float, float]) -> str:
        """Return the key for a wanted velocity (m/s, m/s, rad/s); the space bar stands still."""
        if not any(wanted):
            self._owed = [0.0, 0.0, 0.0]
            return ' '
        for axis, (value, full) in enumerate(zip(wanted, (SPEED, SPEED, TURN))):
            self._owed[axis] = max(-1.0, min(1.0, self._owed[axis] + value / full))
        axis = max(range(3), key=lambda one: abs(self._owed[one]))
        if abs(self._owed[axis]) < 0.5:
            return ' '
        sign = 1.0 if self._owed[axis] > 0 else -1.0
        self._owed[axis] -= sign
        return KEYS[axis][0 if sign > 0 else 1]


def drive(seed: int, name: str, out: Path, listener: Listener, teleop: Terminal
          ) -> dict[str, object]:
    """Drive one scene by keyboard while a recorder records it; return how it ended."""
    scene = choose_scene('', seed)
    text = phrase(scene.sample().intent, np.random.default_rng(seed))
    recorder = Terminal(out / 'record.log', 'record', '--out', str(out / 'bags' / name),
                        '--instruction', text, '--scenario', scene.cell)
    runs = out / 'drives' / str(seed)
    with (out / 'run.log').open('ab') as log:
        robot = subprocess.Popen([*VLA_NAV, 'run', '--policy', 'expert', '--instruction', text,
                                  '--seed', str(seed), '--duration', '60', '--headless',
                                  '--out', str(runs)], stdout=log, stderr=log)
    listener.forget()
    pilot, recording = Pilot(), False
    try:
        while robot.poll() is None:
            wanted = listener.wait(0.1)
            if wanted is None:
                continue
            if not recording:
                recorder.press('r')
                recording = True
            teleop.press(pilot.key(wanted))
        summary = json.loads((runs / 'latest' / 'summary.json').read_text('utf-8'))
        success = bool(summary['outcome'] and summary['outcome']['success'])
        recorder.press('s' if success else 'f')
    finally:
        recorder.close()
    return {'seed': seed, 'instruction': text, 'cell': scene.cell, 'success': success,
            'driven_m': summary['driven_m'], 'kept_for': name}


class Listener:
    """The planner's wishes, from the topic of the policy that does not drive."""

    def __init__(self) -> None:
        import rclpy
        from geometry_msgs.msg import TwistStamped

        from vla_nav.nodes.running import COMMAND
        rclpy.init()
        self._rclpy, self.node, self._newest = rclpy, rclpy.create_node('pilot'), None
        self.node.create_subscription(TwistStamped, 'cmd_vel_policy', self._take, COMMAND)

    def _take(self, message: object) -> None:
        self._newest = message

    def forget(self) -> None:
        """Drop what an earlier drive has left."""
        self._newest = None

    def wait(self, seconds: float) -> tuple[float, float, float] | None:
        """Return the newest wish after so long; None before the first."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._rclpy.spin_once(self.node, timeout_sec=left)
        if self._newest is None:
            return None
        twist = self._newest.twist
        return twist.linear.x, twist.linear.y, twist.angular.z


def vla_nav(*words: object, log: Path) -> str:
    """Run a command to its end and return what it printed; a failure ends the script."""
    print('vla-nav', *words, flush=True)
    with log.open('ab') as errors:
        done = subprocess.run([*VLA_NAV, *map(str, words)], stdout=subprocess.PIPE, stderr=errors,
                              check=False)
    with log.open('ab') as output:
        output.write(done.stdout)
    if done.returncode:
        sys.exit(f'vla-nav {words[0]} {words[1]} ended with status {done.returncode}; see {log}')
    return done.stdout.decode()


def record(out: Path, takes: int) -> list[dict[str, object]]:
    """Drive and record the takes that are missing; every fourth is kept to test on."""
    kept = out / 'takes.jsonl'
    drives = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    if len(drives) == takes:
        return drives
    listener = Listener()
    teleop = Terminal(out / 'teleop.log', 'teleop', '--speed', str(SPEED), '--turn', str(TURN))
    try:
        for number in range(len(drives), takes):
            name = 'test' if number % 4 == 3 else 'train'
            drives.append(drive(FIRST_SEED + number, name, out, listener, teleop))
            print(json.dumps(drives[-1]), flush=True)
            with kept.open('a', encoding='utf-8') as file:
                file.write(json.dumps(drives[-1]) + '\n')
    finally:
        teleop.close()
    return drives


def main() -> None:
    """Do all of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--out', type=Path, default=Path('runs/own_robot'))
    parser.add_argument('--takes', type=int, default=24, help='half a minute each')
    parser.add_argument('--episodes', type=int, default=200, help='to drive before and after')
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    log, mine, base = out / 'commands.log', out / 'mine', 'models/compact'
    result: dict[str, object] = {'takes': record(out, arguments.takes)}
    for name in ('train', 'test'):
        vla_nav('data', 'convert', out / 'bags' / name, out / 'episodes' / name, log=log)
    result['lint'] = json.loads(vla_nav(
        'data', 'lint', out / 'episodes' / 'train', '--validation', out / 'episodes' / 'test',
        '--json', log=log))
    if not (mine / 'config.json').exists():
        vla_nav('train', 'finetune', '--policy', base, '--data', out / 'episodes' / 'train',
                '--out', mine, log=log)
    for policy in (base, mine):
        name = Path(policy).name
        result[f'offline_{name}'] = json.loads(vla_nav(
            'evaluate', 'offline', '--policy', policy, '--data', out / 'episodes' / 'test',
            '--json', log=log))
        result[f'driving_{name}'] = json.loads(vla_nav(
            'evaluate', 'closed-loop', '--policy', policy, '--episodes', arguments.episodes,
            '--first-seed', FIRST_SEED + 1000, '--out', out / f'driving_{name}', '--json',
            log=log))
    result['paired'] = vla_nav('evaluate', 'paired', out / 'driving_mine',
                               out / 'driving_compact', log=log)
    result['drive'] = json.loads(vla_nav(
        'run', '--policy', mine, '--seed', FIRST_SEED + 999, '--headless', '--json',
        '--out', out / 'drives' / 'mine', log=log))
    (out / 'summary.json').write_text(json.dumps(result, indent=1) + '\n', 'utf-8')
    print(out / 'summary.json')


if __name__ == '__main__':
    main()
