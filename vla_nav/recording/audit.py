"""What a recording holds: messages of each topic, their rate, and where something is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# A gap of twice the usual one has lost at least one message.
_GAP_FACTOR = 2.0
# So long without a picture or a command, and the robot would have stopped.
LONGEST_SILENCE_S = 0.5


@dataclass(frozen=True)
class TopicAudit:
    """One topic of a recording; times in seconds, the rate from the median distance.

    ``longest_silence_s`` also counts from the start to the first message and from the last one
    to the end. ``gaps`` are the distances over twice the median.
    """

    topic: str
    messages: int
    rate_hz: float | None
    gaps: int
    longest_silence_s: float
    needed: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the form kept with the recording."""
        return asdict(self)

    @property
    def complaint(self) -> str:
        """Return what is wrong with a needed topic, or ''."""
        if not self.needed:
            return ''
        if not self.messages:
            return f'{self.topic}: no messages'
        if self.longest_silence_s > LONGEST_SILENCE_S:
            return f'{self.topic}: silent for {self.longest_silence_s:.2f} s'
        return ''


def audit(arrivals: Mapping[str, Sequence[int]], needed: Sequence[str], began_ns: int,
          ended_ns: int) -> list[TopicAudit]:
    """Audit arrival times in nanoseconds by topic; ``needed`` topics are expected throughout."""
    return [_one(topic, arrivals.get(topic, ()), topic in needed, began_ns, ended_ns)
            for topic in sorted({*arrivals, *needed})]


def _one(topic: str, times: Sequence[int], needed: bool, began_ns: int,
         ended_ns: int) -> TopicAudit:
    between = np.diff(np.asarray(times, np.float64))
    usual = float(np.median(between)) if len(between) else 0.0
    silences = np.diff(np.asarray([began_ns, *times, ended_ns], np.int64))
    return TopicAudit(
        topic, len(times), round(1e9 / usual, 2) if usual > 0 else None,
        int((between > _GAP_FACTOR * usual).sum()) if usual > 0 else 0,
        round(float(silences.max()) / 1e9, 3), needed)
