"""`vla-nav run` as a person starts it: real processes, real DDS, a run folder."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import av
import pytest
from bundles import write_bundle
from rosbags.rosbag2 import Reader

from vla_nav.bringup.shared_memory import remove_stale_segments, stale_segments

PATIENCE_S = 150.0


@pytest.fixture
def start(tmp_path):
    """Return a function that starts `vla-nav run`; afterwards nothing of it may be left."""
    started, output = [], tmp_path / 'output'
    remove_stale_segments()

    def begin(*options, terminal=None):
        command = [sys.executable, '-m', 'vla_nav.cli.main', 'run', '--out',
                   str(tmp_path / 'runs'), *options]
        if terminal is not None:
            started.append(subprocess.Popen(command, stdin=terminal, stdout=terminal,
                                            stderr=terminal))
            return started[-1]
        with output.open('w') as file:
            started.append(subprocess.Popen([*command, '--headless'], stdout=file, stderr=file))
        return started[-1]
    yield begin
    for run in started:
        if run.poll() is None:
            run.kill()
    for log in (output, *sorted(tmp_path.glob('runs/latest/logs/*.log'))):
        print(f'--- {log.name}\n{log.read_text(errors="replace")[-2000:]}')
    assert not nodes(tmp_path / 'runs'), 'processes are left'
    assert not stale_segments(), 'shared memory is left'


@pytest.fixture
def terminal(tmp_path):
    """Yield where keys are pressed, and the terminal; what it shows is the output."""
    keys, stream = pty.openpty()

    def show():
        with (tmp_path / 'output').open('wb') as screen:
            try:
                while shown := os.read(keys, 4096):
                    screen.write(shown)
                    screen.flush()
            except OSError:  # nobody has the terminal any more
                pass
    reader = threading.Thread(target=show)
    reader.start()
    yield keys, stream
    os.close(stream)
    reader.join()
    os.close(keys)


def nodes(folder):
    """Return name and process id of the nodes that write to a run folder below ``folder``."""
    found = {}
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            log = os.readlink(entry / 'fd' / '1')
        except OSError:
            continue
        if log.startswith(str(folder)):
            found[Path(log).stem] = int(entry.name)
    return found


def until(condition, what, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, f'waited in vain: {what}'
        time.sleep(0.05)


def summary(folder):
    return json.loads((folder / 'runs' / 'latest' / 'summary.json').read_text())


def test_the_expert_drives_and_the_folder_shows_it(start, tmp_path):
    run = start('--policy', 'expert', '--scenario', '1box_hori_left_close', '--seed', '3')
    assert run.wait(PATIENCE_S) == 0
    told = summary(tmp_path)
    assert told['ending'] == 'outcome' and told['outcome']['success']
    assert told['settings']['cell'] == '1box_hori_left_close'
    assert told['driven_m'] > 1.0 and told['latency_ms']['picture_to_cmd_vel_p50'] < 1000.0
    assert told['nodes']['detector']['level'] == 'ok' and told['latency_ms']['detector_p50'] > 0.0
    assert set(told['restarts'].values()) == {0}
    folder = tmp_path / 'runs' / 'latest'
    with av.open(str(folder / 'run.mp4')) as video:
        assert sum(1 for _ in video.decode(video=0)) == told['video_frames'] > 20
    with Reader(folder / 'bag') as bag:
        counts = {topic: info.msgcount for topic, info in bag.topics.items()}
    assert counts['/sim/outcome'] == 1
    assert min(counts['/cmd_vel'], counts['/odom'], counts['/camera/image_raw/compressed']) > 30


def test_pictures_take_the_simulators_place(start, tmp_path):
    import cv2
    import numpy as np
    pictures = tmp_path / 'pictures'
    pictures.mkdir()
    random = np.random.default_rng(0)
    for number in range(240):  # 12 s: on a loaded machine the nodes find each other late
        cv2.imwrite(str(pictures / f'{number:03}.png'), random.integers(0, 255, (96, 128, 3)))
    bundle = write_bundle(tmp_path / 'bundle', (0.3, 0.0, 0.0))
    run = start('--policy', str(bundle), '--source', str(pictures))
    assert run.wait(PATIENCE_S) == 0
    told = summary(tmp_path)
    assert told['kind'] == 'camera' and told['ending'] == 'source ended'
    assert told['cmd_vel']['moving'] > 20
    assert told['outcome'] is None
    assert 'detector' not in told['nodes']  # it knows the simulator's things only


def test_a_killed_node_comes_back_and_ctrl_c_ends_everything(start, tmp_path):
    bundle = write_bundle(tmp_path / 'bundle', (0.0, 0.0, 0.05))
    run = start('--policy', str(bundle), '--detector', '', '--duration', '300', '--instruction',
                'Pass the box on its left and stop at the red ball.')
    until(lambda: {'policy', 'guard', 'sim'} <= set(nodes(tmp_path)), 'all nodes are up')
    bag = tmp_path / 'runs' / 'latest' / 'bag'
    first = nodes(tmp_path)['policy']
    until(lambda: 'driving' in (bag.parent / 'logs' / 'policy.log').read_text(), 'driving')
    os.kill(first, signal.SIGKILL)
    until(lambda: nodes(tmp_path).get('policy', first) != first, 'a new policy')
    until(lambda: (bag.parent / 'logs' / 'policy.log').read_text().count(': driving') >= 2,
          'driving again, with the instruction it had')
    # As a terminal does it, and an impatient person.
    for _ in range(3):
        run.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert run.wait(60.0) == 0
    told = summary(tmp_path)
    assert told['ending'] == 'interrupted' and told['restarts']['policy'] == 1
    assert 'detector' not in told['restarts']


def test_what_is_typed_reaches_the_policy_and_q_gives_the_terminal_back(terminal, start, tmp_path):
    keys, stream = terminal
    before = termios.tcgetattr(stream)
    bundle = write_bundle(tmp_path / 'bundle', (0.0, 0.0, 0.05))
    run = start('--policy', str(bundle), '--duration', '300', '--instruction',
                'Pass the box on its left and stop at the red ball.', terminal=stream)
    folder, screen = tmp_path / 'runs' / 'latest', tmp_path / 'output'
    log, remembered = folder / 'logs' / 'policy.log', folder / 'instruction.txt'
    until(lambda: log.exists() and 'driving' in log.read_text(), 'driving')
    os.write(keys, b'inothing of this\x1b')
    os.write(keys, 'i빨간 공 앞에서 멈춰요'.encode())
    until(lambda: '멈춰요' in screen.read_text(errors='replace'), 'it is shown')
    os.write(keys, b'\x7f\n')
    until(lambda: remembered.exists() and remembered.read_text('utf-8') == '빨간 공 앞에서 멈춰',
          'the policy takes it')
    os.write(keys, b'q')
    assert run.wait(60.0) == 0
    told = summary(tmp_path)
    assert told['ending'] == 'interrupted' and told['said'] == ['빨간 공 앞에서 멈춰']
    assert termios.tcgetattr(stream) == before


def test_a_source_that_does_not_open_fails_the_run_and_is_named(start, tmp_path):
    bundle = write_bundle(tmp_path / 'bundle')
    run = start('--policy', str(bundle), '--source', str(tmp_path / 'none.mp4'))
    assert run.wait(PATIENCE_S) == 1
    assert 'none.mp4' in (tmp_path / 'output').read_text()
