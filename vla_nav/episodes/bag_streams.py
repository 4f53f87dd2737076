"""Read a ROS 2 bag (sqlite3 or MCAP) into streams of stamped samples, without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.typesys import Stores, get_typestore

from vla_nav.episodes.schema import EpisodeError
from vla_nav.observations.messages import (
    frame_from_message,
    odometry_of,
    stamp_of,
    velocity_of,
)
from vla_nav.observations.translation import Translation

# The messages read here are the same in every ROS 2 release since Humble.
TYPES = get_typestore(Stores.ROS2_JAZZY)
_STAMPED = 'geometry_msgs/msg/TwistStamped'
_IMAGES = {'raw': 'sensor_msgs/msg/Image', 'compressed': 'sensor_msgs/msg/CompressedImage'}


@dataclass
class Streams:
    """What was received while the camera's time went on; a new one begins where it goes back.

    Times are header stamps, or times of arrival where a message has none, in nanoseconds; of
    pictures what the translation's ``stamp_source`` says. ``repeated`` pictures had the stamp of
    the one before and are left out.
    """

    pictures: list[tuple[int, int]] = field(default_factory=list)  # (stamp, arrival)
    jpeg: list[bytes] = field(default_factory=list)  # empty for raw pictures
    commands: list[tuple[int, tuple[float, float, float]]] = field(default_factory=list)
    odometry: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    instructions: list[tuple[int, str]] = field(default_factory=list)  # (arrival, text)
    repeated: int = 0


class RawPictures:
    """Raw pictures that are read from the open bag one by one: a minute of them fills memory."""

    def __init__(self, reader: Reader, connections: list[Any], arrivals: list[int],
                 stamps: list[int], by_arrival: bool, source: str) -> None:
        self._reader, self._connections, self._by_arrival = reader, connections, by_arrival
        self._arrivals, self._stamps, self._source = arrivals, stamps, source

    def __len__(self) -> int:
        return len(self._stamps)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Return picture ``index``; raise EpisodeError where it does not decode."""
        at = self._arrivals[index]
        for connection, _, raw in self._reader.messages(self._connections, at, at + 1):
            message = TYPES.deserialize_cdr(raw, connection.msgtype)
            if self._by_arrival or stamp_of(message) == self._stamps[index]:
                try:
                    return frame_from_message(message, 'numpy').image
                except ValueError as error:
                    raise EpisodeError(self._source, f'images[{index}]', str(error)) from error
        raise EpisodeError(self._source, f'images[{index}]', 'is not in the bag any more')


@dataclass(frozen=True)
class OpenBag:
    """An open bag's streams; ``custom`` is what its recorder kept with it."""

    reader: Reader
    custom: dict[str, str]
    streams: list[Streams]
    images: list[Any]
    by_arrival: bool
    source: str

    def raw_pictures(self, pictures: list[tuple[int, int]]) -> RawPictures:
        """Return raw pictures by their (stamp, arrival)."""
        return RawPictures(self.reader, self.images, [a for _, a in pictures],
                           [s for s, _ in pictures], self.by_arrival, self.source)


@contextmanager
def open_bag(path: Path, translation: Translation) -> Iterator[OpenBag]:
    """Open a bag and read its streams; raise EpisodeError naming bag, topic and remedy."""
    source = str(path)
    try:
        with Reader(path) as reader:
            custom = dict(getattr(reader.storage.metadata, 'custom', None) or {})
            chosen = _choose(reader, translation, source)
            by_arrival = translation.stamp_source == 'arrival'
            streams = _read(reader, chosen, by_arrival)
            _refuse_standing_stamps(streams, chosen['image'][0].topic, source)
            yield OpenBag(reader, custom, streams, chosen['image'], by_arrival, source)
    except (ReaderError, OSError) as error:
        raise EpisodeError(source, 'bag', f'cannot be read: {error}; a recording that was cut off '
                           'can be mended with `ros2 bag reindex` or `mcap recover`') from error


def custom_data(path: Path) -> dict[str, str]:
    """Return what a bag's recorder kept with it; raise EpisodeError where it cannot be read."""
    try:
        with Reader(path) as reader:
            return dict(getattr(reader.storage.metadata, 'custom', None) or {})
    except (ReaderError, OSError) as error:
        raise EpisodeError(path, 'bag', f'cannot be read: {error}') from error


def _choose(reader: Reader, translation: Translation, source: str) -> dict[str, list[Any]]:
    image = translation.image_topic.removesuffix('/compressed')
    transports = (('compressed', 'raw') if translation.image_transport == 'auto'
                  else (translation.image_transport,))
    pictures: list[Any] = []
    for transport in transports:
        topic = f'{image}/compressed' if transport == 'compressed' else image
        pictures = pictures or _named(reader, topic, source, _IMAGES[transport])
    commands = _named(reader, translation.command_topic, source,
                      'geometry_msgs/msg/Twist', _STAMPED)
    for what, found, topic in (('pictures', pictures, image),
                               ('commands', commands, translation.command_topic)):
        if not found:
            there = ', '.join(sorted(f'{c.topic} ({c.msgtype})' for c in reader.connections))
            raise EpisodeError(source, topic, f'no {what} on this topic; the bag holds {there}; '
                               'name the topic to read')
    return {'image': pictures, 'command': commands,
            'odometry': _named(reader, translation.odometry_topic, source,
                               'nav_msgs/msg/Odometry'),
            'instruction': _named(reader, translation.instruction_topic, source,
                                  'std_msgs/msg/String')}


def _named(reader: Reader, topic: str, source: str, *kinds: str) -> list[Any]:
    """Return the connections of a topic in whatever namespace, where they hold messages."""
    name = topic.strip('/')
    found = [c for c in reader.connections if c.msgcount and c.msgtype in kinds
             and (c.topic.strip('/') == name or c.topic.endswith(f'/{name}'))]
    topics = sorted({c.topic for c in found})
    if len(topics) > 1:
        raise EpisodeError(source, topic, f'is ambiguous: {", ".join(topics)}; name one of them '
                           'with its namespace')
    return found


def _refuse_standing_stamps(streams: list[Streams], topic: str, source: str) -> None:
    """Raise EpisodeError where all pictures of the bag carry one and the same stamp."""
    stamps = {stamp for one in streams for stamp, _ in one.pictures}
    count = sum(len(one.pictures) + one.repeated for one in streams)
    if count > 1 and len(stamps) == 1:
        what = ('no header stamp (it is 0)' if stamps == {0} else
                f'the same header stamp, {stamps.pop()} ns')
        raise EpisodeError(source, topic, f'all {count} pictures carry {what}: take the time of '
                           'arrival, as the nodes do with stamp_source: arrival '
                           '(--stamp-source arrival)')


def _read(reader: Reader, chosen: dict[str, list[Any]], by_arrival: bool) -> list[Streams]:
    kind_of = {connection.id: kind for kind, some in chosen.items() for connection in some}
    streams = [Streams()]
    newest = -1
    for connection, arrival, raw in reader.messages([c for some in chosen.values() for c in some]):
        message: Any = TYPES.deserialize_cdr(raw, connection.msgtype)
        kind, now = kind_of[connection.id], streams[-1]
        if kind == 'image':
            stamp = arrival if by_arrival else stamp_of(message)
            if stamp == newest:
                now.repeated += 1
                continue
            if stamp < newest:  # a restarted simulator, a looped video
                text = now.instructions[-1:]
                streams.append(now := Streams(instructions=[(arrival, t) for _, t in text]))
            newest = stamp
            now.pictures.append((stamp, arrival))
            if hasattr(message, 'format'):
                now.jpeg.append(bytes(message.data))
        elif kind == 'command':
            stamp = stamp_of(message) if connection.msgtype == _STAMPED else 0
            now.commands.append((stamp or arrival, velocity_of(message)))
        elif kind == 'odometry':
            now.odometry.append((stamp_of(message) or arrival, odometry_of(message)))
        else:
            now.instructions.append((arrival, str(message.data)))
    for one in streams:
        one.commands.sort(key=lambda sample: sample[0])
        one.odometry.sort(key=lambda sample: sample[0])
    return streams
