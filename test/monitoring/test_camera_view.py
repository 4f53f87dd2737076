import numpy as np
import pytest

from vla_nav.monitoring.camera_view import camera_mount, pixels
from vla_nav.simulation.choice import choose_scene
from vla_nav.simulation.urdf import robot_urdf
from vla_nav.simulation.world import CAMERA_X_M, World

_CHAIN = """<robot name="r"><joint name="a" type="fixed"><parent link="base"/><child link="arm"/>
<origin xyz="1 0 0" rpy="0 0 1.5707963267948966"/></joint><joint name="b" type="fixed">
<parent link="arm"/><child link="eye"/><origin xyz="2 0 0"/></joint>
<joint name="c" type="continuous"><parent link="base"/><child link="wheel"/></joint></robot>"""


def test_fixed_joints_are_followed_in_their_order():
    mount = camera_mount(_CHAIN, 'base', 'eye')
    np.testing.assert_allclose(mount[:3, 3], (1, 2, 0), atol=1e-12)
    np.testing.assert_allclose(mount[:3, :3] @ (1, 0, 0), (0, 1, 0), atol=1e-12)


def test_a_link_that_moves_or_is_unknown_has_no_mount():
    assert camera_mount(_CHAIN, 'base', 'wheel') is None
    assert camera_mount(_CHAIN, 'eye', 'base') is None


@pytest.mark.parametrize('text', [
    '', 'no xml', _CHAIN.replace('1 0 0"', 'x"'), _CHAIN.replace('1 0 0"', '1"'),
    _CHAIN.replace('<parent link="arm"/>', '')])
def test_what_is_no_urdf_is_refused(text):
    with pytest.raises(ValueError, match='robot_description is no URDF'):
        camera_mount(text, 'base', 'eye')


def test_the_simulated_robots_urdf_has_its_camera_where_the_world_has_it():
    """The floor under the robot's goal lies in the same pixel as MuJoCo's own camera has it."""
    scenario = choose_scene('1box_hori_left', 3).sample()
    world = World(render=False)
    world.load(scenario)
    mount = camera_mount(robot_urdf(CAMERA_X_M, scenario.look), 'base_link', 'camera')
    assert mount is not None
    x, y, yaw = world.pose
    base = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    camera = world.model.camera('camera').id
    np.testing.assert_allclose(base @ mount[:3, 3] + (x, y, 0), world.data.cam_xpos[camera],
                               atol=1e-5)
    # MuJoCo's cameras have +y up and look along -z.
    expected = world.data.cam_xmat[camera].reshape(3, 3) * (1, -1, -1)
    np.testing.assert_allclose(base @ mount[:3, :3], expected, atol=1e-5)


def test_points_come_to_lie_where_a_pinhole_camera_sees_them():
    # One metre above the floor, looking straight down, the picture's top ahead.
    mount = np.eye(4)
    mount[:3, :3] = np.column_stack([(0, -1, 0), (-1, 0, 0), (0, 0, -1)])
    mount[2, 3] = 1.0
    intrinsics = (100, 0, 64, 0, 100, 48, 0, 0, 1)
    found = pixels([(0, 0, 0), (0.1, 0, 0), (0, 0.1, 0), (0, 0, 2)], mount, intrinsics)
    # What is behind the camera has no pixel.
    np.testing.assert_allclose(found, [(64, 48), (64, 38), (54, 48)])
