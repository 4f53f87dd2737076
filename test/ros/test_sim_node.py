"""The simulated robot as a process of its own."""

import json

import numpy as np
import pytest
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_nav.monitoring.camera_view import camera_mount, fixed_joints
from vla_nav.nodes.running import LATCHED, SENSOR
from vla_nav.nodes.sim_topics import static_transform
from vla_nav.observations.messages import frame_from_message


@pytest.fixture
def sim(probe, graph):
    def start(**parameters):
        probe.watch(Odometry, 'odom')
        probe.watch(Clock, '/clock')
        probe.watch(String, 'sim/ground_truth')
        probe.watch(String, 'sim/scenario', LATCHED)
        probe.watch(Image, 'camera/image_raw', SENSOR)
        probe.watch(CameraInfo, 'camera/camera_info', SENSOR)
        graph.start('sim_node', **parameters)
        probe.wait('sim/ground_truth', lambda message: True)
        return probe
    return start


def command(probe, publisher, speed, topic, condition):
    """Send a velocity at 20 Hz until a message fits."""
    message = Twist()
    message.linear.x = speed
    timer = probe.node.create_timer(0.05, lambda: publisher.publish(message))
    found = probe.wait(topic, condition)
    timer.cancel()
    return found


def test_it_moves_when_told_and_stops_when_commands_cease(sim):
    probe = sim(seed=3, cell='1box_hori_left_far')
    publisher = probe.node.create_publisher(Twist, 'cmd_vel', 1)
    at, _ = command(probe, publisher, 0.3, 'odom', lambda m: m.twist.twist.linear.x > 0.2)
    probe.wait('odom', lambda m: abs(m.twist.twist.linear.x) < 0.01, since=at)


def test_pictures_fit_their_camera_info_and_are_never_quite_the_same(sim):
    probe = sim(seed=3)
    at, first = probe.wait('camera/image_raw', lambda m: True)
    _, info = probe.wait('camera/camera_info', lambda m: True)
    _, second = probe.wait('camera/image_raw', lambda m: True, since=at + 0.01)
    frame = frame_from_message(first)
    assert frame.image.shape == (info.height, info.width, 3)
    assert frame.image.std() > 5
    assert first.data != second.data


def test_reset_takes_the_scene_that_the_parameters_name(sim):
    probe = sim(seed=3, cell='1box_hori_left')
    publisher = probe.node.create_publisher(Twist, 'cmd_vel', 1)
    command(probe, publisher, 0.3, 'sim/ground_truth',
            lambda m: json.loads(m.data)['time_s'] > 0.3)
    values = [Parameter('cell', value='person'), Parameter('seed', value=12)]
    answer = probe.call(SetParameters, 'sim/set_parameters', SetParameters.Request(
        parameters=[value.to_parameter_msg() for value in values]))
    assert all(result.successful for result in answer.results)
    answer = probe.call(Trigger, 'sim/reset', Trigger.Request())
    assert answer.success and answer.message.startswith('person_')
    _, scene = probe.wait('sim/scenario', lambda m: json.loads(m.data)['seed'] == 12, since=0.0)
    assert json.loads(scene.data)['family'] == 'person'
    probe.wait('sim/ground_truth', lambda m: json.loads(m.data)['time_s'] == 0.0)


def test_an_unknown_cell_is_refused_and_the_episode_goes_on(sim):
    probe = sim(seed=3)
    probe.call(SetParameters, 'sim/set_parameters', SetParameters.Request(
        parameters=[Parameter('cell', value='nowhere').to_parameter_msg()]))
    answer = probe.call(Trigger, 'sim/reset', Trigger.Request())
    assert not answer.success and 'no cell begins with "nowhere"' in answer.message
    probe.wait('sim/ground_truth', lambda m: True)


def test_its_clock_goes_on_and_stamps_follow_it(sim):
    probe = sim(seed=3, publish_clock=True)
    at, first = probe.wait('/clock', lambda m: True)
    _, image = probe.wait('camera/image_raw', lambda m: True, since=at)
    assert first.clock.sec < 1000 and image.header.stamp.sec < 1000
    probe.wait('/clock', lambda m: m.clock.sec > first.clock.sec, since=at)


def test_it_describes_its_body_and_where_this_scenes_camera_is(sim):
    probe = sim(seed=3)
    probe.watch(String, 'robot_description', LATCHED)
    _, description = probe.wait('robot_description', lambda m: True, since=0.0)
    _, info = probe.wait('camera/camera_info', lambda m: True)
    _, odometry = probe.wait('odom', lambda m: True)
    mount = camera_mount(description.data, odometry.child_frame_id, info.header.frame_id)
    assert 0.5 < mount[2, 3] < 0.7
    [joint] = fixed_joints(description.data)
    transform = static_transform(*joint)
    assert (transform.header.frame_id, transform.child_frame_id) == ('base_link', 'camera')
    rotation = transform.transform.rotation
    # Ahead of the camera is ahead of the robot, and down.
    ahead = Rotation.from_quat((rotation.x, rotation.y, rotation.z, rotation.w)).apply((0, 0, 1))
    np.testing.assert_allclose(ahead, mount[:3, 2], atol=1e-9)
    assert ahead[0] > 0.9 and ahead[2] < -0.2
