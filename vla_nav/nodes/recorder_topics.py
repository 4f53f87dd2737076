"""What the recorder listens to: events always, pictures only while a take lasts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Bool, String

from vla_nav.nodes.running import now_ns

# Deep, so that a slow disk loses nothing at once; best effort, so that it delays nobody.
_LISTEN = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
_LISTEN_LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                             durability=DurabilityPolicy.TRANSIENT_LOCAL)
_IMAGE, _INSTRUCTION, _ACTIVE = 'camera/image_raw', 'instruction', 'policy/active_instruction'


class RecorderTopics:
    """Hands every message on as ``receive(topic, type, serialised, arrival_ns)``."""

    def __init__(self, node: Node, stamped_cmd_vel: bool,
                 receive: Callable[[str, str, bytes, int], None]) -> None:
        self._node, self._receive = node, receive
        self._latest: dict[str, tuple[str, bytes]] = {}  # latched topics, for takes to come
        self._during: list[Any] = []
        self.instruction = ''
        for kind, topic in ((TwistStamped if stamped_cmd_vel else Twist, 'cmd_vel'),
                            (TwistStamped, 'cmd_vel_policy'), (Twist, 'cmd_vel_teleop'),
                            (Odometry, 'odom'), (String, _INSTRUCTION), (Bool, 'e_stop'),
                            (PointCloud2, 'obstacles'),
                            (DiagnosticArray, '/diagnostics')):
            self._listen(kind, topic)
        # The description tells a detector that looks at the take where the camera is mounted.
        for topic in ('guard/state', 'policy/task_state', _ACTIVE, 'robot_description'):
            self._listen(String, topic, latched=True)

    @property
    def names(self) -> tuple[str, str, str]:
        """Return the full names of the topics of pictures, commands and odometry."""
        return self._full(_IMAGE), self._full('cmd_vel'), self._full('odom')

    @property
    def instruction_topic(self) -> str:
        """Return the full name of the topic of instructions."""
        return self._full(_INSTRUCTION)

    def choose_transport(self, wanted: str) -> Literal['raw', 'compressed']:
        """Return 'raw' or 'compressed'; ValueError where nobody publishes pictures."""
        raw, compressed = self._full(_IMAGE), self._full(f'{_IMAGE}/compressed')
        small = wanted == 'compressed' or (
            wanted == 'auto' and self._node.count_publishers(compressed) > 0)
        topic = compressed if small else raw
        if not self._node.count_publishers(topic):
            raise ValueError(f'nobody publishes {topic}: start the camera, remap the topic, or '
                             'set image_transport')
        return 'compressed' if small else 'raw'

    def needed(self, transport: str) -> tuple[str, ...]:
        """Return the topics that a take cannot do without."""
        image, command, _ = self.names
        return (f'{image}/compressed' if transport == 'compressed' else image), command

    def begin(self, transport: str) -> None:
        """Listen to the camera, and hand on what latched topics have said last."""
        compressed = transport == 'compressed'
        self._during = [
            self._listen(CompressedImage if compressed else Image,
                         f'{_IMAGE}/compressed' if compressed else _IMAGE),
            self._listen(CameraInfo, 'camera/camera_info')]
        for topic, (type_name, message) in self._latest.items():
            self._receive(topic, type_name, message, now_ns(self._node))

    def end(self) -> None:
        """Leave the camera alone."""
        for subscription in self._during:
            self._node.destroy_subscription(subscription)
        self._during = []

    def _listen(self, kind: Any, topic: str, latched: bool = False) -> Any:
        full = self._full(topic)
        type_name = f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'

        def receive(message: bytes, info: Mapping[str, int]) -> None:
            if latched:
                self._latest[full] = type_name, message
            if topic in (_INSTRUCTION, _ACTIVE):
                text = deserialize_message(message, String).data
                # The policy clears its instruction on arrival; what was driven stays.
                self.instruction = text or self.instruction
            self._receive(full, type_name, message, self._arrival_ns(info))
        # ROS 2 Humble does not hand over what the middleware knows of a message.
        callback: Any = (receive if hasattr(Subscription, 'CallbackType')
                         else lambda message: receive(message, {}))
        return self._node.create_subscription(
            kind, topic, callback, _LISTEN_LATCHED if latched else _LISTEN, raw=True)

    def _arrival_ns(self, info: Mapping[str, int]) -> int:
        """Return when the middleware had the message, in ROS time.

        That is the arrival also where this process is late to look, on a busy robot; simulated
        time the middleware does not know.
        """
        if self._node.get_parameter('use_sim_time').value:
            return now_ns(self._node)
        return int(info.get('received_timestamp', 0)) or now_ns(self._node)

    def _full(self, topic: str) -> str:
        return str(self._node.resolve_topic_name(topic))
