"""The moments of a replay at which the policy differs most from what was driven."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import PolicySpec
from vla_nav.episodes.bag_reader import Recording
from vla_nav.episodes.bag_streams import TYPES
from vla_nav.observations.messages import frame_from_message, stamp_of
from vla_nav.replay import figures, plots
from vla_nav.replay.looking import Looking
from vla_nav.replay.run import Replayed
from vla_nav.replay.topics import Roles

# No larger than the page shows it.
_HEIGHT, _WIDTH = 240, 320


def worst_moments(found: Replayed, compared: figures.Compared, spec: PolicySpec,
                  recording: Recording, roles: Roles, arrival_stamps: bool,
                  looking: Looking | None = None) -> list[dict[str, Any]]:
    """Return the worst moments, their pictures read from the bag once more.

    ``looking`` draws its boxes into them.
    """
    if not len(compared.rows):
        return []
    scale = np.maximum(np.abs(spec.action_space.low), np.abs(spec.action_space.high))
    chosen = []
    for index in figures.worst(compared, scale):
        row, wanted = compared.rows[index], compared.wanted[index]
        message = _picture(recording, roles, int(row['arrival']),
                           None if arrival_stamps else int(row['stamp']))
        if message is None:
            continue
        image = _shown(message, looking)
        chosen.append({
            'at_s': round((int(row['arrival']) - found.began_ns) / 1e9, 3),
            'stamp_ns': int(row['stamp']), 'text': found.texts[row['text']],
            'driven': [round(float(value), 4) for value in wanted],
            'policy': [round(float(value), 4) for value in row['chunk'][0]],
            'picture': plots.moment(image, row, figures.driven_after(compared, index, spec), spec),
        })
    return chosen


def _shown(message: Any, looking: Looking | None) -> NDArray[np.uint8]:
    if looking is not None:
        return looking.draw(message)
    return frame_from_message(message, 'numpy', _HEIGHT, _WIDTH).image


def _picture(recording: Recording, roles: Roles, arrival_ns: int, stamp_ns: int | None) -> Any:
    for recorded in recording.messages([roles.picture], arrival_ns, arrival_ns + 1):
        message = TYPES.deserialize_cdr(recorded.raw, recorded.topic.kind)
        if stamp_ns is None or stamp_of(message) == stamp_ns:
            return message
    return None
