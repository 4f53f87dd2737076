"""Every topic, type, quality of service and frame of the RViz file, against the running graph."""

from __future__ import annotations

import itertools
import json
import math
import signal
from pathlib import Path as PagePath

import numpy as np
import pytest
import yaml
from bundles import write_bundle
from detectors import write_detector
from nav_msgs.msg import Odometry, Path
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

from vla_nav.bringup.graph import graph as graph_of
from vla_nav.bringup.share import share_directory
from vla_nav.monitoring.camera_view import fixed_joints
from vla_nav.nodes.picture_messages import pinhole_info, raw_image
from vla_nav.nodes.running import LATCHED, SENSOR
from vla_nav.observations.messages import frame_from_message
from vla_nav.simulation.choice import choose_scene
from vla_nav.simulation.urdf import robot_urdf
from vla_nav.simulation.world import CAMERA_X_M

_TYPES = {'RobotModel': String, 'MarkerArray': MarkerArray, 'Path': Path, 'Odometry': Odometry,
          'Image': Image, 'PointCloud2': PointCloud2}
_SHOWN = {'Robot model', 'Guard zones and state', 'Predicted path of the chunk',
          'Odometry trail', 'Odometry', 'Camera with overlay', 'Camera',
          'Stop and slow-down zones', 'Obstacles'}
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
    if not hasattr(message, 'header'):
        return set()
    return {message.header.frame_id,
            getattr(message, 'child_frame_id', message.header.frame_id),
            *(pose.header.frame_id for pose in getattr(message, 'poses', ()))}


def test_the_file_shows_what_there_is_to_see():
    assert {name for name, *_ in displays()} == _SHOWN


def test_the_page_lists_every_display():
    page = (PagePath(__file__).parents[2] / 'docs' / 'monitoring.md').read_text('utf-8')
    rows = page[page.index('| display | topic |'):].partition('\n\n')[0].splitlines()[2:]
    listed = {(name.partition(' (')[0], topic.strip('`'), kind) for name, topic, kind in (
        [cell.strip() for cell in row.strip('|').split('|')] for row in rows)}
    assert listed == {(name, topic, kind.__name__) for name, topic, kind, _ in displays()}


def test_each_display_is_fed_by_the_running_graph(probe, graph, bundle, tmp_path):
    """Start what `sim.launch.py rviz:=true` starts, but for RViz, and look as RViz does."""
    detector = write_detector(tmp_path / 'detector')
    nodes = graph_of('sim', {'policy': str(bundle), 'rviz': 'true', 'seed': '3',
                             'detector': str(detector),
                             'instruction': 'pass left, stop at the red ball'})
    assert {node.name for node in nodes} == {'guard', 'policy', 'sim', 'detector', 'visual',
                                          'rviz'}
    for _, topic, kind, qos in displays():
        probe.watch(kind, topic, qos)
    for node in nodes:
        if node.package == 'vla_nav':
            graph.start(node.executable, name=node.name, remap=node.remappings,
                        **node.parameters)
    _, odometry = probe.wait('odom', lambda m: True)
    fixed = read_file()['Global Options']['Fixed Frame']
    assert odometry.header.frame_id == fixed
    received = {}
    for name, topic, kind, qos in displays():
        _, received[name] = probe.wait(topic, lambda m: True, since=0.0)
        [publisher] = probe.node.get_publishers_info_by_topic(topic)
        package = kind.__module__.partition('.')[0]
        assert publisher.topic_type == f'{package}/msg/{kind.__name__}', name
        assert qos_check_compatible(publisher.qos_profile, qos)[0] != QoSCompatibility.ERROR, name
    # What RViz can place: the fixed frame, the base, and what is fixed to the base.
    known = {fixed, odometry.child_frame_id}
    known |= {child for _, child, _ in fixed_joints(received['Robot model'].data)}
    assert known == {'odom', 'base_link', 'camera'}
    for name, message in received.items():
        assert frames_of(message) <= known, name


@pytest.fixture
def drawn(probe, graph, tmp_path):
    """Start the node that draws, beside a robot that drives straight on at 0.5 m/s."""
    random, look = np.random.default_rng(0), choose_scene('', 3).sample().look
    publish = probe.node.create_publisher
    image, info = publish(Image, 'camera/image_raw', SENSOR), publish(
        CameraInfo, 'camera/camera_info', SENSOR)
    odometry, model = publish(Odometry, 'odom', 10), publish(String, 'robot_description', LATCHED)
    model.publish(String(data=robot_urdf(CAMERA_X_M, look)))
    x = itertools.count(step=0.03)

    def send():
        stamp = probe.node.get_clock().now().to_msg()
        picture = random.integers(80, 100, (96, 128, 3), np.uint8)
        image.publish(raw_image(picture, stamp, 'camera'))
        # Wide enough to see the floor just ahead of the robot.
        info.publish(pinhole_info(96, 128, math.radians(110), stamp, 'camera'))
        pose = Odometry(child_frame_id='base_link')
        pose.header.frame_id, pose.pose.pose.position.x = 'odom', next(x)
        odometry.publish(pose)
    probe.node.create_timer(0.1, send)
    for kind, topic in ((MarkerArray, 'visual/markers'), (Path, 'visual/trail')):
        probe.watch(kind, topic)
    probe.watch(Image, 'visual/overlay', SENSOR)
    graph.start('guard_node')
    graph.start('policy_node', bundle=write_bundle(tmp_path / 'bundle', (0.5, 0.0, 0.0)),
                instruction='pass left, stop at the red ball')
    graph.start('visual_node')
    return probe


def test_markers_carry_the_guards_state_and_the_way_that_a_command_has(drawn):
    # 0.5 m/s for as long as a picture may be old, half a second.
    _, array = drawn.wait('visual/markers', lambda m: 'guard: policy' in m.markers[2].text and
                          m.markers[1].points[-1].x == pytest.approx(0.25, abs=0.01))
    footprint, reach, state = array.markers
    assert footprint.scale.x == reach.scale.x == pytest.approx(0.4)
    assert footprint.color.g > footprint.color.r
    assert 'driving' in state.text and 'pass left' in state.text


def test_the_overlay_draws_the_chunk_and_the_trail_grows(drawn):
    def orange(message):
        picture = frame_from_message(message).image.astype(int)
        return np.sum(np.abs(picture - (255, 170, 0)).max(axis=2) < 30)
    drawn.wait('visual/overlay', lambda m: orange(m) > 20)
    _, trail = drawn.wait('visual/trail', lambda m: len(m.poses) > 3, since=0.0)
    assert trail.header.frame_id == 'odom'
    assert trail.poses[-1].pose.position.x > trail.poses[0].pose.position.x


def test_the_overlay_draws_what_the_detector_sees_and_forgets_it(drawn):
    def green(message):
        picture = frame_from_message(message).image.astype(int)
        return np.sum(np.abs(picture - (0, 230, 118)).max(axis=2) < 30)
    text = json.dumps({'stamp_ns': 1, 'boxes': [
        {'class': 'cup', 'score': 0.9, 'box': [40.0, 20.0, 80.0, 60.0]}]})
    boxes = drawn.node.create_publisher(String, 'detector/boxes', SENSOR)
    timer = drawn.node.create_timer(0.1, lambda: boxes.publish(String(data=text)))
    drawn.wait('visual/overlay', lambda m: green(m) > 100)
    drawn.node.destroy_timer(timer)
    drawn.wait('visual/overlay', lambda m: green(m) == 0)


def test_markers_do_not_repeat_a_guard_that_has_died(drawn, graph):
    drawn.wait('visual/markers', lambda m: 'guard: policy' in m.markers[2].text)
    graph.signal('guard_node', signal.SIGKILL)
    _, array = drawn.wait('visual/markers', lambda m: 'guard: silent' in m.markers[2].text)
    assert array.markers[0].color.r > array.markers[0].color.g
    assert array.markers[1].points[-1].x == 0.0
