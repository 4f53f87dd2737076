"""Watches a graph from outside: keeps the newest of everything, records it, passes on words."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry, Path
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, PointCloud2
from std_msgs.msg import String

from vla_nav.monitoring.boxes import boxes_in, boxes_of
from vla_nav.nodes.newest import Detection2DArray
from vla_nav.nodes.running import COMMAND, LATCHED, SENSOR, now_ns
from vla_nav.observations.clouds import points_of
from vla_nav.recording.bag import Bag
from vla_nav.recording.run_state import RunState

EVENTS = QoSProfile(depth=50)
_LEVELS = {DiagnosticStatus.OK: 'ok', DiagnosticStatus.WARN: 'warning',
           DiagnosticStatus.ERROR: 'error', DiagnosticStatus.STALE: 'stale'}


@dataclass(frozen=True)
class _Topic:
    name: str
    kind: Any
    qos: QoSProfile
    take: Callable[[RunState, Any], None] | None = None
    recorded: bool = True


class Observer:
    """Subscribes to the graph in a thread of its own; ``state`` is guarded by ``lock``."""

    def __init__(self, namespace: str, bag: Bag, image_topic: str, cmd_vel_topic: str,
                 stamped_cmd_vel: bool) -> None:
        # The terminal's Ctrl-C belongs to whoever owns the graph.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        self.state = RunState()
        self.lock = threading.Lock()
        self._bag = bag
        self._node = Node('run_observer', namespace=namespace)
        for topic in _topics(image_topic, cmd_vel_topic, stamped_cmd_vel):
            self._watch(topic)
        self._instruction = self._node.create_publisher(String, 'instruction', 10)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name='observer', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the subscriptions and the ROS context."""
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()
        rclpy.shutdown()

    def say(self, text: str) -> bool:
        """Publish an instruction, as ``vla-nav say`` does; False where nobody listens."""
        own = self._node.get_name()
        listeners = self._node.get_subscriptions_info_by_topic(self._instruction.topic_name)
        # A policy that is still loading listens already, and drops what it hears.
        if not self.state.task_state or all(one.node_name == own for one in listeners):
            return False
        self._instruction.publish(String(data=text))
        return True

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def _watch(self, topic: _Topic) -> None:
        full_name = self._node.resolve_topic_name(topic.name)
        package, _, name = topic.kind.__module__.split('.')[0], None, topic.kind.__name__
        type_name = f'{package}/msg/{name}'

        def receive(raw: bytes) -> None:
            with self.lock:
                if topic.recorded:
                    self._bag.add(full_name, type_name, raw, now_ns(self._node))
                self.state.messages[topic.name] += 1
                if topic.take is not None:
                    topic.take(self.state, deserialize_message(raw, topic.kind))

        # Serialised messages go to the bag as they are.
        self._node.create_subscription(topic.kind, topic.name, receive, topic.qos, raw=True)


def _topics(image_topic: str, cmd_vel_topic: str, stamped: bool) -> tuple[_Topic, ...]:
    info_topic = f'{image_topic.rpartition("/")[0]}/camera_info'
    return (
        _Topic(f'{image_topic}/compressed', CompressedImage, SENSOR, _take_camera),
        _Topic(info_topic, CameraInfo, SENSOR),
        _Topic('odom', Odometry, EVENTS),
        _Topic('instruction', String, EVENTS),
        _Topic('cmd_vel_policy', TwistStamped, EVENTS),
        _Topic(cmd_vel_topic, TwistStamped if stamped else Twist, EVENTS, _take_command),
        _Topic('policy/task_state', String, LATCHED, _take_task),
        _Topic('policy/active_instruction', String, LATCHED, _take_instruction),
        _Topic('policy/action_chunk', Path, COMMAND),
        _Topic('obstacles', PointCloud2, SENSOR, _take_obstacles),
        _Topic('detector/boxes', String, SENSOR, _take_boxes),
        # A type that bags do not know by themselves.
        *((_Topic('detections', Detection2DArray, SENSOR, _take_detections, recorded=False),)
          if Detection2DArray else ()),
        _Topic('guard/state', String, LATCHED, _take_guard),
        _Topic('sim/scenario', String, LATCHED, _take_scene),
        _Topic('sim/ground_truth', String, EVENTS, _take_truth),
        _Topic('sim/outcome', String, LATCHED, _take_outcome),
        _Topic('sim/top_view/compressed', CompressedImage, SENSOR, _take_top, recorded=False),
        _Topic('/diagnostics', DiagnosticArray, EVENTS, _take_diagnostics),
    )


def _take_camera(state: RunState, message: CompressedImage) -> None:
    state.camera = bytes(message.data)


def _take_top(state: RunState, message: CompressedImage) -> None:
    state.top = bytes(message.data)


def _take_command(state: RunState, message: Any) -> None:
    twist = getattr(message, 'twist', message)
    velocity = twist.linear.x, twist.linear.y, twist.angular.z
    if all(map(math.isfinite, velocity)):
        state.take_velocity(velocity)


def _take_task(state: RunState, message: String) -> None:
    state.task_state = message.data
    if message.data == 'not_understood':
        state.reading = ''


def _take_instruction(state: RunState, message: String) -> None:
    # The policy forgets it on arrival; what the robot did stays worth showing.
    state.instruction = message.data or state.instruction


def _take_obstacles(state: RunState, message: PointCloud2) -> None:
    try:
        points = points_of(message)
    except ValueError:  # not the detector's; the guard says what is wrong
        return
    state.obstacles = [(x, y) for x, y in points[np.isfinite(points).all(axis=1)].tolist()]


def _take_boxes(state: RunState, message: String) -> None:
    try:
        state.boxes = boxes_in(message.data)
    except ValueError:  # not the detector's
        return


def _take_detections(state: RunState, message: Any) -> None:
    state.boxes = boxes_of(message)


def _take_guard(state: RunState, message: String) -> None:
    state.guard = message.data


def _take_scene(state: RunState, message: String) -> None:
    state.scene, state.path = json.loads(message.data), []


def _take_truth(state: RunState, message: String) -> None:
    state.take_pose(tuple(json.loads(message.data)['pose']))


def _take_outcome(state: RunState, message: String) -> None:
    state.outcome = json.loads(message.data)


def _take_diagnostics(state: RunState, message: DiagnosticArray) -> None:
    for status in message.status:
        name = status.name.rpartition('/')[2]
        state.nodes[name] = {'level': _LEVELS.get(status.level, 'unknown'),
                             'message': status.message,
                             **{item.key: item.value for item in status.values}}
        if name == 'policy':
            # The task is forgotten on arrival; what it was stays worth showing.
            state.reading = state.nodes[name].get('understood_as') or state.reading
