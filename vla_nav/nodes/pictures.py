"""Receiving camera pictures, and saying why none come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from vla_nav.nodes.running import SENSOR


class PictureInput:
    """A subscription to one camera, raw or compressed, and its diagnosis.

    The messages' content is compared with the one before: ``callback(message, changed)``.
    """

    def __init__(self, node: Node, topic: str, transport: str,
                 callback: Callable[[Any, bool], None]) -> None:
        """Subscribe; ``transport`` is 'raw' or 'compressed'."""
        self._node = node
        self._callback = callback
        self._last: Any = None
        compressed = transport == 'compressed'
        self._type: Any = CompressedImage if compressed else Image
        self.subscription = node.create_subscription(
            self._type, f'{topic}/compressed' if compressed else topic, self._receive, SENSOR)

    def close(self) -> None:
        """End the subscription."""
        self._node.destroy_subscription(self.subscription)

    def why_silent(self, silence_ns: int) -> str:
        """Return what is known of a camera that has been silent for ``silence_ns``."""
        topic = self.subscription.topic_name
        since = f'for {silence_ns / 1e9:.1f} s'
        found = self._node.get_publishers_info_by_topic(topic)
        if not found:
            other = 'compressed' if self._type is Image else 'raw'
            return (f'No image {since}; nobody publishes {topic}. Start the camera, or set '
                    f'image_topic, or image_transport to {other}')
        kinds = sorted({info.topic_type for info in found})
        wanted = self._type.__name__
        if all(not kind.endswith(f'/{wanted}') for kind in kinds):
            return f'No image {since}; {topic} carries {", ".join(kinds)}, not {wanted}'
        qos = sorted({_reliability(info.qos_profile.reliability) for info in found})
        names = ', '.join(sorted({info.node_name for info in found}))
        return (f'No image {since}; publisher is {" and ".join(qos)}, on topic {topic} '
                f'(node {names})')

    def _receive(self, message: Any) -> None:
        # Both sides are byte arrays, which compare at memory speed and mostly differ early.
        changed = self._last is None or message.data != self._last
        self._last = message.data
        self._callback(message, changed)


def _reliability(policy: ReliabilityPolicy) -> str:
    return {ReliabilityPolicy.BEST_EFFORT: 'best effort',
            ReliabilityPolicy.RELIABLE: 'reliable'}.get(policy, 'of unknown reliability')
