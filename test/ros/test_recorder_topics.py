"""What the recorder hands on to a take that begins late."""

from __future__ import annotations

from types import SimpleNamespace

from rclpy.qos import DurabilityPolicy
from rclpy.serialization import serialize_message
from std_msgs.msg import String

from vla_nav.nodes.recorder_topics import RecorderTopics


class FakeNode:
    """Keeps subscriptions, by topic; its clock stands."""

    def __init__(self):
        self.listening = {}

    def create_subscription(self, kind, topic, callback, qos, raw):
        self.listening[self.resolve_topic_name(topic)] = callback, qos
        return topic

    def resolve_topic_name(self, topic):
        return topic if topic.startswith('/') else f'/{topic}'

    def get_parameter(self, name):
        return SimpleNamespace(value=False)

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=7))


def test_what_was_said_once_is_in_each_take():
    node, taken = FakeNode(), []
    topics = RecorderTopics(node, False, lambda *one: taken.append(one))
    hear, qos = node.listening['/robot_description']
    assert qos.durability is DurabilityPolicy.TRANSIENT_LOCAL
    message = serialize_message(String(data='<robot/>'))
    hear(message, {})
    for _ in range(2):
        taken.clear()
        topics.begin('raw')
        assert taken == [('/robot_description', 'std_msgs/msg/String', message, 7)]
