"""What a node says of itself: /diagnostics once a second and on change, logs on change only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from vla_nav.contracts import PolicyError
from vla_nav.control.diagnostics import OnChange
from vla_nav.detection.contracts import DetectorError
from vla_nav.nodes.running import steady_timer

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(frozen=True)
class Report:
    """Health in one line, and the figures behind it.

    ``kind`` stands for a message that holds a changing number, so that it is logged once.
    """

    level: bytes
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ''


def why_not_loaded(bundle: str, error: Exception) -> str:
    """Return what to tell of a bundle that does not load; rclpy would keep it to itself."""
    if isinstance(error, PolicyError | DetectorError | ImportError):
        return str(error)  # which names the remedy
    # Of a driver, a compiler or a full memory, say.
    return (f'{bundle}: cannot be loaded: {type(error).__name__}: {error}; choose another '
            'runtime or provider, or another bundle')


class Reporter:
    """Publishes what ``make`` reports, and logs its message when level or message change."""

    def __init__(self, node: Node, make: Callable[[], Report], check_s: float = 0.25) -> None:
        """Look every ``check_s`` seconds for a change, and publish at least once a second."""
        self._node = node
        self._make = make
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._change = OnChange()
        self._every = max(1, round(1.0 / check_s))
        self._ticks = 0
        steady_timer(node, check_s, self._tick)

    def _tick(self) -> None:
        report = self._make()
        changed = self._change.changed((report.level, report.kind or report.message))
        if changed:
            self._log(report)
        if changed or self._ticks % self._every == 0:
            self._publish(report)
        self._ticks += 1

    def _log(self, report: Report) -> None:
        # rclpy allows one severity for each line of code that logs.
        log = self._node.get_logger()
        if report.level == OK:
            log.info(report.message)
        elif report.level == WARN:
            log.warning(report.message)
        else:
            log.error(report.message)

    def _publish(self, report: Report) -> None:
        status = DiagnosticStatus(
            level=report.level, name=self._node.get_fully_qualified_name(),
            message=report.message,
            values=[KeyValue(key=key, value=str(value)) for key, value in report.values.items()])
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)
