"""The monitor as a process of its own, beside a robot that drives."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest
from fake_camera import FakeCamera
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from rerun.chunk import RrdReader
from std_msgs.msg import String

from vla_nav.nodes.running import LATCHED, SENSOR

# It is still being written.
pytestmark = pytest.mark.filterwarnings('ignore:RRD file has no footer')
# What a robot that drives must leave in a recording, whatever else there is.
_EXPECTED = {
    '/odom/base', '/odom/base/chunk', '/odom/base/camera/picture', '/odom/base/camera/boxes',
    '/task', '/log/guard',
    '/log/policy', '/states/guard', '/states/task', '/states/instruction', '/ages/picture_ms',
    '/ages/command_ms', '/ages/guard/camera_age_ms', '/latency/policy/inference_p50_ms',
    '/latency/guard/picture_to_cmd_vel_p50_ms', '/rates/guard/camera_hz',
    *(f'/commands/{axis}/{source}' for axis in ('linear_x', 'linear_y', 'angular_z')
      for source in ('policy', 'guard'))}


def _recorded(path):
    """Return the entities in a recording that is being written: none before its first frame."""
    try:
        return {chunk.entity_path for chunk in RrdReader(path).stream()}
    except (OSError, RuntimeError, ValueError):  # no file, no header, no recording in it yet
        return set()


@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_a_recording_holds_all_of_a_drive(probe, graph, bundle, tmp_path, transport):
    camera = FakeCamera(probe.node, transport=transport)
    odometry = probe.node.create_publisher(Odometry, '/odom', 10)
    probe.node.create_timer(0.1, lambda: odometry.publish(Odometry(child_frame_id='base_link')))
    boxes = probe.node.create_publisher(String, '/detector/boxes', SENSOR)
    probe.node.create_timer(0.1, lambda: boxes.publish(String(data='{"boxes": []}')))
    probe.watch(String, '/guard/state', LATCHED)
    graph.start('guard_node')
    graph.start('policy_node', bundle=bundle, instruction='pass left, stop at the red ball',
                image_transport=transport)
    path = tmp_path / 'made' / 'drive.rrd'
    graph.start('monitor_node', save=path, image_transport=transport)
    probe.wait('/guard/state', lambda message: message.data == 'policy')

    probe.wait_until(lambda: _recorded(path) >= _EXPECTED, 'everything is in the recording')
    assert camera.sent > 0


def test_a_picture_that_cannot_be_read_is_named_and_the_rest_goes_on(probe, graph, tmp_path):
    FakeCamera(probe.node, encoding='8UC3')
    graph.start('guard_node')
    path = tmp_path / 'drive.rrd'
    graph.start('monitor_node', save=path)
    probe.wait_until(lambda: "camera/image_raw: image encoding '8UC3'" in graph.log(
        'monitor_node').read_text(), 'the encoding is named')
    probe.wait_until(lambda: '/commands/linear_x/guard' in _recorded(path),
                     'commands are recorded')


def _command(*words):
    return [sys.executable, '-m', 'vla_nav.cli.main', 'monitor', *words]


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(('', 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        told = subprocess.run(_command('--port', port), capture_output=True, text=True,
                              timeout=300)
    assert told.returncode == 1 and f'port {port}' in told.stderr


def test_the_command_watches_the_robot_and_the_topics_that_it_is_told(probe, tmp_path):
    path = tmp_path / 'drive.rrd'
    command = probe.node.create_publisher(TwistStamped, '/base/cmd', 10)
    probe.node.create_timer(0.1, lambda: command.publish(TwistStamped()))
    FakeCamera(probe.node, namespace='robot1')
    running = subprocess.Popen(_command(
        '--save', str(path), '--namespace', 'robot1', '--cmd-vel-topic', '/base/cmd', '--stamped'))
    try:
        probe.wait_until(lambda: _recorded(path) >= {
            '/commands/linear_x/guard', '/odom/base/camera/picture'}, 'both are recorded')
    finally:
        running.send_signal(signal.SIGINT)
    assert running.wait(60) == 0
