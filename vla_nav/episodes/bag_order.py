"""Messages as a bag has them, in order of time also where it has no index that gives it."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Generator, Iterable, Iterator
from typing import Any

from rosbags.rosbag2 import Reader
from rosbags.rosbag2.reader import DirectoryReader
from rosbags.rosbag2.storage_mcap import McapReader

# Recorders write in the order of their callbacks, and queues are emptied well within this.
_WINDOW_NS = 1_000_000_000

Message = tuple[Any, int, bytes]


def in_order(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield (connection, arrival in ns, content) in order of arrival.

    What comes out of order by more than a second is passed on as it comes. Where ``messages``
    raises, what has been read by then comes first.
    """
    waiting: list[tuple[int, int, Any, bytes]] = []
    newest_ns, broken = 0, None
    try:
        # The number keeps what arrived at the same time in the order in which it was written.
        for number, (connection, arrival_ns, raw) in enumerate(messages):
            heapq.heappush(waiting, (arrival_ns, number, connection, raw))
            newest_ns = max(newest_ns, arrival_ns)
            while waiting[0][0] <= newest_ns - _WINDOW_NS:
                yield _first(waiting)
    except Exception as error:  # whatever a damaged file leads to
        broken = error
    while waiting:
        yield _first(waiting)
    if broken is not None:
        raise broken


def _first(waiting: list[tuple[int, int, Any, bytes]]) -> Message:
    arrival_ns, _, connection, raw = heapq.heappop(waiting)
    return connection, arrival_ns, raw


class _Mcap(McapReader):
    """An MCAP file; one without an index may hold its messages in any order, and often does."""

    def messages(self, connections: Collection[Any], start: int | None = None,
                 stop: int | None = None) -> Generator[Message, None, None]:
        if self.chunks:
            yield from super().messages(connections, start, stop)
        else:
            yield from in_order(self.messages_scan(connections, start, stop))


class _Directory(DirectoryReader):
    STORAGE_PLUGINS = {**DirectoryReader.STORAGE_PLUGINS, 'mcap': _Mcap}

    def open(self) -> None:
        super().open()
        if self.metadata.compression_mode == 'message':
            # Here one damaged message would be the end of all that follow.
            self.metadata = self.metadata._replace(compression_mode=None)


class OrderedReader(Reader):
    """A rosbags reader that also reads MCAP files whose messages are out of order.

    Messages that are compressed one by one come as they are.
    """

    STORAGE_PLUGINS = {**Reader.STORAGE_PLUGINS, 'dir': _Directory, '.mcap': _Mcap}
