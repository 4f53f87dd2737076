"""Turn a donkeycar tub into a ROS 2 bag, as if a robot had recorded it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from vla_nav.episodes.schema import EpisodeError
from vla_nav.episodes.tub import TubRecord, read_tub
from vla_nav.recording.robot_bag import RobotBag
from vla_nav.recording.take import METADATA_KEY
from vla_nav.spaces import DIFFERENTIAL_2D, ActionSpace


def bag_from_tub(path: Path, out: Path, instruction: str, rate_hz: float | None = None,
                 space: ActionSpace = DIFFERENTIAL_2D) -> Iterator[TubRecord]:
    """Write the bag ``out`` and yield each record written; the JPEG pictures stay as they are.

    Full throttle becomes ``space``'s linear_x limit and full steering its angular_z limit, as in
    :func:`vla_nav.episodes.from_tub.episodes_from_tub`. A command is stamped with its picture,
    since a tub keeps the two as one record.
    """
    if out.exists():
        raise EpisodeError(out, 'bag', 'exists already; give another name, or remove it')
    out.parent.mkdir(parents=True, exist_ok=True)
    bag, begun = RobotBag(out), False
    try:
        for record in read_tub(path, rate_hz):
            if not begun:
                bag.instruction(instruction, record.stamp_ns)
                begun = True
            _write(bag, record, space)
            yield record
        # What a reader of the bag needs to know; see vla_nav.episodes.from_bag.
        bag.keep(METADATA_KEY, json.dumps({
            'instruction': instruction, 'embodiment': 'donkeycar', 'scenario': 'tub',
            'translation': {'command_lead': 0.0, 'action_names': list(space.names)}}))
    finally:
        bag.close()


def _write(bag: RobotBag, record: TubRecord, space: ActionSpace) -> None:
    bag.picture(record.jpeg, record.stamp_ns)
    # Donkeycar steers + to the right; a turn is + to the left (REP 103).
    normalised = {'linear_x': record.throttle, 'angular_z': -record.steering}
    bag.command(space.to_twist(space.denormalise([normalised[name] for name in space.names])),
                record.stamp_ns)
