"""The chain from picture to cmd_vel, as processes over DDS."""

from __future__ import annotations

import signal
import time

import pytest
from fake_camera import FakeCamera
from geometry_msgs.msg import Twist
from std_msgs.msg import String

from vla_nav.nodes.running import LATCHED


def moving(twist):
    return twist.linear.x > 0.25


def standing(twist):
    return (twist.linear.x, twist.linear.y, twist.angular.z) == (0.0, 0.0, 0.0)


@pytest.fixture
def watched(probe):
    probe.watch(Twist, '/cmd_vel')
    probe.watch(String, '/guard/state', LATCHED)
    probe.watch(String, '/policy/task_state', LATCHED)
    probe.watch(String, '/policy/active_instruction', LATCHED)
    return probe


@pytest.fixture
def driving(watched, graph, bundle):
    """Return a probe and a camera, with the robot under way."""
    camera = FakeCamera(watched.node)
    graph.start('guard_node')
    graph.start('policy_node', bundle=bundle, instruction='pass left, stop at the red ball')
    watched.wait('/cmd_vel', moving)
    return watched, camera


def test_a_picture_and_an_instruction_become_a_velocity(driving):
    probe, _ = driving
    probe.wait('/policy/task_state', lambda m: m.data == 'driving', since=0)
    probe.wait('/guard/state', lambda m: m.data.startswith('policy'), since=0)
    _, instruction = probe.wait('/policy/active_instruction', lambda m: m.data, since=0)
    assert instruction.data == 'pass left, stop at the red ball'


def test_a_killed_policy_stops_the_robot(driving, graph):
    probe, _ = driving
    graph.signal('policy_node', signal.SIGKILL)
    killed = time.monotonic()
    probe.wait('/cmd_vel', standing, since=killed)
    probe.wait('/guard/state', lambda m: m.data == 'observation_too_old', since=killed)
