"""Tell a running robot what to do, and hear what it makes of it."""

from __future__ import annotations

import rclpy
from std_msgs.msg import String

from vla_nav.nodes.running import LATCHED, steady_ns

_PATIENCE_NS = 30_000_000_000  # discovery takes its time on a busy machine
# The state is sent with the instruction, on a topic of its own.
_SETTLE_NS = 300_000_000


def say(text: str, namespace: str = '') -> tuple[bool, str]:
    """Publish an instruction; return whether a policy took it, and its state or what is wrong."""
    rclpy.init(args=[])
    node = rclpy.create_node('say', namespace=namespace.strip('/'))
    try:
        heard: dict[str, str] = {}

        def hear(topic: str) -> None:
            def take(message: String) -> None:
                heard[topic] = message.data
            node.create_subscription(String, f'policy/{topic}', take, LATCHED)
        hear('active_instruction')
        hear('task_state')
        publisher = node.create_publisher(String, 'instruction', 10)
        started = steady_ns()
        sent_to = 0
        while steady_ns() - started < _PATIENCE_NS:
            # A recorder listens as well; each new listener hears it, the policy among them.
            if publisher.get_subscription_count() > sent_to:
                sent_to = publisher.get_subscription_count()
                publisher.publish(String(data=text))
            rclpy.spin_once(node, timeout_sec=0.05)
            if sent_to and heard.get('active_instruction') == text:
                settled = steady_ns() + _SETTLE_NS
                while steady_ns() < settled:
                    rclpy.spin_once(node, timeout_sec=0.05)
                state = heard.get('task_state', '')
                return state != 'not_understood', state
        return False, (f'no policy took it within {_PATIENCE_NS / 1e9:.0f} s; is one running and '
                       f'listening on {publisher.topic_name}?')
    finally:
        node.destroy_node()
        rclpy.shutdown()
