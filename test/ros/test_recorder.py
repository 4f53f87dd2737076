"""The recorder as a process over DDS: takes are started, kept, discarded and converted."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_camera import FakeCamera
from geometry_msgs.msg import Twist
from rclpy.qos import ReliabilityPolicy
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_nav.episodes.from_bag import episodes_from_bag, recorded
from vla_nav.fieldtest.take import read_take
from vla_nav.nodes.running import COMMAND, LATCHED
from vla_nav.recording.take import DISCARDED

_SAID = 'pass the box on its left and stop at the cup'


@pytest.fixture
def robot(probe):
    """Return a camera and a base that is driven at 0.2 m/s, both of the probe's node."""
    camera = FakeCamera(probe.node, transport='compressed')
    publisher = probe.node.create_publisher(Twist, '/cmd_vel', COMMAND)
    twist = Twist()
    twist.linear.x = 0.2
    timer = probe.node.create_timer(0.05, lambda: publisher.publish(twist))
    probe.watch(String, '/recorder/state', LATCHED)
    yield camera
    probe.node.destroy_timer(timer)


def _call(probe, action):
    return probe.call(Trigger, f'/recorder/{action}', Trigger.Request())


def _start(probe, robot, until):
    """Ask for a take until the answer fits: discovery takes its own time."""
    while not until(answer := _call(probe, 'start')):
        pictures = robot.sent + 4
        probe.wait_until(lambda enough=pictures: robot.sent > enough, 'more pictures')
    return answer


def test_a_take_is_kept_audited_and_converted(probe, graph, robot, bundle, tmp_path):
    graph.start('recorder_node', directory=tmp_path / 'bags', bundle=bundle,
                embodiment='omni', scenario='hall', instruction=f'"{_SAID}"')
    assert not _call(probe, 'stop').success  # nothing is being recorded
    answer = _start(probe, robot, lambda a: a.success)
    assert 'stop or discard it first' in _call(probe, 'start').message
    before = robot.sent
    probe.wait_until(lambda: robot.sent > before + 25, 'a drive of more than a second')
    # Nobody who drives ever waits for the recorder.
    for topic in ('/camera/image_raw/compressed', '/cmd_vel'):
        listening = [info for info in probe.node.get_subscriptions_info_by_topic(topic)
                     if info.node_name == 'recorder']
        assert [info.qos_profile.reliability for info in listening] == [
            ReliabilityPolicy.BEST_EFFORT]
    stopped = _call(probe, 'stop')
    assert stopped.success and stopped.message.startswith(answer.message)

    take = Path(answer.message)
    episode, = episodes_from_bag(take)
    assert (episode.instruction, episode.scenario) == (_SAID, 'hall')
    assert len(episode) > 15 and (abs(episode.actions[:, 0] - 0.2) < 1e-6).all()
    assert {divmod(stamp, 10**9) for stamp in episode.stamps_ns.tolist()} <= robot.stamps
    kept = recorded(take)
    assert kept['bundle']['name'] and len(kept['bundle']['sha256']) == 64
    found = {topic['topic']: topic for topic in kept['audit']}
    assert found['/cmd_vel']['messages'] > 15
    assert found['/camera/image_raw/compressed']['needed']
    assert episode.success is None  # nobody said

    answer = _start(probe, robot, lambda a: a.success)
    before = robot.sent
    probe.wait_until(lambda: robot.sent > before + 10, 'another drive')
    assert _call(probe, 'failure').message.startswith(f'{answer.message}, a failure')
    episode, = episodes_from_bag(Path(answer.message))
    assert episode.success is False
    row, _ = read_take(Path(answer.message))
    assert (row['kind'], row['result'], row['scenario']) == ('by hand', 'failure', 'hall')
    assert row['topics']['pictures']['messages'] > 0
    assert row['driven']['peak_m_s'] == pytest.approx(0.2)


def test_without_instruction_no_take_and_a_discarded_one_is_gone(probe, graph, robot, tmp_path):
    said = probe.node.create_publisher(String, '/instruction', 10)
    graph.start('recorder_node', directory=tmp_path / 'bags')
    answer = _call(probe, 'start')
    assert not answer.success and 'no instruction' in answer.message
    _start(probe, robot, lambda a: said.publish(String(data=_SAID)) or a.success)
    probe.wait('/recorder/state', lambda m: m.data.startswith('recording'), since=0)
    assert _call(probe, 'discard').success
    left, = (p for p in (tmp_path / 'bags').rglob('*') if p.is_file())
    assert left.name == DISCARDED and _SAID in left.read_text('utf-8')  # it is counted


def test_keys_start_a_take_and_ctrl_c_keeps_it(probe, graph, robot, tmp_path):
    keys, terminal = pty.openpty()
    recorder = subprocess.Popen(
        [sys.executable, '-m', 'vla_nav.cli.main', 'record', '--out', str(tmp_path / 'bags'),
         '--instruction', _SAID], stdin=terminal, stdout=subprocess.DEVNULL)
    try:
        probe.wait_until(lambda: os.write(keys, b'r') and any(
            m.data.startswith('recording') for _, m in probe.seen('/recorder/state')),
            'a take by key')
        before = robot.sent
        probe.wait_until(lambda: robot.sent > before + 10, 'ten pictures')
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(20) == 0
        take, = [p for p in (tmp_path / 'bags').iterdir() if not p.name.startswith('.')]
        episode, = episodes_from_bag(take)
        assert episode.instruction == _SAID
    finally:
        recorder.kill()
        os.close(keys)
        os.close(terminal)
