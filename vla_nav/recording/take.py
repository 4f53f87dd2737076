"""One take: raw messages into a bag that is kept with its audit, or thrown away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from vla_nav.recording.audit import TopicAudit, audit
from vla_nav.recording.bag import Bag

# Kept under this key in the bag; vla_nav.episodes.from_bag reads it.
METADATA_KEY = 'vla_nav'
# Of a take that is thrown away a line is left here: a count that forgets some tells nothing.
DISCARDED = 'discarded.jsonl'
UNFINISHED = '.unfinished'


class Take:
    """Being recorded in a hidden folder until it is kept; times in nanoseconds of ROS time.

    Every method may raise OSError: no space, no permission.
    """

    def __init__(self, directory: Path, started: datetime, began_ns: int,
                 needed: Sequence[str]) -> None:
        """Begin a take named after ``started``; ``needed`` topics are expected throughout."""
        name = _free_name(directory, started.strftime('%Y-%m-%d_%H-%M-%S'))
        self._unfinished = directory / UNFINISHED / name
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self.path = directory / name
        self._unfinished.parent.mkdir(parents=True, exist_ok=True)
        self._bag = Bag(self._unfinished)
        self._began_ns, self._needed = began_ns, tuple(needed)
        self._arrivals: dict[str, list[int]] = {}

    @property
    def messages(self) -> int:
        """Return the number of messages so far."""
        return sum(map(len, self._arrivals.values()))

    def add(self, topic: str, type_name: str, message: bytes, time_ns: int) -> None:
        """Add one serialised message as it arrived."""
        self._bag.add(topic, type_name, message, time_ns)
        self._arrivals.setdefault(topic, []).append(time_ns)

    def keep(self, kept: Mapping[str, Any], ended_ns: int) -> list[TopicAudit]:
        """Finish the bag with ``kept`` and the audit in its metadata, and return the audit."""
        found = audit(self._arrivals, self._needed, self._began_ns, ended_ns)
        topics = [one.to_dict() for one in found]
        self._bag.keep(METADATA_KEY, json.dumps({**kept, 'audit': topics}, ensure_ascii=False))
        self._bag.close()
        (self._unfinished / 'audit.json').write_text(json.dumps(topics, indent=1) + '\n', 'utf-8')
        self._unfinished.rename(self.path)
        return found

    def discard(self, kept: Mapping[str, Any]) -> None:
        """Throw the messages away, and note with ``kept`` that there was a take."""
        self._bag.abort()
        shutil.rmtree(self._unfinished, ignore_errors=True)
        line = json.dumps({'take': self.path.name, **kept}, ensure_ascii=False)
        with (self.path.parent / DISCARDED).open('a', encoding='utf-8') as file:
            file.write(f'{line}\n')


def _free_name(directory: Path, name: str) -> str:
    numbered = (name if number == 1 else f'{name}_{number}' for number in range(1, 1000))
    return next(free for free in numbered if not (directory / free).exists())
