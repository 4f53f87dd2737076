"""The camera node's sources and driving by keyboard, as processes over DDS."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import time

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from vla_nav.nodes.running import LATCHED, SENSOR
from vla_nav.observations.messages import frame_from_message


@pytest.fixture
def folder(tmp_path):
    """Return a folder of five JPEGs, whose brightness tells their number."""
    path = tmp_path / 'pictures'
    path.mkdir()
    for k in range(5):
        cv2.imwrite(str(path / f'{k}.jpg'), np.full((48, 64, 3), 40 * k, np.uint8))
    return path


def test_a_folder_is_shown_raw_and_compressed_with_camera_info(probe, graph, folder):
    probe.watch(Image, '/camera/image_raw', SENSOR)
    probe.watch(CompressedImage, '/camera/image_raw/compressed', SENSOR)
    probe.watch(CameraInfo, '/camera/camera_info', SENSOR)
    graph.start('camera_node', source=folder, rate=20.0, loop=True)
    _, raw = probe.wait('/camera/image_raw', lambda m: m.data[0] > 100)
    _, sent = probe.wait('/camera/image_raw/compressed', lambda m: m.format == 'jpeg')
    probe.wait('/camera/camera_info', lambda m: (m.height, m.width) == (48, 64))
    assert frame_from_message(raw).image.shape == (48, 64, 3)
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    assert bytes(sent.data) in files  # passed on as it is, not encoded again


def test_at_the_end_of_the_source_the_camera_finishes(probe, graph, folder):
    probe.watch(CameraInfo, '/camera/camera_info', SENSOR)
    process = graph.start('camera_node', source=folder, rate=50.0)
    assert process.wait(30) == 0
    assert 'ended after 5 pictures' in graph.log('camera_node').read_text()


def test_a_source_that_is_missing_is_one_clear_error(probe, graph):
    probe.watch(DiagnosticArray, '/diagnostics')
    graph.start('camera_node', source='/nowhere.mp4')
    probe.wait('/diagnostics', lambda array: any(
        'no such file' in status.message for status in array.status))
    assert graph.log('camera_node').read_text().count('no such file') == 1


def test_a_person_drives_stops_and_releases_by_keyboard(probe, graph):
    probe.watch(Twist, '/cmd_vel')
    probe.watch(String, '/guard/state', LATCHED)
    graph.start('guard_node')
    probe.wait('/guard/state', lambda m: m.data == 'no_command', since=0)
    keys, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    teleop = subprocess.Popen([sys.executable, '-m', 'vla_nav.nodes.teleop_node'],
                              stdin=terminal, stdout=subprocess.DEVNULL)
    try:
        probe.wait_until(lambda: probe.node.count_publishers('/cmd_vel_teleop'), 'teleop is up')
        # Discovery of the guard takes its own time: keys are pressed until one has arrived.
        probe.wait_until(lambda: os.write(keys, b'w') and any(
            m.linear.x > 0.2 for _, m in probe.seen('/cmd_vel')), 'forward')
        probe.wait('/guard/state', lambda m: m.data == 'teleop', since=0)
        pressed = time.monotonic()
        os.write(keys, b'x')
        at, _ = probe.wait('/guard/state', lambda m: m.data == 'e_stop', since=pressed)
        os.write(keys, b'r')
        probe.wait('/guard/state', lambda m: m.data == 'teleop', since=at)
        teleop.send_signal(signal.SIGINT)
        assert teleop.wait(10) == 0
        assert termios.tcgetattr(terminal) == before
    finally:
        teleop.kill()
        os.close(keys)
        os.close(terminal)
