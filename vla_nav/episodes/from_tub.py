"""Turn a donkeycar tub into episodes: steering and throttle become SI velocities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vla_nav.episodes.schema import Episode, JpegPictures
from vla_nav.episodes.tub import TubRecord, read_tub
from vla_nav.spaces import DIFFERENTIAL_2D, ActionSpace

_GAP_NS = 1_000_000_000


def episodes_from_tub(path: Path, instruction: str, rate_hz: float | None = None,
                      longest: int = 200, space: ActionSpace = DIFFERENTIAL_2D
                      ) -> Iterator[Episode]:
    """Yield a tub's episodes, split at gaps over 1 s, where time goes back, and at ``longest``.

    Full throttle becomes ``space``'s linear_x limit, full steering its angular_z limit, turning
    to the right being negative (REP 103). A tub does not tell its car's true limits.
    """
    run: list[TubRecord] = []
    for record in read_tub(path, rate_hz):
        if run and (len(run) == longest
                    or not 0 < record.stamp_ns - run[-1].stamp_ns <= _GAP_NS):
            yield _episode(run, instruction, space)
            run = []
        run.append(record)
    if run:
        yield _episode(run, instruction, space)


def _episode(run: Sequence[TubRecord], instruction: str, space: ActionSpace) -> Episode:
    columns = {'linear_x': [r.throttle for r in run], 'angular_z': [-r.steering for r in run]}
    return Episode(
        images=JpegPictures([r.jpeg for r in run]),
        actions=space.denormalise(np.stack([columns[name] for name in space.names], axis=1)),
        stamps_ns=np.asarray([r.stamp_ns for r in run], np.int64),
        instruction=instruction,
        action_names=space.names,
        embodiment='donkeycar',
        scenario='tub',
    )
