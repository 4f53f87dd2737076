"""The newest message of a topic, for nodes that look at a graph without taking part in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from std_msgs.msg import String

from vla_nav.monitoring.boxes import Box, boxes_in, boxes_of
from vla_nav.nodes.running import SENSOR, steady_ns

try:  # Not on PyPI; a robot with ROS and a detector has it.
    from vision_msgs.msg import Detection2DArray
except ImportError:
    Detection2DArray = None


class Newest:
    """One subscription; messages stay serialised until somebody looks.

    Best effort and one deep unless ``qos`` says otherwise, so that no publisher ever waits.
    """

    def __init__(self, node: Node, kind: Any, topic: str, qos: QoSProfile = SENSOR) -> None:
        """Subscribe."""
        self._node, self._kind = node, kind
        self._raw: bytes | None = None
        self._message: Any = None
        self._arrived_ns = 0
        self._subscription = node.create_subscription(kind, topic, self._receive, qos, raw=True)

    @property
    def topic(self) -> str:
        """Return the full name of the topic."""
        return str(self._subscription.topic_name)

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self._subscription)

    def take(self) -> Any | None:
        """Return the newest message, unless it has been taken before."""
        return self.last() if self._raw is not None else None

    def last(self) -> Any | None:
        """Return the newest message; None before the first."""
        if self._raw is not None:
            self._message, self._raw = deserialize_message(self._raw, self._kind), None
        return self._message

    def silence_ns(self) -> int | None:
        """Return the time since the newest message came; None before the first."""
        return steady_ns() - self._arrived_ns if self._arrived_ns else None

    def _receive(self, raw: bytes) -> None:
        self._raw, self._arrived_ns = raw, steady_ns()


class NewestBoxes:
    """What a detector sees: this package's as text, another's as ``vision_msgs``, if installed."""

    def __init__(self, node: Node) -> None:
        """Subscribe to what there may be."""
        self._sources: list[tuple[Newest, Callable[[Any], list[Box]]]] = [
            (Newest(node, String, 'detector/boxes'), lambda message: boxes_in(message.data))]
        if Detection2DArray:
            self._sources.append((Newest(node, Detection2DArray, 'detections'), boxes_of))

    def within(self, limit_ns: int) -> list[Box]:
        """Return the newest boxes; none where the newest message came longer ago.

        Raises ValueError where the text is none of a detector's.
        """
        for newest, read in self._sources:
            silence_ns = newest.silence_ns()
            if silence_ns is not None and silence_ns <= limit_ns:
                return read(newest.last())
        return []
