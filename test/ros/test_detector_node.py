"""From a picture to a stop: the detector and the guard, as processes over DDS."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from detectors import write_detector
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String
from std_srvs.srv import SetBool
from visualization_msgs.msg import MarkerArray

from vla_nav.monitoring.boxes import Box, boxes_in
from vla_nav.nodes.picture_messages import jpeg_image, pinhole_info, raw_image
from vla_nav.nodes.running import COMMAND, LATCHED, SENSOR
from vla_nav.observations.clouds import points_of
from vla_nav.observations.messages import frame_from_message
from vla_nav.simulation.choice import choose_scene
from vla_nav.simulation.urdf import robot_urdf

HEIGHT, WIDTH, FOVY = 96, 128, 1.4
BRIGHT, GREY, DARK = 255, 128, 0
# A box that ends just above the picture's lower edge, in bright pictures; NaN in dark ones.
FOUND = ((32.0, 40.0, 20.0, 30.0, 0.9, 1),)
# So low that the box stands 1 cm before the robot.
LOW = {'camera_xyz': '[0.0, 0.0, 0.35]', 'camera_rpy': '[0.0, 0.35, 0.0]'}


class Robot:
    """A camera of even pictures, and a policy that wants to drive on, 20 times a second."""

    def __init__(self, node):
        self._node = node
        publish = node.create_publisher
        self._raw, self._jpeg = publish(Image, '/camera/image_raw', SENSOR), publish(
            CompressedImage, '/camera/image_raw/compressed', SENSOR)
        self._info = publish(CameraInfo, '/camera/camera_info', SENSOR)
        self._command = publish(TwistStamped, '/cmd_vel_policy', COMMAND)
        self.brightness, self.calibrated = GREY, True
        node.create_timer(0.05, self._tick)

    def _tick(self):
        stamp = self._node.get_clock().now().to_msg()
        picture = np.full((HEIGHT, WIDTH, 3), self.brightness, np.uint8)
        self._raw.publish(raw_image(picture, stamp, 'camera'))
        self._jpeg.publish(jpeg_image(picture, stamp, 'camera'))
        self._info.publish(pinhole_info(HEIGHT, WIDTH, FOVY, stamp, 'camera')
                           if self.calibrated else CameraInfo())
        command = TwistStamped()
        command.header.stamp, command.twist.linear.x = stamp, 0.3
        self._command.publish(command)


def moving(twist):
    return twist.linear.x > 0.25


def says(word):
    return lambda message: message.data == word


def reports(*words, level=DiagnosticStatus.ERROR):
    return lambda array: any(status.name == '/detector' and status.level == level
                             and all(word in status.message for word in words)
                             for status in array.status)


@pytest.fixture
def robot(probe):
    probe.watch(Twist, '/cmd_vel')
    probe.watch(String, '/guard/state', LATCHED)
    probe.watch(DiagnosticArray, '/diagnostics')
    return Robot(probe.node)


@pytest.fixture
def detector(tmp_path):
    return write_detector(tmp_path / 'detector', FOUND, brighter_than=0.6, nan_below=0.2)


def start_guard(graph, **changes):
    # Patient, since a loaded machine looks seldom.
    graph.start('guard_node', camera_timeout=2.0, obstacle_timeout=2.0, obstacle_hold=2.0,
                max_observation_age=2.0, blind_distance=2.0, **changes)


def test_what_the_detector_sees_stops_the_robot_and_so_does_its_silence(probe, graph, robot,
                                                                        detector):
    start_guard(graph, obstacles_required=True)
    graph.start('detector_node', bundle=detector, **LOW)
    probe.wait('/cmd_vel', moving)

    def changed(brightness, state):
        since, robot.brightness = time.monotonic(), brightness
        probe.wait('/guard/state', says(state), since=since)
        probe.wait('/cmd_vel', lambda m: m.linear.x == 0.0, since=since)
    changed(BRIGHT, 'obstacle')
    robot.brightness = GREY
    probe.wait('/cmd_vel', moving)
    changed(DARK, 'obstacles_lost')
    probe.wait('/diagnostics', reports('NaN'))
    robot.brightness = GREY
    probe.wait('/cmd_vel', moving)

    since = time.monotonic()
    assert probe.call(SetBool, '/detector/enable', SetBool.Request(data=False)).success
    probe.wait('/guard/state', says('obstacles_lost'), since=since)
    probe.wait('/diagnostics', reports('disabled', level=DiagnosticStatus.WARN), since=since)
    assert probe.call(SetBool, '/detector/enable', SetBool.Request(data=True)).success
    probe.wait('/cmd_vel', moving)
    since = time.monotonic()
    graph.signal('detector_node', signal.SIGKILL)
    probe.wait('/guard/state', says('obstacles_lost'), since=since)


def test_without_a_calibration_it_says_so_and_the_guard_goes_on_where_it_may(probe, graph, robot,
                                                                             detector):
    look = choose_scene('', 3).sample().look
    model = probe.node.create_publisher(String, '/robot_description', LATCHED)
    model.publish(String(data=robot_urdf(-0.1, look)))
    probe.watch(PointCloud2, '/obstacles', SENSOR)
    probe.watch(MarkerArray, '/detector/markers')
    probe.watch(MarkerArray, '/guard/zones')
    probe.watch(Image, '/detector/image_annotated', SENSOR)
    probe.watch(String, '/detector/boxes', SENSOR)
    robot.calibrated, robot.brightness = False, BRIGHT
    start_guard(graph)
    graph.start('detector_node', bundle=detector, image_transport='compressed')
    probe.wait('/diagnostics', reports('no obstacles: camera_info has no focal length'))
    probe.wait('/cmd_vel', moving)
    assert not probe.seen('/obstacles')

    robot.calibrated = True
    _, cloud = probe.wait('/obstacles', lambda m: m.width)
    assert cloud.header.frame_id == 'base_link' and cloud.header.stamp.sec > 0
    # Cut off by the picture's lower edge, and no odometry to remember by.
    assert np.hypot(*points_of(cloud).T[:2]) == pytest.approx(0.1, abs=1e-3)
    probe.wait('/diagnostics', reports('nothing fresh on /odom', level=DiagnosticStatus.WARN))
    _, markers = probe.wait('/detector/markers', lambda m: m.markers[0].points)
    assert len(markers.markers[0].points) == cloud.width
    _, zones = probe.wait('/guard/zones', lambda m: m.markers[2].points)
    assert [one.ns for one in zones.markers] == ['stop', 'slow_down', 'obstacles']
    _, text = probe.wait('/detector/boxes', lambda m: boxes_in(m.data))
    # The square of 64 pixels shows the picture of 128 x 96 half as large, 8 pixels down.
    assert boxes_in(text.data) == [Box(44, 34, 84, 94, 'cup 0.90')]
    # The box is drawn in green.
    probe.wait('/detector/image_annotated', lambda m: np.any(
        frame_from_message(m).image.astype(int)[..., 1] - frame_from_message(m).image[..., 0]
        > 100))


def test_a_bundle_that_does_not_load_is_named_and_the_node_stays_up(probe, graph, robot,
                                                                    tmp_path):
    process = graph.start('detector_node', bundle=tmp_path / 'nowhere')
    probe.wait('/diagnostics', reports('nowhere'))
    assert process.poll() is None
