"""What the simulated robot publishes: one method a topic, all with the given stamp."""

from __future__ import annotations

import json
import math
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import Quaternion, TransformStamped, TwistStamped, Vector3
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from rclpy.node import Node
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from vla_nav.monitoring.camera_view import fixed_joints
from vla_nav.nodes.picture_messages import jpeg_image, pinhole_info, raw_image
from vla_nav.nodes.running import COMMAND, LATCHED, SENSOR
from vla_nav.simulation.scenario import SCENARIO_VERSION
from vla_nav.simulation.session import Session, top_view
from vla_nav.simulation.urdf import robot_urdf
from vla_nav.simulation.world import CAMERA_X_M

try:  # Not on PyPI; a robot with ROS has it.
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

TOP_WIDTH, TOP_HEIGHT = 288, 384


class SimTopics:
    """The publishers of one simulated robot."""

    def __init__(self, node: Node, session: Session) -> None:
        self._session = session
        publish = node.create_publisher
        self._raw = publish(Image, 'camera/image_raw', SENSOR)
        self._compressed = publish(CompressedImage, 'camera/image_raw/compressed', SENSOR)
        self._info = publish(CameraInfo, 'camera/camera_info', SENSOR)
        self._odom = publish(Odometry, 'odom', 10)
        self._tf = publish(TFMessage, '/tf', 10) if TFMessage else None
        self._truth = publish(String, '~/ground_truth', 10)
        self._description = publish(String, 'robot_description', LATCHED)
        self._tf_static = publish(TFMessage, '/tf_static', LATCHED) if TFMessage else None
        self._scene = publish(String, '~/scenario', LATCHED)
        self._outcome = publish(String, '~/outcome', LATCHED)
        self._top = publish(CompressedImage, '~/top_view/compressed', SENSOR)
        self._command: Any = None
        self._node = node

    def scene(self) -> None:
        """Describe the scene, and how the top view maps to metres."""
        scenario = self._session.scenario
        _, view = top_view(self._session.world, TOP_WIDTH, TOP_HEIGHT)
        self._scene.publish(_json({
            'scenario_version': SCENARIO_VERSION, 'seed': scenario.seed, 'cell': scenario.cell,
            'family': scenario.family, 'split': scenario.split, 'start': scenario.start,
            'intent': scenario.intent.describe(), 'top_view': view}))
        # Each scene mounts the camera anew.
        urdf = robot_urdf(CAMERA_X_M, scenario.look)
        self._description.publish(String(data=urdf))
        if self._tf_static is not None:
            self._tf_static.publish(TFMessage(transforms=[
                static_transform(*joint) for joint in fixed_joints(urdf)]))

    def camera(self, stamp: Any, noise: float) -> None:
        """Send the camera's picture in the forms that somebody listens to."""
        picture = _with_noise(self._session.world.render(), noise)
        height, width = picture.shape[:2]
        fovy = math.radians(self._session.scenario.look.camera_fovy_deg)
        if self._raw.get_subscription_count():
            self._raw.publish(raw_image(picture, stamp, 'camera'))
        if self._compressed.get_subscription_count():
            self._compressed.publish(jpeg_image(picture, stamp, 'camera'))
        self._info.publish(pinhole_info(height, width, fovy, stamp, 'camera'))

    def odometry(self, stamp: Any) -> None:
        """Send pose and velocity, and the transform where tf2_msgs is installed."""
        x, y, yaw = self._session.world.pose
        odom = Odometry(child_frame_id='base_link')
        odom.header.stamp, odom.header.frame_id = stamp, 'odom'
        pose, twist = odom.pose.pose, odom.twist.twist
        pose.position.x, pose.position.y = x, y
        pose.orientation.z, pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
        twist.linear.x, twist.linear.y, twist.angular.z = self._session.world.velocity
        self._odom.publish(odom)
        if self._tf is not None:
            transform = TransformStamped(header=odom.header, child_frame_id=odom.child_frame_id)
            transform.transform.translation.x, transform.transform.translation.y = x, y
            transform.transform.rotation = pose.orientation
            self._tf.publish(TFMessage(transforms=[transform]))

    def truth(self) -> None:
        """Send what only evaluation may know."""
        world = self._session.world
        self._truth.publish(_json({
            'time_s': world.time_s, 'pose': world.pose, 'velocity': world.velocity,
            'contact': world.contact, 'person': world.person_state,
            'started': self._session.started, 'done': self._session.done}))

    def outcome(self) -> None:
        """Send the judge's verdict."""
        self._outcome.publish(_json(self._session.judge.outcome().to_dict()))

    def top(self, stamp: Any) -> None:
        """Send the view from above, where somebody listens."""
        if self._top.get_subscription_count():
            picture, _ = top_view(self._session.world, TOP_WIDTH, TOP_HEIGHT)
            self._top.publish(jpeg_image(picture, stamp, 'odom'))

    def expert(self, stamp: Any, velocity: NDArray[np.float64]) -> None:
        """Send the expert's velocity in the policy's place."""
        if self._command is None:
            self._command = self._node.create_publisher(TwistStamped, 'cmd_vel_policy', COMMAND)
        command = TwistStamped()
        command.header.stamp, command.header.frame_id = stamp, 'base_link'
        twist = command.twist
        twist.linear.x, twist.linear.y, twist.angular.z = map(float, velocity)
        self._command.publish(command)


def static_transform(parent: str, child: str, pose: NDArray[np.float64]) -> TransformStamped:
    """Return the pose [4, 4] of ``child`` in ``parent``, for good."""
    transform = TransformStamped(child_frame_id=child)
    transform.header.frame_id = parent
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
    transform.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
    transform.transform.translation = Vector3(**dict(zip('xyz', map(float, pose[:3, 3]))))
    return transform


def _json(value: Any) -> String:
    return String(data=json.dumps(value))


def _with_noise(picture: NDArray[np.uint8], deviation: float) -> NDArray[np.uint8]:
    if deviation == 0.0:
        return picture
    noise = np.empty(picture.shape[:2], np.int16)
    cv2.randn(noise, 0.0, deviation)  # type: ignore[call-overload]
    return np.clip(picture + noise[..., None], 0, 255).astype(np.uint8)
