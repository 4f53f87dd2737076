"""The monitor as a node: shows a running graph in the browser, or keeps a Rerun recording."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Literal

import rerun as rr
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from nav_msgs.msg import Path as PathMessage
from pydantic import BaseModel, ConfigDict, Field
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String

from vla_nav.control.diagnostics import OnChange
from vla_nav.monitoring.entities import Entities
from vla_nav.monitoring.layout import TIMELINE
from vla_nav.monitoring.output import save, serve
from vla_nav.nodes.newest import Detection2DArray, Newest
from vla_nav.nodes.parameters import ParameterError, Parameters
from vla_nav.nodes.running import LATCHED, now_ns, run, steady_timer

# Every node speaks on this one topic, often at the same moment.
_REPORTS = QoSProfile(depth=20, reliability=ReliabilityPolicy.BEST_EFFORT)
# What is said once, and must be heard by whoever comes later; few bytes, on change only.
_SAID = ('guard/state', 'policy/task_state', 'policy/active_instruction', 'robot_description')


class MonitorParameters(BaseModel):
    """Where the monitor shows what it sees, and how much of it."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    save: str = Field('', description='Recording to write (.rrd); empty serves a page instead.')
    host: str = Field('localhost', description='Name by which browsers reach this machine.')
    port: int = Field(9090, ge=1, le=65535, description='Port of the page.')
    data_port: int = Field(9876, ge=1, le=65535, description='Port of what it shows.')
    memory: str = Field('256MiB', pattern=r'^\d+(\.\d+)?(%|[kKMGT]?i?B)$', description='Most that '
                        'is kept for pages that are opened later.')
    rate: float = Field(10.0, ge=1.0, le=50.0, description='How often it looks, Hz.')
    image_transport: Literal['raw', 'compressed'] = Field(
        'raw', description='raw or compressed.')
    stamped_cmd_vel: bool = Field(False, description='cmd_vel is TwistStamped instead of Twist.')
    base_frame: str = Field('base_link', description='Frame of the base in robot_description.')


class MonitorNode(Node):
    """Looks at the newest message of each topic at a fixed rate; hears every word at once."""

    def __init__(self) -> None:
        """Open the page or the recording, then subscribe."""
        super().__init__('monitor')
        settings = Parameters(self, MonitorParameters).value
        # An identity of its own, or two monitors at once would write into one recording.
        self._stream = rr.RecordingStream('vla_nav', recording_id=uuid.uuid4())
        self._open(settings)
        self._entities = Entities(self.get_namespace(), settings.base_frame)
        self._trouble = OnChange()
        self._newest = {topic: Newest(self, kind, topic)
                        for topic, kind in _streams(settings).items()}
        for topic in _SAID:
            self._hear(String, topic, LATCHED)
        self._hear(DiagnosticArray, '/diagnostics', _REPORTS)
        steady_timer(self, 1.0 / settings.rate, self._look)

    def goodbye(self) -> None:
        """Write what is still under way."""
        self._stream.flush()

    def _open(self, settings: MonitorParameters) -> None:
        if settings.save:
            path = Path(settings.save).absolute()
            save(self._stream, path)
            self.get_logger().info(f'writing {path}; see it with: rerun {path}')
            return
        try:
            address = serve(self._stream, settings.port, settings.data_port, settings.memory,
                            settings.host)
        except ValueError as error:
            raise ParameterError(f'monitor: {error}') from error
        self.get_logger().info(f'open {address}')

    def _hear(self, kind: Any, topic: str, qos: QoSProfile) -> None:
        self.create_subscription(kind, topic, lambda message: self._show(topic, message), qos)

    def _look(self) -> None:
        for topic, newest in self._newest.items():
            message = newest.take()
            if message is not None:
                self._show(topic, message)

    def _show(self, topic: str, message: Any) -> None:
        now = now_ns(self)
        self._stream.set_time(TIMELINE, timestamp=now / 1e9)
        try:
            for path, entity in self._entities.of(topic, message, now):
                self._stream.log(path, entity)
        except ValueError as error:  # what cannot be read is left out, and said once
            if self._trouble.changed((topic, str(error))):
                self.get_logger().warning(f'{topic}: {error}')


def _streams(settings: MonitorParameters) -> dict[str, Any]:
    """Return the topics of which the newest message counts, and their types."""
    compressed = settings.image_transport == 'compressed'
    return {
        'camera/camera_info': CameraInfo,
        **({'camera/image_raw/compressed': CompressedImage} if compressed
           else {'camera/image_raw': Image}),
        'detector/boxes': String,
        **({'detections': Detection2DArray} if Detection2DArray else {}),
        'obstacles': PointCloud2, 'odom': Odometry, 'policy/action_chunk': PathMessage,
        'cmd_vel_policy': TwistStamped,
        'cmd_vel_teleop': Twist, 'cmd_vel': TwistStamped if settings.stamped_cmd_vel else Twist,
    }


def main(arguments: list[str] | None = None) -> None:
    """Run the monitor."""
    run(MonitorNode, arguments)


if __name__ == '__main__':
    main()
