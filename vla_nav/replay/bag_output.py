"""The predictions as an MCAP bag, beside what was recorded: for RViz, Foxglove or Rerun."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

from vla_nav.contracts import ActionChunk
from vla_nav.control.chunk_poses import chunk_poses
from vla_nav.control.diagnostics import OnChange
from vla_nav.control.guard import Decision
from vla_nav.control.limits import Velocity
from vla_nav.episodes.bag_reader import Recorded
from vla_nav.episodes.bag_streams import TYPES
from vla_nav.observations.clouds import cloud_fields
from vla_nav.replay.topics import PREFIX
from vla_nav.spaces import ActionSpace

Content = Literal['full', 'predictions', 'none']


class BagOutput:
    """Writes what the nodes would have published, under ``/replay``, and copies the recording.

    ``skipped`` names the topics that could not be copied, for want of their type's definition.
    """

    def __init__(self, path: Path, content: Content, space: ActionSpace, frame: str) -> None:
        """Create the bag, a directory that must not exist yet; 'none' writes nothing.

        Raises ValueError where it exists.
        """
        self._copying = content == 'full'
        self._writer = None if content == 'none' else _opened(path)
        self._space, self._frame = space, frame
        self._connections: dict[Any, Any] = {}
        self._guard = OnChange()
        self.skipped: set[str] = set()

    def close(self) -> None:
        """Write what is pending and the index."""
        if self._writer is not None:
            self._writer.close()

    def copy(self, recorded: Recorded) -> None:
        """Copy a recorded message as it is."""
        topic = recorded.topic
        if (self._writer is None or not self._copying or topic.name in self.skipped
                or topic.name.startswith(PREFIX)):
            return
        if topic not in self._connections:
            definition = ({'msgdef': topic.definition, 'rihs01': topic.digest}
                          if topic.definition and topic.digest else {'typestore': TYPES})
            try:
                self._connections[topic] = self._writer.add_connection(
                    topic.name, topic.kind, offered_qos_profiles=topic.qos, **definition)
            except KeyError:  # a type of its own, and a bag that does not define it
                self.skipped.add(topic.name)
                return
        self._writer.write(self._connections[topic], recorded.arrival_ns, recorded.raw)

    def proposed(self, now_ns: int, velocity: Velocity, stamp_ns: int) -> None:
        """Write ``cmd_vel_policy``, stamped with its picture."""
        self._twist('cmd_vel_policy', now_ns, velocity, stamp_ns)

    def decided(self, now_ns: int, decision: Decision) -> None:
        """Write ``cmd_vel``, stamped as it would be sent, and the guard's state on change."""
        self._twist('cmd_vel', now_ns, decision.velocity, now_ns)
        if self._guard.changed(decision.why):
            self._text('guard/state', now_ns, decision.why)

    def state(self, now_ns: int, state: str) -> None:
        """Write the task's state."""
        self._text('policy/task_state', now_ns, state)

    def planned(self, now_ns: int, chunk: ActionChunk) -> None:
        """Write where a chunk leads."""
        if self._writer is None:
            return
        poses = []
        for row, (x, y, yaw) in enumerate(chunk_poses(chunk, self._space), start=1):
            stamp = chunk.stamp_ns + row * chunk.step_ns
            poses.append(_make(
                'geometry_msgs/msg/PoseStamped', header=self._header(stamp),
                pose=_make('geometry_msgs/msg/Pose',
                           position=_make('geometry_msgs/msg/Point', x=x, y=y, z=0.0),
                           orientation=_make('geometry_msgs/msg/Quaternion', x=0.0, y=0.0,
                                             z=float(np.sin(yaw / 2)),
                                             w=float(np.cos(yaw / 2))))))
        self._write('policy/action_chunk', now_ns, _make(
            'nav_msgs/msg/Path', header=self._header(chunk.stamp_ns), poses=poses))

    def found(self, now_ns: int, boxes: str) -> None:
        """Write what the detector publishes on ``detector/boxes``."""
        self._text('detector/boxes', now_ns, boxes)

    def seen(self, now_ns: int, points: NDArray[np.float64], stamp_ns: int) -> None:
        """Write ``obstacles``."""
        if self._writer is None:
            return
        layout = cloud_fields(points)
        fields = [_make('sensor_msgs/msg/PointField', name=name, offset=offset,
                        datatype=datatype, count=1)
                  for name, offset, datatype in layout.pop('fields')]
        data = np.frombuffer(layout.pop('data'), np.uint8)
        self._write('obstacles', now_ns, _make(
            'sensor_msgs/msg/PointCloud2', header=self._header(stamp_ns), fields=fields,
            data=data, **layout))

    def _twist(self, name: str, now_ns: int, velocity: Velocity, stamp_ns: int) -> None:
        if self._writer is None:
            return
        x, y, turn = map(float, velocity)
        self._write(name, now_ns, _make(
            'geometry_msgs/msg/TwistStamped', header=self._header(stamp_ns),
            twist=_make('geometry_msgs/msg/Twist',
                        linear=_make('geometry_msgs/msg/Vector3', x=x, y=y, z=0.0),
                        angular=_make('geometry_msgs/msg/Vector3', x=0.0, y=0.0, z=turn))))

    def _text(self, name: str, now_ns: int, text: str) -> None:
        self._write(name, now_ns, _make('std_msgs/msg/String', data=text))

    def _write(self, name: str, now_ns: int, message: Any) -> None:
        if self._writer is None:
            return
        kind, topic = message.__msgtype__, f'{PREFIX}{name}'
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(topic, kind, typestore=TYPES)
        self._writer.write(self._connections[topic], now_ns, TYPES.serialize_cdr(message, kind))

    def _header(self, stamp_ns: int) -> Any:
        stamp = _make('builtin_interfaces/msg/Time', sec=stamp_ns // 10**9,
                      nanosec=stamp_ns % 10**9)
        return _make('std_msgs/msg/Header', stamp=stamp, frame_id=self._frame)


def _opened(path: Path) -> Writer:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        writer.open()
    except WriterError as error:
        raise ValueError(f'{path}: {error}; give another --out, or remove it') from error
    return writer


def _make(kind: str, **fields: Any) -> Any:
    return TYPES.types[kind](**fields)
