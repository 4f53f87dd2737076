"""Every topic, type, quality of service and frame of the RViz file, against the running graph."""

from __future__ import annotations

import time

import numpy as np
import pytest
import yaml
from bundles import write_bundle
from nav_msgs.msg import Odometry, Path
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from sensor_msgs.msg import Image
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from vla_nav.bringup.graph import graph as graph_of
from vla_nav.bringup.share import share_directory
from vla_nav.monitoring.camera_view import fixed_joints
from vla_nav.nodes.running import LATCHED
from vla_nav.observations.messages import frame_from_message

_TYPES = {'RobotModel': String, 'MarkerArray': MarkerArray, 'Path': Path, 'Odometry': Odometry,
          'Image': Image}
_SHOWN = {'Robot model', 'Guard zones and state', 'Predicted path of the chunk',
          'Odometry trail', 'Odometry', 'Camera with overlay', 'Camera'}
_POLICIES = {'Reliable': ReliabilityPolicy.RELIABLE, 'Best Effort': ReliabilityPolicy.BEST_EFFORT,
             'Volatile': DurabilityPolicy.VOLATILE,
             'Transient Local': DurabilityPolicy.TRANSIENT_LOCAL}


def read_file():
    path = share_directory() / 'config' / 'rviz' / 'vla_nav.rviz'
    return yaml.safe_load(path.read_text())['Visualization Manager']


def displays():
    """Return name, topic, message type and QoS of each display that has a topic."""
    for display in read_file()['Displays']:
        topic = display.get('Topic') or display.get('Description Topic')
        if topic:
            yield (display['Name'], topic['Value'], _TYPES[display['Class'].rpartition('/')[2]],
                   QoSProfile(depth=topic['Depth'],
                              reliability=_POLICIES[topic['Reliability Policy']],
                              durability=_POLICIES[topic['Durability Policy']]))


def frames_of(message):
    """Return the frames that a message refers to; none for words."""
    if hasattr(message, 'markers'):
        return {marker.header.frame_id for marker in message.markers}
    found = {message.header.frame_id} if hasattr(message, 'header') else set()
    return found | {getattr(message, 'child_frame_id', message.header.frame_id)
                    for _ in found} | {
        pose.header.frame_id for pose in getattr(message, 'poses', ())}


@pytest.fixture
def driving(probe, graph, tmp_path):
    """Start what `sim.launch.py rviz:=true` starts, but for RViz, and look as RViz does."""
    bundle = write_bundle(tmp_path / 'bundle')
    nodes = graph_of('sim', {'policy': str(bundle), 'rviz': 'true', 'seed': '3',
                             'instruction': 'pass left, stop at the red ball'})
    assert {node.name for node in nodes} == {'guard', 'policy', 'sim', 'visual', 'rviz'}
    for _, topic, kind, qos in displays():
        probe.watch(kind, topic, qos)
    for node in nodes:
        if node.package == 'vla_nav':
            graph.start(node.executable, name=node.name, remap=node.remappings,
                        **node.parameters)
    return probe


def test_the_file_shows_what_there_is_to_see():
    assert {name for name, *_ in displays()} == _SHOWN


def test_each_display_is_fed_by_the_running_graph(driving):
    _, odometry = driving.wait('odom', lambda m: True)
    fixed = read_file()['Global Options']['Fixed Frame']
    assert odometry.header.frame_id == fixed
    received = {}
    for name, topic, kind, qos in displays():
        _, received[name] = driving.wait(topic, lambda m: True, since=0.0)
        [publisher] = driving.node.get_publishers_info_by_topic(topic)
        package = kind.__module__.partition('.')[0]
        assert publisher.topic_type == f'{package}/msg/{kind.__name__}', name
        assert qos_check_compatible(publisher.qos_profile, qos)[0] != QoSCompatibility.ERROR, name
    # What RViz can place: the fixed frame, the base, and what is fixed to the base.
    known = {fixed, odometry.child_frame_id}
    known |= {child for _, child, _ in fixed_joints(received['Robot model'].data)}
    for name, message in received.items():
        assert frames_of(message) <= known, name
    assert known == {'odom', 'base_link', 'camera'}


def test_markers_carry_the_guards_state_and_the_way_that_a_command_has(driving):
    _, array = driving.wait('visual/markers', lambda m: 'guard: policy' in m.markers[2].text)
    footprint, reach, state = array.markers
    assert (footprint.scale.x, footprint.ns) == (pytest.approx(0.4), 'footprint')
    assert 'driving' in state.text and 'pass left' in state.text
    assert footprint.color.g > footprint.color.r
    # 0.3 m/s for as long as the bundle lets a picture be old, half a second.
    driving.wait('visual/markers', lambda m: m.markers[1].points[-1].x == pytest.approx(
        0.15, abs=0.01))
    assert reach.scale.x == footprint.scale.x


def test_the_overlay_draws_the_chunk_into_the_newest_picture(driving):
    def orange(message):
        picture = frame_from_message(message).image.astype(int)
        return np.sum(np.abs(picture - (255, 170, 0)).max(axis=2) < 30)
    driving.wait('visual/overlay', lambda m: orange(m) > 20)
    _, trail = driving.wait('visual/trail', lambda m: len(m.poses) > 3, since=0.0)
    assert trail.poses[-1].pose.position.x > trail.poses[0].pose.position.x


def test_markers_do_not_repeat_a_guard_that_has_died(driving, graph):
    driving.watch(String, 'guard/state', LATCHED)
    driving.wait('visual/markers', lambda m: 'guard: policy' in m.markers[2].text)
    graph.signal('guard', 9)
    killed = time.monotonic()
    _, array = driving.wait('visual/markers', lambda m: 'guard: silent' in m.markers[2].text,
                            since=killed)
    assert array.markers[0].color.r > array.markers[0].color.g
