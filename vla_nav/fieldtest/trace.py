"""One take's messages as times and numbers, read once from front to back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vla_nav.episodes.bag_reader import Recorded, Recording, Topic
from vla_nav.episodes.bag_streams import TYPES
from vla_nav.observations.messages import odometry_of, stamp_of, velocity_of
from vla_nav.observations.translation import Translation
from vla_nav.replay.rows import Rows
from vla_nav.replay.topics import COMPRESSED, IMAGE, ODOMETRY, PREFIX, STAMPED, TWIST, is_called

_STRING, _DIAGNOSTICS = 'std_msgs/msg/String', 'diagnostic_msgs/msg/DiagnosticArray'
_NODES = ('guard', 'policy')
_PICTURE, _PLACE = [('at', 'i8'), ('stamp', 'i8')], [('at', 'i8'), ('place', 'f8', 2)]
_COMMAND = [('at', 'i8'), ('stamp', 'i8'), ('velocity', 'f8', 3)]


@dataclass
class Trace:
    """Times of arrival ``at`` and header stamps in nanoseconds; velocities in m/s, m/s, rad/s.

    ``guard``, ``task`` and ``texts`` (instructions) hold what was said, with its time.
    ``reports`` are the diagnostics of guard and policy. ``topics`` names each role's topic, where
    there is one.
    """

    pictures: Rows = field(default_factory=lambda: Rows(_PICTURE))
    proposals: Rows = field(default_factory=lambda: Rows(_COMMAND))
    commands: Rows = field(default_factory=lambda: Rows(_COMMAND))
    odometry: Rows = field(default_factory=lambda: Rows(_PLACE))
    guard: list[tuple[int, str]] = field(default_factory=list)
    task: list[tuple[int, str]] = field(default_factory=list)
    texts: list[tuple[int, str]] = field(default_factory=list)
    reports: list[tuple[int, str, dict[str, str]]] = field(default_factory=list)
    topics: dict[str, str] = field(default_factory=dict)
    complaints: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    began_ns: int = 0
    ended_ns: int = 0

    @property
    def seconds(self) -> float:
        """Return the time from the first message to the last."""
        return (self.ended_ns - self.began_ns) / 1e9


def read_trace(recording: Recording, translation: Translation,
               note: Callable[[], None] = lambda: None) -> Trace:
    """Read a recording; what is damaged or missing is counted in ``complaints``."""
    trace = Trace()
    takers = _takers(trace)
    roles = _roles(recording, translation, trace)
    for recorded in recording.messages():
        trace.began_ns = trace.began_ns or recorded.arrival_ns
        trace.ended_ns = max(trace.ended_ns, recorded.arrival_ns)
        trace.messages += 1
        note()
        role = roles.get(recorded.topic)
        if role is None:
            continue
        try:
            takers[role](recorded, TYPES.deserialize_cdr(recorded.raw, recorded.topic.kind))
        # rosbags raises whatever the damage leads to: struct, index and Unicode errors.
        except Exception as error:
            trace.complaints[f'{recorded.topic.name}: a message is damaged: {error}'] += 1
    return trace


def _roles(recording: Recording, translation: Translation, trace: Trace) -> dict[Topic, str]:
    """Return the role of each topic by its name, a missing one as a complaint."""
    wanted = {
        'pictures': (translation.image_topic, (COMPRESSED, IMAGE)),
        'proposals': ('cmd_vel_policy', (STAMPED,)),
        'commands': (translation.command_topic, (STAMPED, TWIST)),
        'odometry': (translation.odometry_topic, (ODOMETRY,)),
        'guard': ('guard/state', (_STRING,)), 'task': ('policy/task_state', (_STRING,)),
        'texts': (translation.instruction_topic, (_STRING,)),
        'active': ('policy/active_instruction', (_STRING,)),
        'reports': ('diagnostics', (_DIAGNOSTICS,))}
    roles = {}
    for role, (name, kinds) in wanted.items():
        found = [topic for topic in recording.topics if topic.kind in kinds and topic.messages
                 and is_called(topic, name.strip('/')) and not topic.name.startswith(PREFIX)]
        # The compressed form of a picture is what a recorder keeps; it comes first.
        found.sort(key=lambda topic: kinds.index(topic.kind))
        if len({topic.kind for topic in found}) < len(found):
            trace.complaints[f'{name} could be {", ".join(topic.name for topic in found)}: '
                             'none is read'] += 1
        elif found:
            roles[found[0]] = role
            trace.topics[role] = found[0].name
    return roles


def _takers(trace: Trace) -> dict[str, Callable[[Recorded, Any], None]]:
    def command(rows: Rows) -> Callable[[Recorded, Any], None]:
        def take(recorded: Recorded, message: Any) -> None:
            velocity = velocity_of(message)
            if all(map(math.isfinite, velocity)):
                stamp = 0 if recorded.topic.kind == TWIST else stamp_of(message)
                rows.add(recorded.arrival_ns, stamp, velocity)
            else:
                trace.complaints[f'{recorded.topic.name}: a velocity is not finite'] += 1
        return take

    def said(into: list[tuple[int, Any]]) -> Callable[[Recorded, Any], None]:
        return lambda recorded, message: into.append((recorded.arrival_ns, message.data))

    def active(recorded: Recorded, message: Any) -> None:
        if message.data:  # the policy clears its instruction on arrival
            trace.texts.append((recorded.arrival_ns, message.data))

    def report(recorded: Recorded, message: Any) -> None:
        for status in message.status:
            node = status.name.rpartition('/')[2]
            if node in _NODES:
                values = {item.key: item.value for item in status.values}
                trace.reports.append((recorded.arrival_ns, node, {
                    **values, 'level': str(int(status.level)), 'message': status.message}))

    return {
        'pictures': lambda recorded, message: trace.pictures.add(recorded.arrival_ns,
                                                                 stamp_of(message)),
        'proposals': command(trace.proposals), 'commands': command(trace.commands),
        'odometry': lambda recorded, message: trace.odometry.add(
            recorded.arrival_ns, odometry_of(message)[:2]),
        'guard': said(trace.guard), 'task': said(trace.task), 'texts': said(trace.texts),
        'active': active, 'reports': report}
