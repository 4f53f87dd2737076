"""Windows over time: which pictures a policy sees in turn, and what it should drive then.

Everything is found by stamps, so that a camera of any rate, and one that drops pictures, gives
windows of the same duration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_nav.episodes.timing import nearest
from vla_nav.training.family.recordings import Recording

# A picture stands for a time that is at most this share of the wider of step and gap away:
# half, and a little for the jitter of the camera.
_TOLERANCE = 0.55


@dataclass(frozen=True)
class Shape:
    """A window of ``window`` steps, each with a chunk of ``chunk`` steps, ``step_ns`` apart."""

    window: int
    chunk: int
    step_ns: int


@dataclass(frozen=True)
class Track:
    """One recording seen at the policy's rate: what each picture's label rows are.

    ``rows`` int64 [N, K] are the pictures whose action is due k steps after picture n, and
    ``due`` bool [N, K] where there is one: not behind the end, nor in a gap.
    """

    stamps_ns: NDArray[np.int64]
    rows: NDArray[np.int64]
    due: NDArray[np.bool_]
    shape: Shape
    tolerance_ns: float

    @classmethod
    def of(cls, recording: Recording, shape: Shape) -> Track:
        """Find the labels of every picture of a recording."""
        stamps = recording.stamps_ns
        tolerance = _TOLERANCE * max(shape.step_ns, recording.gap_ns)
        wanted = stamps[:, None] + shape.step_ns * np.arange(shape.chunk)
        rows, due = nearest(stamps, wanted, tolerance)
        # What comes after a gap does not belong to the drive before it.
        return cls(stamps, rows, np.logical_and.accumulate(due, axis=1), shape, tolerance)

    def window(self, first: int, length: int | None = None
               ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return pictures int64 [T] one step apart from picture ``first`` on, and which count.

        The window ends at the recording's end or at a gap; what is behind repeats the last
        picture and does not count. So a memory never runs over padding before what counts.
        """
        count = length or self.shape.window
        wanted = self.stamps_ns[first] + self.shape.step_ns * np.arange(count)
        pictures, there = nearest(self.stamps_ns, wanted, self.tolerance_ns)
        there = np.logical_and.accumulate(there)
        return np.where(there, pictures, pictures[int(there.sum()) - 1]), there

    def starts(self, stride: int, shift: float) -> NDArray[np.int64]:
        """Return the first pictures of windows ``stride`` steps apart.

        The first window begins with the recording, since a policy's memory does; the others are
        moved by ``shift`` in [0, 1) of a stride. How many there are does not depend on it.
        """
        span = stride * self.shape.step_ns
        count = 1 + int((self.stamps_ns[-1] - self.stamps_ns[0]) // span)
        later = self.stamps_ns[0] + span * (np.arange(count - 1) + shift)
        return np.concatenate([[0], nearest(self.stamps_ns, later, np.inf)[0]])

    def segments(self) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        """Return the whole recording as windows that follow on each other, for one memory."""
        steps = 1 + round((self.stamps_ns[-1] - self.stamps_ns[0]) / self.shape.step_ns)
        wanted = self.stamps_ns[0] + self.shape.step_ns * np.arange(
            -(-steps // self.shape.window) * self.shape.window)
        pictures, there = nearest(self.stamps_ns, wanted, self.tolerance_ns)
        return [(pictures[i:i + self.shape.window], there[i:i + self.shape.window])
                for i in range(0, len(wanted), self.shape.window)]
