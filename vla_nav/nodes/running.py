"""How every node of the package is started, run and ended."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from vla_nav.bringup.dds import use_profile
from vla_nav.nodes.parameters import ParameterError

# A best-effort subscriber matches every publisher; of pictures only the newest counts.
SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)


def steady_ns() -> int:
    """Return the time of a clock that neither jumps nor stands still."""
    return time.monotonic_ns()


def steady_timer(node: Node, period_s: float, callback: Callable[[], None]) -> Any:
    """Create a timer that goes on when ROS time stands still or jumps back."""
    return node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


def now_ns(node: Node) -> int:
    """Return ROS time: the clock of stamps."""
    return int(node.get_clock().now().nanoseconds)


def stamp_to_ns(stamp: Any) -> int:
    """Return a builtin_interfaces/Time in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def bring_up(node: LifecycleNode) -> bool:
    """Configure and activate a lifecycle node from inside; False where it refused."""
    return (node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            and node.trigger_activate() == TransitionCallbackReturn.SUCCESS)


def run(make: Callable[[], Node], arguments: list[str] | None = None) -> None:
    """Run one node until Ctrl-C or SIGTERM, then let it say goodbye.

    ``arguments`` take the place of the process's own.

    rclpy's own signal handler would close the context first, and a guard could no longer send
    its last zero. A Ctrl-C that reaches the process twice is as good as one. Each of the
    package's nodes ticks more than once a second, and so ends within that time. A node may also
    end by itself, by setting its attribute ``finished``.
    """
    stop: list[int] = []
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, lambda number, _: stop.append(number))
    use_profile('nodes')
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make()
    except ParameterError as error:
        rclpy.shutdown()
        sys.exit(f'error: {error}')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while rclpy.ok() and not stop and not getattr(node, 'finished', False):
            executor.spin_once()
    finally:
        goodbye = getattr(node, 'goodbye', None)
        if goodbye is not None:
            goodbye()
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()
