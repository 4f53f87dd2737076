"""The simulated robot as a node: a camera, a base, odometry, and the truth for evaluation."""

from __future__ import annotations

import json
import math
from array import array
from typing import Any

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.time import Time
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_nav.bringup.shared_memory import use_image_profile
from vla_nav.simulation.gl import ensure_gl

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TICK_S = 0.01
EXPERT_PERIOD_NS = 100_000_000
TRUTH_PERIOD_NS = 100_000_000
TOP_PERIOD_NS = 200_000_000
TOP_SIZE = (288, 384)
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]


class SimSettings(BaseModel):
    """What the simulated robot is and where it stands."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    cell: str = Field('', description='Cell to sample the scene from, such as '
                      '2box_vert_left_close; empty lets the seed choose a plain one.')
    seed: int = Field(0, ge=0, description='Seed of the scene; takes effect at ~/reset.')
    split: str = Field('train', description='Scenes as in training ("train"), held-out layouts '
                       '("layouts") or held-out looks ("appearance").')
    camera_rate: float = Field(20.0, gt=0.0, le=50.0, description='Pictures per second.')
    image_noise: float = Field(1.0, ge=0.0, le=50.0, description='Standard deviation of the '
                               "sensor's noise, in grey levels; 0 gives identical pictures at "
                               'standstill, which the guard takes for a frozen camera.')
    command_timeout: float = Field(0.5, gt=0.0, le=5.0, description='Seconds without a command '
                                   'after which the base stops by itself.')
    stamped_cmd_vel: bool = Field(False, description='Take TwistStamped instead of Twist.',
                                  json_schema_extra={'read_only': True})
    publish_clock: bool = Field(False, description='Publish /clock and stamp by it.',
                                json_schema_extra={'read_only': True})
    expert: bool = Field(False, description="Drive with the simulator's own planner, in the "
                         "policy's place.", json_schema_extra={'read_only': True})


class SimNode(LifecycleNode):
    """A lifecycle node around one :class:`vla_nav.simulation.session.Session`."""

    def __init__(self) -> None:
        super().__init__('sim')
        self._declare_parameters()
        self._session: Any = None
        self._timer: Any = None

    def _declare_parameters(self) -> None:
        for name, field in SimSettings.model_fields.items():
            self.declare_parameter(name, field.default)

    def _settings(self) -> SimSettings:
        return SimSettings(**{name: self.get_parameter(name).value
                              for name in SimSettings.model_fields})

    # -- lifecycle -----------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Build the world; slow, so done before the node promises anything."""
        # Only here, after the GL back end is known: importing mujoco fails without one.
        from vla_nav.simulation.session import Session
        from vla_nav.simulation.world import World
        try:
            settings = self._settings()
            self._session = Session(World(), self._scenario(settings), settings.command_timeout)
        except Exception as error:  # rclpy would swallow it and say nothing
            self.get_logger().error(f'cannot build the simulated world: {error!r}')
            return TransitionCallbackReturn.FAILURE
        self._configure(settings)
        return TransitionCallbackReturn.SUCCESS

    def _configure(self, settings: SimSettings) -> None:
        self._settings_now = settings
        self._random = np.random.default_rng(settings.seed)
        self._sim_clock_ns = 0
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        publish = self.create_publisher
        self._raw = publish(Image, 'camera/image_raw', qos_profile_sensor_data)
        self._compressed = publish(CompressedImage, 'camera/image_raw/compressed',
                                   qos_profile_sensor_data)
        self._info = publish(CameraInfo, 'camera/camera_info', qos_profile_sensor_data)
        self._odom = publish(Odometry, 'odom', 10)
        self._truth = publish(String, '~/ground_truth', 10)
        self._scene = publish(String, '~/scenario', LATCHED)
        self._outcome = publish(String, '~/outcome', LATCHED)
        self._top = publish(CompressedImage, '~/top_view/compressed', qos_profile_sensor_data)
        self._clock_topic = publish(ClockMessage, '/clock', 10) if settings.publish_clock else None
        self._drive = publish(TwistStamped, 'cmd_vel_policy', 1) if settings.expert else None
        if settings.stamped_cmd_vel:
            self.create_subscription(TwistStamped, 'cmd_vel', self._on_stamped, 1)
        else:
            self.create_subscription(Twist, 'cmd_vel', self._on_command, 1)
        self.create_service(Trigger, '~/reset', self._on_reset)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let time run."""
        self._begin()
        self._timer = self.create_timer(TICK_S, self._tick, clock=self._steady)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop time."""
        self.destroy_timer(self._timer)
        return super().on_deactivate(state)

    def destroy_node(self) -> None:
        """Free the GL context with the node."""
        if self._session is not None:
            self._session.world.close()
        super().destroy_node()

    # -- episode -------------------------------------------------------------------------

    def _scenario(self, settings: SimSettings) -> Any:
        from vla_nav.simulation.scenario import sample
        return sample(settings.seed, settings.cell or None, settings.split)

    def _begin(self) -> None:
        from vla_nav.simulation.scenario import SCENARIO_VERSION
        from vla_nav.simulation.session import top_view
        if self._settings_now.expert:
            from vla_nav.simulation.expert import Expert
            self._expert = Expert(self._session.world)
        scenario = self._session.world.scenario
        _, view = top_view(self._session.world, *TOP_SIZE)
        self._scene.publish(String(data=json.dumps({
            'scenario_version': SCENARIO_VERSION, 'seed': scenario.seed, 'cell': scenario.cell,
            'family': scenario.family, 'split': scenario.split, 'start': scenario.start,
            'intent': scenario.intent.describe(), 'top_view': view})))
        self._due = dict.fromkeys(('camera', 'truth', 'top', 'expert'), 0)
        self.get_logger().info(f'scene {scenario.cell}, seed {scenario.seed}: '
                               f'{scenario.intent.describe()}')

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Start the episode that the parameters name now."""
        try:
            self._settings_now = self._settings()
            self._session.reset(self._scenario(self._settings_now))
            self._begin()
        except ValueError as error:
            response.success, response.message = False, str(error)
            return response
        response.success, response.message = True, self._session.world.scenario.cell
        return response

    def _on_command(self, message: Twist) -> None:
        velocity = message.linear.x, message.linear.y, message.angular.z
        try:
            self._session.command(velocity, self._steady.now().nanoseconds)
        except ValueError as error:
            self.get_logger().error(str(error), throttle_duration_sec=1.0)

    def _on_stamped(self, message: TwistStamped) -> None:
        self._on_command(message.twist)

    # -- time ----------------------------------------------------------------------------

    def _tick(self) -> None:
        steady_ns = self._steady.now().nanoseconds
        ended = self._session.tick(steady_ns)
        stamp = self._stamp()
        if self._is_due('camera', steady_ns, round(1e9 / self._settings_now.camera_rate)):
            self._publish_camera(stamp)
            self._publish_odometry(stamp)
        if self._is_due('truth', steady_ns, TRUTH_PERIOD_NS):
            self._publish_truth()
        if self._top.get_subscription_count() and self._is_due('top', steady_ns, TOP_PERIOD_NS):
            self._publish_top(stamp)
        if self._drive is not None and self._is_due('expert', steady_ns, EXPERT_PERIOD_NS):
            self._publish_expert(stamp)
        if ended:
            outcome = self._session.judge.outcome().to_dict()
            self._outcome.publish(String(data=json.dumps(outcome)))
            self.get_logger().info(f'outcome: {outcome}')

    def _is_due(self, what: str, now_ns: int, period_ns: int) -> bool:
        if now_ns < self._due[what]:
            return False
        # From the due time on, so that the rate holds; from now on after a pause.
        late = now_ns - self._due[what] > period_ns
        self._due[what] = (now_ns if late else self._due[what]) + period_ns
        return True

    def _stamp(self) -> Any:
        if self._clock_topic is None:
            return self.get_clock().now().to_msg()
        self._sim_clock_ns += round(TICK_S * 1e9)
        stamp = Time(nanoseconds=self._sim_clock_ns).to_msg()
        self._clock_topic.publish(ClockMessage(clock=stamp))
        return stamp

    # -- topics --------------------------------------------------------------------------

    def _publish_camera(self, stamp: Any) -> None:
        picture = self._with_noise(self._session.world.render())
        height, width = picture.shape[:2]
        info = CameraInfo(height=height, width=width, distortion_model='plumb_bob', d=[0.0] * 5)
        info.header.stamp, info.header.frame_id = stamp, 'camera'
        fovy = math.radians(self._session.world.scenario.look.camera_fovy_deg)
        focal = height / 2 / math.tan(fovy / 2)
        cx, cy = width / 2, height / 2
        info.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
        if self._raw.get_subscription_count():
            message = Image(header=info.header, height=height, width=width, encoding='rgb8',
                            step=3 * width)
            message.data = array('B', picture.tobytes())
            self._raw.publish(message)
        if self._compressed.get_subscription_count():
            self._compressed.publish(_jpeg(picture, info.header))
        self._info.publish(info)

    def _with_noise(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        deviation = self._settings_now.image_noise
        if deviation == 0.0:
            return picture
        noise = np.empty(picture.shape[:2], np.int16)
        cv2.randn(noise, 0.0, deviation)
        return np.clip(picture + noise[..., None], 0, 255).astype(np.uint8)

    def _publish_odometry(self, stamp: Any) -> None:
        x, y, yaw = self._session.world.pose
        vx, vy, wz = self._session.world.velocity
        odom = Odometry(child_frame_id='base_link')
        odom.header.stamp, odom.header.frame_id = stamp, 'odom'
        odom.pose.pose.position.x, odom.pose.pose.position.y = x, y
        odom.pose.pose.orientation.z = math.sin(yaw / 2)
        odom.pose.pose.orientation.w = math.cos(yaw / 2)
        odom.twist.twist.linear.x, odom.twist.twist.linear.y = vx, vy
        odom.twist.twist.angular.z = wz
        self._odom.publish(odom)

    def _publish_truth(self) -> None:
        world = self._session.world
        self._truth.publish(String(data=json.dumps({
            'time_s': world.time_s, 'pose': world.pose, 'velocity': world.velocity,
            'contact': world.contact, 'person': world.person_state,
            'started': self._session.started, 'done': self._session.done})))

    def _publish_top(self, stamp: Any) -> None:
        from vla_nav.simulation.session import top_view
        picture, _ = top_view(self._session.world, *TOP_SIZE)
        header = CameraInfo().header
        header.stamp, header.frame_id = stamp, 'odom'
        self._top.publish(_jpeg(picture, header))

    def _publish_expert(self, stamp: Any) -> None:
        command = TwistStamped()
        command.header.stamp, command.header.frame_id = stamp, 'base_link'
        if not self._session.done:
            vx, vy, wz = map(float, self._expert.act())
            command.twist.linear.x, command.twist.linear.y = vx, vy
            command.twist.angular.z = wz
        self._drive.publish(command)


def _jpeg(picture: NDArray[np.uint8], header: Any) -> CompressedImage:
    encoded = cv2.imencode('.jpg', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), JPEG)[1]
    message = CompressedImage(header=header, format='jpeg')
    message.data = array('B', encoded.tobytes())
    return message


def main() -> None:
    """Run the node until it is told to stop."""
    ensure_gl()
    use_image_profile()
    rclpy.init()
    node = SimNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if (node.trigger_configure() is TransitionCallbackReturn.SUCCESS
                and node.trigger_activate() is TransitionCallbackReturn.SUCCESS):
            executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
