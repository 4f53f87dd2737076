"""What is left of a bag's storage file that was cut off: whole records, whole database pages."""

from __future__ import annotations

import io
import shutil
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO

from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
)

from vla_nav.episodes.bag_order import in_order
from vla_nav.episodes.schema import EpisodeError

_MAGIC = b'\x89MCAP0\r\n'
_CHUNK, _MESSAGE, _SCHEMA, _CHANNEL, _HEADER = 0x06, 0x05, 0x03, 0x04, 0x01
_CONTENT = (_HEADER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK)
# A footer (MCAP specification 1.0) that says: there is no summary, scan the file.
_FOOTER = b'\x02' + (20).to_bytes(8, 'little') + bytes(20) + _MAGIC


class MendedMcap:
    """An MCAP file without its end, as a path that rosbags reads as far as records are whole."""

    suffix = '.mcap'

    def __init__(self, path: Path) -> None:
        """Find the last whole record; raise OSError where the file cannot be read."""
        self._path, self._end = path, _end_of_records(path)

    def __str__(self) -> str:
        return str(self._path)

    def exists(self) -> bool:
        """Return whether the file is there."""
        return self._path.exists()

    def is_dir(self) -> bool:
        """Return False: this is a file."""
        return False

    def open(self, mode: str = 'rb') -> BinaryIO:
        """Open the whole records, followed by a footer."""
        return io.BufferedReader(_Spliced(self._path.open(mode), self._end))


class _Spliced(io.RawIOBase):
    """The first ``end`` bytes of a file, then a footer."""

    def __init__(self, file: Any, end: int) -> None:
        self._file, self._end, self._at = file, end, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._end + len(_FOOTER))[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at < self._end:
            self._file.seek(self._at)
            piece = self._file.read(min(len(buffer), self._end - self._at))
        else:
            piece = _FOOTER[self._at - self._end:][:len(buffer)]
        buffer[:len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()


def _end_of_records(path: Path) -> int:
    """Return the offset after the last whole record that holds data."""
    size, at = path.stat().st_size, len(_MAGIC)
    end = at
    with path.open('rb') as file:
        while at + 9 <= size:
            file.seek(at)
            head = file.read(9)
            at += 9 + int.from_bytes(head[1:], 'little')
            if at > size or not head[0]:
                break
            if head[0] in _CONTENT:
                end = at
    return end


def journal_of(file: Path) -> Path | None:
    """Return the journal of a sqlite3 bag that was not closed; None where nothing lies in it.

    rosbag2 keeps one with its preset ``resilient``: what was written last is there only.
    """
    journal = file.with_name(f'{file.name}-wal')
    return journal if journal.is_file() and journal.stat().st_size else None


def with_journal(file: Path, journal: Path, folder: Path) -> Path:
    """Write a sqlite3 bag with what lies in its journal below ``folder``; return where.

    SQLite would write beside the file, where the journal lies. Raises EpisodeError where there is
    no room, and sqlite3.Error where the two do not belong together.
    """
    copy = folder / file.name
    try:
        shutil.copyfile(file, copy)
        shutil.copyfile(journal, journal_path := folder / journal.name)
    except OSError as error:
        raise EpisodeError(file, 'bag', f'cannot be copied, to read {journal.name} too: {error}; '
                           'TMPDIR names a folder with more room') from error
    with closing(sqlite3.connect(copy)) as database:
        # Without a journal it is read as any other file.
        database.execute('PRAGMA journal_mode=DELETE').fetchone()
    if journal_path.exists():
        raise sqlite3.DatabaseError(f'{journal.name} cannot be read')
    return copy


class CutOffSqlite:
    """A sqlite3 bag without its end; has what is used of a rosbags storage reader."""

    def __init__(self, path: Path) -> None:
        """Read the topics; raise sqlite3.Error where not even these are left."""
        self._database = sqlite3.connect(f'file:{path}?immutable=1', uri=True)
        # Lets SQLite open a file that is shorter than its header says.
        self._database.execute('PRAGMA writable_schema=ON')
        counts = self._counts()
        self.connections = [
            Connection(number, topic, kind, MessageDefinition(MessageDefinitionFormat.NONE, ''),
                       '', counts[number], ConnectionExtRosbag2('cdr', []), self)
            for number, topic, kind in self._database.execute(
                'SELECT id, name, type FROM topics ORDER BY id')]

    def _counts(self) -> Counter[int]:
        """Return how many messages of each topic there are, up to the first missing page.

        Large messages lie in pages of their own, which this does not read.
        """
        counts = Counter[int]()
        with suppress(sqlite3.Error):
            for number, in self._database.execute('SELECT topic_id FROM messages ORDER BY id'):
                counts[number] += 1
        return counts

    def messages(self, connections: Collection[Connection], start: int | None = None,
                 stop: int | None = None) -> Iterator[tuple[Connection, int, bytes]]:
        """Yield messages in order of arrival, up to the first page that is missing."""
        wanted = {connection.id: connection for connection in connections}
        # Not in the order of the index of times, of which pages may be missing too.
        yield from in_order(
            (wanted[number], arrival, raw) for number, arrival, raw in self._database.execute(
                'SELECT topic_id, timestamp, data FROM messages ORDER BY id')
            if number in wanted and (start or 0) <= arrival and (stop is None or arrival < stop))

    def close(self) -> None:
        """Close the file."""
        self._database.close()
