"""An MCAP bag of serialised messages, readable by ``ros2 bag`` and by rosbags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore


class Bag:
    """Writes messages as they come, without decoding them."""

    def __init__(self, path: Path) -> None:
        """Create the bag, a directory that must not exist yet."""
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections: dict[str, Any] = {}

    def add(self, topic: str, type_name: str, message: bytes, time_ns: int) -> None:
        """Add one CDR message, of ``std_msgs/msg/String`` say, received at ``time_ns``."""
        connection = self._connections.get(topic)
        if connection is None:
            connection = self._connections[topic] = self._writer.add_connection(
                topic, type_name, typestore=self._types)
        self._writer.write(connection, time_ns, message)

    def keep(self, key: str, value: str) -> None:
        """Keep a text with the bag (``custom_data`` of its ``metadata.yaml``)."""
        self._writer.set_custom_data(key, value)

    def close(self) -> None:
        """Write what is pending and the index."""
        self._writer.close()

    def abort(self) -> None:
        """Let go of the file without an index: the bag is of no use any more."""
        self._writer.abort()
