"""Tell a recorder that runs in another process what to do."""

from __future__ import annotations

import rclpy
from std_srvs.srv import Trigger

_PATIENCE_S = 30.0  # discovery takes its time on a busy machine


def call_recorder(action: str, namespace: str = '') -> tuple[bool, str]:
    """Call ``recorder/<action>`` and return (success, message)."""
    rclpy.init(args=[])
    node = rclpy.create_node('recorder_client', namespace=namespace.strip('/'))
    try:
        client = node.create_client(Trigger, f'recorder/{action}')
        if not client.wait_for_service(_PATIENCE_S):
            return False, (f'no recorder answers as {client.service_name}: start one with '
                           '`vla-nav record`, or the graph with record:=DIRECTORY')
        future = client.call_async(Trigger.Request())
        rclpy.spin_until_future_complete(node, future, timeout_sec=_PATIENCE_S)
        if not future.done():
            return False, f'{client.service_name} did not answer within {_PATIENCE_S:.0f} s'
        response = future.result()
        return bool(response.success), str(response.message)
    finally:
        node.destroy_node()
        rclpy.shutdown()
