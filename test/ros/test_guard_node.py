"""The guard on its own: what reaches the base, whoever commands."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_nav.nodes.obstacle_messages import cloud_message
from vla_nav.nodes.running import COMMAND, LATCHED, SENSOR


class Commander:
    """Commands like a policy with a healthy camera, 20 times a second, until told to stop."""

    def __init__(self, node, stamp_ns=None):
        self._node, self._stamp_ns = node, stamp_ns
        self._policy = node.create_publisher(TwistStamped, '/cmd_vel_policy', COMMAND)
        self._info = node.create_publisher(CameraInfo, '/camera/camera_info', SENSOR)
        self.velocity, self.silent = 0.3, False
        node.create_timer(0.05, self._tick)

    def _tick(self):
        self._info.publish(CameraInfo())
        if not self.silent:
            message = TwistStamped()
            now = self._node.get_clock().now()
            stamp = now if self._stamp_ns is None else Time(nanoseconds=self._stamp_ns)
            message.header.stamp = stamp.to_msg()
            message.twist.linear.x = self.velocity
            self._policy.publish(message)


@pytest.fixture
def watched(probe):
    probe.watch(Twist, '/cmd_vel')
    probe.watch(String, '/guard/state', LATCHED)
    probe.watch(DiagnosticArray, '/diagnostics')
    return probe


def test_a_command_that_is_not_finite_stops_at_once_and_is_named(watched, graph):
    commander = Commander(watched.node)
    graph.start('guard_node')
    watched.wait('/cmd_vel', lambda m: m.linear.x > 0.25)
    broken = time.monotonic()
    commander.velocity = math.nan
    watched.wait('/guard/state', lambda m: m.data == 'command_not_finite', since=broken)
    at, _ = watched.wait('/cmd_vel', lambda m: m.linear.x == 0.0, since=broken)
    assert all(m.linear.x == 0.0 for t, m in watched.seen('/cmd_vel') if t >= at)
    commander.velocity = 0.2
    watched.wait('/cmd_vel', lambda m: m.linear.x == pytest.approx(0.2))


def test_a_limit_on_an_uncertainty_that_nobody_tells_is_named(watched, graph):
    Commander(watched.node)
    graph.start('guard_node', uncertainty_limit=0.2)
    watched.wait('/guard/state', lambda m: m.data == 'policy, uncertain')
    watched.wait('/diagnostics', lambda m: any('nothing comes on policy_uncertainty' in s.message
                                               for s in m.status))
    assert all(m.linear.x == 0.0 for _, m in watched.seen('/cmd_vel'))


def test_obstacles_that_come_no_more_are_missed(watched, graph):
    Commander(watched.node)
    clouds = watched.node.create_publisher(PointCloud2, '/obstacles', SENSOR)
    graph.start('guard_node')
    watched.wait('/cmd_vel', lambda m: m.linear.x > 0.25)
    watched.wait_until(clouds.get_subscription_count, 'the guard subscribes to obstacles')
    now = watched.node.get_clock().now().to_msg()
    clouds.publish(cloud_message(np.empty((0, 2)), now, 'base_link'))
    _, report = watched.wait('/diagnostics', lambda m: any(
        'no obstacles come any more' in s.message for s in m.status))
    assert 'obstacles_required' in report.status[0].message
    watched.wait('/cmd_vel', lambda m: m.linear.x > 0.25, since=time.monotonic())


def test_an_old_command_dies_although_ros_time_stands_still(watched, graph):
    clock = watched.node.create_publisher(Clock, '/clock', 10)
    watched.node.create_timer(0.05, lambda: clock.publish(
        Clock(clock=Time(nanoseconds=100_000_000_000).to_msg())))
    commander = Commander(watched.node, stamp_ns=100_000_000_000)
    graph.start('guard_node', use_sim_time=True)
    watched.wait('/cmd_vel', lambda m: m.linear.x > 0.25)
    commander.silent = True
    silent = time.monotonic()
    watched.wait('/cmd_vel', lambda m: m.linear.x == 0.0, since=silent)
    watched.wait('/guard/state', lambda m: m.data == 'observation_too_old', since=silent)
    watched.wait('/guard/state', lambda m: m.data == 'no_command', since=silent)


def test_beside_other_commanders_it_falls_silent_after_its_last_zero(watched, graph):
    graph.start('guard_node', publish_when_idle=False)
    teleop = watched.node.create_publisher(Twist, '/cmd_vel_teleop', COMMAND)
    watched.wait_until(teleop.get_subscription_count, 'the guard listens to teleop')
    command = Twist()
    command.linear.x = 0.3
    said = time.monotonic()
    teleop.publish(command)
    at, _ = watched.wait('/cmd_vel', lambda m: m.linear.x > 0.0, since=said)
    at, _ = watched.wait('/guard/state', lambda m: m.data == 'no_command', since=at)
    for _ in range(2):  # a second apart, in which 50 zeros would have come
        at, _ = watched.wait('/diagnostics', lambda array: True, since=at + 1e-6)
    assert watched.seen('/cmd_vel')[-1][1].linear.x == 0.0
    count = len(watched.seen('/cmd_vel'))
    watched.wait('/diagnostics', lambda array: True, since=at + 1e-6)
    assert len(watched.seen('/cmd_vel')) == count


def test_a_stamped_velocity_carries_the_time_of_its_publication(probe, graph):
    probe.watch(TwistStamped, '/cmd_vel')
    commander = Commander(probe.node)
    graph.start('guard_node', stamped_cmd_vel=True, base_frame='base')
    _, message = probe.wait('/cmd_vel', lambda m: m.twist.linear.x > 0.25)
    now = probe.node.get_clock().now().nanoseconds / 1e9
    stamp = message.header.stamp.sec + message.header.stamp.nanosec / 1e9
    assert message.header.frame_id == 'base' and now - 10.0 < stamp <= now
    assert commander.velocity == 0.3


def test_it_is_held_from_the_start_where_asked(watched, graph):
    Commander(watched.node)
    graph.start('guard_node', hold_on_start=True)
    watched.wait('/guard/state', lambda m: m.data == 'held', since=0)

    assert watched.call(Trigger, '/guard/release', Trigger.Request()).success
    watched.wait('/cmd_vel', lambda m: m.linear.x > 0.25)


def test_a_publisher_with_a_qos_that_cannot_match_is_named_in_the_log(watched, graph):
    graph.start('guard_node')
    watched.wait('/guard/state', lambda m: True, since=0)
    watched.node.create_publisher(
        Twist, '/cmd_vel_teleop', QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    watched.wait_until(lambda: 'incompatible QoS' in graph.log('guard_node').read_text()
                       and 'cmd_vel_teleop' in graph.log('guard_node').read_text(),
                       'a warning in the log')
