"""A ROS 2 bag (sqlite3 or MCAP) message by message, also what is left of a damaged one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import yaml
from rosbags.interfaces import Qos

from vla_nav.episodes.bag_folders import METADATA, PACKED, storage_files
from vla_nav.episodes.bag_order import OrderedReader
from vla_nav.episodes.bag_packing import unpack_file, unpack_message
from vla_nav.episodes.bag_salvage import CutOffSqlite, MendedMcap, journal_of, with_journal
from vla_nav.episodes.schema import EpisodeError


@dataclass(frozen=True)
class Topic:
    """A topic and its type, the type's definition as the bag has it, and how often it came.

    ``qos`` are the publishers' profiles, by which a player publishes it again.
    """

    name: str
    kind: str
    messages: int
    definition: str = ''
    digest: str = ''
    qos: tuple[Qos, ...] = ()


class Recorded(NamedTuple):
    """One serialised message and the time at which it arrived, in nanoseconds."""

    topic: Topic
    arrival_ns: int
    raw: bytes


class Recording:
    """An open bag, message by message."""

    def __init__(self, sources: list[Any], custom: dict[str, str], problems: list[str]) -> None:
        self.custom, self._problems = custom, problems
        self._sources = sources
        # By topic; a second pass meets the same ones again.
        self._damaged: dict[str, set[int]] = {}
        counts: dict[tuple[str, str], list[Any]] = {}
        for source in sources:
            for one in source.connections:
                counts.setdefault((one.topic, one.msgtype), []).append(one)
        self._topics = {
            key: Topic(*key, sum(one.msgcount for one in some),
                       next((one.msgdef.data for one in some if one.msgdef.data), ''),
                       next((one.digest for one in some if one.digest), ''),
                       tuple(dict.fromkeys(qos for one in some
                                           for qos in one.ext.offered_qos_profiles)))
            for key, some in counts.items()}
        self.topics = tuple(self._topics.values())

    @property
    def problems(self) -> list[str]:
        """Return what was found wrong with the bag so far, for a person to read."""
        return [*self._problems, *(
            f'{topic}: {len(arrivals)} compressed messages are damaged, and left out'
            for topic, arrivals in self._damaged.items())]

    def messages(self, only: Collection[Topic] | None = None, start_ns: int | None = None,
                 stop_ns: int | None = None) -> Iterator[Recorded]:
        """Yield messages in order of arrival, file by file, from start to before stop.

        What a damaged file cannot give any more is told in ``problems``.
        """
        for source in self._sources:
            chosen = [one for one in source.connections
                      if only is None or self._topics[one.topic, one.msgtype] in only]
            if not chosen:
                continue
            try:
                for one, arrival, packed in source.messages(chosen, start_ns, stop_ns):
                    raw = unpack_message(bytes(packed))
                    if raw is None:
                        self._damaged.setdefault(one.topic, set()).add(arrival)
                    else:
                        yield Recorded(self._topics[one.topic, one.msgtype], arrival, raw)
            # A damaged file raises whatever its damage leads to, of many unrelated types.
            except Exception as error:
                self._note(f'the recording breaks off: {str(error) or repr(error)}')

    def _note(self, problem: str) -> None:
        if problem not in self._problems:
            self._problems.append(problem)


@contextmanager
def open_recording(path: Path) -> Iterator[Recording]:
    """Open a bag, its directory or one storage file; raise EpisodeError where nothing is left."""
    if not path.exists():
        raise EpisodeError(path, 'bag', 'no such bag; give the directory that holds '
                           f'{METADATA}, or one .mcap or .db3 file, compressed or not')
    problems: list[str] = []
    with ExitStack() as stack:
        # rosbags unpacks what is compressed as a whole only where the metadata says so.
        # And what lies in a journal it does not see.
        journals = [file.name for file in storage_files(path) if journal_of(file)]
        whole = (None if journals or (path.is_file() and path.suffix == PACKED)
                 else _opened(lambda: OrderedReader(path), stack, problems))
        if whole is not None:
            custom = dict(getattr(whole.storage.metadata, 'custom', None) or {})
            yield Recording([whole], custom, problems)
            return
        files = sorted(storage_files(path), key=_natural)
        if path.is_dir() and not (path / METADATA).exists():
            problems[:] = [f'{METADATA} is missing; the {len(files)} storage files are read']
        parts = [part for file in files if (part := _part(file, stack, problems)) is not None]
        if not any(part.connections for part in parts):
            raise EpisodeError(path, 'bag', f'nothing can be read: {"; ".join(problems)}')
        yield Recording(parts, _custom(path), problems)


def _part(file: Path, stack: ExitStack, problems: list[str]) -> Any:
    """Open one storage file, mended where it was cut off; None where nothing is left."""
    name, ignored = file.name, list[str]()
    if file.suffix == PACKED:
        file = unpack_file(file, Path(stack.enter_context(TemporaryDirectory())))
    if journal := journal_of(file):
        try:
            file = with_journal(file, journal, Path(stack.enter_context(TemporaryDirectory())))
            problems += [f'{name} was not closed; {journal.name} is read too']
        except sqlite3.Error as error:
            problems += [f'{name} is read without {journal.name}: {error}']
    part = _opened(lambda: OrderedReader(file), stack, ignored)
    if part is None:
        problems += [f'{name} was cut off or is damaged; what is whole is read']
        mended: Any = MendedMcap if file.suffix == '.mcap' else None
        part = _opened(lambda: OrderedReader(mended(file)) if mended else CutOffSqlite(file),
                       stack, problems)
    return part


def _opened(make: Callable[[], Any], stack: ExitStack, problems: list[str]) -> Any:
    """Return an open reader that the stack closes, or None and a problem."""
    try:
        reader = make()
        if isinstance(reader, OrderedReader):
            reader.open()
    # As above: rosbags lets through what struct, zstd and SQLite raise.
    except Exception as error:
        problems.append(str(error) or repr(error))
        return None
    stack.callback(reader.close)
    return reader


def _custom(path: Path) -> dict[str, str]:
    """Return what the recorder kept with a bag that is damaged otherwise."""
    try:
        content = yaml.safe_load((path / METADATA).read_text('utf-8'))
        return dict(content['rosbag2_bagfile_information'].get('custom_data') or {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return {}


def _natural(file: Path) -> list[str | int]:
    """Order bag_2 before bag_10."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', file.name)]
