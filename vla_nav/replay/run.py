"""Read a recording once, from front to back, and let the policy and the guard live through it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import ActionChunk, Frame, Policy, PolicyError
from vla_nav.control.guard import Decision, Limit, Reason
from vla_nav.control.limits import Velocity
from vla_nav.control.pace import has_time_to_catch_up
from vla_nav.control.task import TaskState
from vla_nav.episodes.bag_reader import Recorded, Recording
from vla_nav.episodes.bag_streams import TYPES
from vla_nav.observations.messages import frame_from_message, stamp_of, velocity_of
from vla_nav.observations.preprocess import to_policy_image
from vla_nav.observations.translation import Translation
from vla_nav.replay.graph import Listener, ReplayGraph
from vla_nav.replay.looking import Looking
from vla_nav.replay.rows import Rows
from vla_nav.replay.topics import ODOMETRY, TWIST, Roles
from vla_nav.runtimes.stepping import SteppingPolicy

REASONS = tuple(Reason)
_LIMITS = tuple(Limit)
_STANDS = (TaskState.NOT_UNDERSTOOD, TaskState.STOPPED)


class Output(Protocol):
    """Where a replay's own messages go, beside the recorded ones."""

    def copy(self, recorded: Recorded) -> None:
        """Take a recorded message."""

    def proposed(self, now_ns: int, velocity: Velocity, stamp_ns: int) -> None:
        """Take what the policy would have sent."""

    def decided(self, now_ns: int, decision: Decision) -> None:
        """Take what the guard would have sent."""

    def state(self, now_ns: int, state: str) -> None:
        """Take the task's state."""

    def planned(self, now_ns: int, chunk: ActionChunk) -> None:
        """Take a chunk."""

    def found(self, now_ns: int, boxes: str) -> None:
        """Take the boxes in a picture, as text."""

    def seen(self, now_ns: int, points: NDArray[np.float64], stamp_ns: int) -> None:
        """Take the obstacles in a picture."""


@dataclass
class Replayed:
    """What a replay leaves: tables by picture, by driven command and by decision of the guard.

    ``counts`` tells what became of the pictures; ``texts`` are the instructions, by number.
    """

    pictures: Rows
    commands: Rows
    decisions: Rows
    counts: Counter[str] = field(default_factory=Counter)
    complaints: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    states: list[tuple[int, str, str]] = field(default_factory=list)
    began_ns: int = 0
    ended_ns: int = 0


class Replay:
    """One pass through a recording; ``blind`` are the policy's blind twins by name.

    ``model_delay_s`` is how long the model is said to think, by which it has time, or has none,
    to run again for pictures that were missed; how long it takes here does not matter.
    """

    def __init__(self, graph_of: Callable[[Listener], ReplayGraph], blind: dict[str, Policy],
                 roles: Roles, translation: Translation, output: Output,
                 looking: Looking | None = None, model_delay_s: float = 0.0) -> None:
        self._graph = graph_of(Listener(self._proposed, self._decided, self._stated))
        self._blind, self._roles, self._output = blind, roles, output
        # The twins think beside the policy, on another core where there is one.
        self._beside = ThreadPoolExecutor(1, 'twins')
        self._looking = looking
        spec = self._graph.policy.spec
        self._spec = spec
        self._catch_up = has_time_to_catch_up(model_delay_s, spec.step_ns * 1e-9)
        axes = spec.action_space.size
        self.found = Replayed(
            pictures=Rows([
                ('stamp', 'i8'), ('arrival', 'i8'), ('part', 'i4'), ('text', 'i4'),
                ('decode_ns', 'i8'), ('think_ns', 'i8'), ('chunk', 'f4', (spec.chunk, axes)),
                ('executed', 'f4', (axes,)), *((name, 'f4', (axes,)) for name in blind)]),
            commands=Rows([('stamp', 'i8'), ('part', 'i4'), ('velocity', 'f4', (3,))]),
            decisions=Rows([('at', 'i8'), ('reason', 'u1'), ('limit', 'u1'),
                            ('velocity', 'f4', (3,)), ('age_ns', 'i8')]))
        self._part = 0
        self._newest = -1
        self._last_data: bytes | None = None
        self._text = ''

    def run(self, recording: Recording, instruction: str, default: str,
            arrival_stamps: bool = False, pace: Callable[[int], None] | None = None,
            note: Callable[[], None] = lambda: None) -> Replayed:
        """Go through the recording.

        ``instruction`` wins over what was said in the recording, and ``default`` is said where
        the recording has no topic that says anything. Both are said once, at the first message.
        ``pace`` is called with the nanoseconds since then.
        """
        found, roles = self.found, self._roles
        # Where instructions were recorded, the robot had none before the first, as live.
        first = instruction or ('' if roles.instruction else default)
        with self._beside:
            for recorded in recording.messages():
                topic, arrival, _ = recorded
                if not found.began_ns:
                    found.began_ns = arrival
                if pace is not None:
                    pace(arrival - found.began_ns)
                self._graph.advance(arrival)
                if first:
                    self._instruct(first)
                    first = ''
                self._output.copy(recorded)
                if self._looking is not None:
                    self._attend(self._looking, recorded)
                if topic == roles.picture:
                    self._see(recorded, arrival_stamps)
                elif topic == roles.command:
                    self._drive(recorded)
                elif topic == roles.info:
                    self._graph.see_camera()
                elif topic == roles.instruction and not instruction:
                    message = self._read(recorded)
                    if message is not None:
                        self._instruct(str(message.data))
                found.ended_ns = max(found.ended_ns, arrival)
                note()
        return found

    def _read(self, recorded: Recorded) -> Any:
        """Return the message, or None and a complaint where its bytes are damaged."""
        try:
            return TYPES.deserialize_cdr(recorded.raw, recorded.topic.kind)
        # rosbags raises whatever the damage leads to: struct, index and Unicode errors.
        except Exception as error:
            self.found.counts['damaged messages'] += 1
            self.found.complaints[f'{recorded.topic.name}: a message is damaged: {error}'] += 1
            return None

    def _attend(self, looking: Looking, recorded: Recorded) -> None:
        """Tell the detector what it has to know of camera and robot."""
        topic, roles = recorded.topic, self._roles
        if topic not in (roles.info, roles.odometry, roles.description):
            return
        message = self._read(recorded)
        if message is None:
            return
        if topic == roles.info:
            looking.take_info(message)
        elif topic == roles.odometry:
            looking.take_odometry(message, self._graph.steady_ns)
        else:
            looking.take_description(message.data)

    def _look(self, looking: Looking, message: Any, stamp: int) -> None:
        try:
            seen = looking.look(message, stamp, self._graph.steady_ns)
        except ValueError as error:
            self.found.complaints[str(error)] += 1
            return
        if seen is None:
            return
        boxes, points = seen
        self._output.found(self._graph.now_ns, boxes)
        if points is not None:
            self._graph.see_obstacles(points, stamp)
            self._output.seen(self._graph.now_ns, points, stamp)

    def _instruct(self, text: str) -> None:
        if text == self._text:
            return
        self._text = text
        self._graph.instruct(text)
        if not text.strip():
            return  # no task any more, and so none of the twins'
        if text not in self.found.texts:
            self.found.texts.append(text)
        for policy in self._blind.values():
            try:
                policy.set_instruction(text)
                policy.reset()
            except ValueError:  # not understood: the policy itself stands, and so does its twin
                pass

    def _drive(self, recorded: Recorded) -> None:
        message = self._read(recorded)
        if message is None:
            return
        if recorded.topic.kind == ODOMETRY:
            velocity = velocity_of(message.twist)
        else:
            velocity = velocity_of(message)
        if not np.isfinite(velocity).all():
            self.found.counts['commands not finite'] += 1
            return
        stamp = 0 if recorded.topic.kind == TWIST else stamp_of(message)
        self.found.commands.add(stamp or recorded.arrival_ns, self._part, velocity)

    def _see(self, recorded: Recorded, arrival_stamps: bool) -> None:
        found = self.found
        found.counts['pictures'] += 1
        message = self._read(recorded)
        if message is None:
            return
        stamp = recorded.arrival_ns if arrival_stamps else stamp_of(message)
        data = bytes(message.data)
        changed, self._last_data = data != self._last_data, data
        if self._roles.info is None:
            self._graph.see_camera()
        if self._looking is not None:
            self._look(self._looking, message, stamp)
        wanted = self._graph.see(changed, stamp)
        if stamp < self._newest:
            self._part += 1
            found.counts['times that stamps went back'] += 1
        repeated, self._newest = stamp == self._newest, stamp
        state, _ = self._graph.state()
        if not changed and not wanted:
            found.counts['repeated stamps' if repeated else 'unchanged'] += 1
            return
        # What is new is acted on, whatever its stamp, as live.
        if repeated:
            found.counts['repeated stamps'] += 1
        if state is TaskState.IDLE:
            found.counts['without an instruction'] += 1
            return
        began = time.perf_counter_ns()
        try:
            frame = frame_from_message(message, 'numpy', self._spec.image_height,
                                       self._spec.image_width)
        except ValueError as error:
            found.counts['undecodable'] += 1
            found.complaints[str(error)] += 1
            return
        decoded = time.perf_counter_ns()
        frame = Frame(self._fitting(frame.image), stamp, self._catch_up)
        twins = [self._beside.submit(self._blind_action, policy, frame)
                 for policy in self._blind.values()]
        chunk = self._think(frame, wanted, state)
        done = time.perf_counter_ns()
        executed = self._graph.decision.intended
        columns = [Velocity._fields.index(name) for name in self._spec.action_space.names]
        found.pictures.add(
            stamp, recorded.arrival_ns, self._part, found.texts.index(self._text),
            decoded - began, done - decoded, chunk, np.asarray(executed)[columns],
            *(twin.result() for twin in twins))

    def _fitting(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the picture as policy and twins take it, so that not each of them shrinks it.

        An ensemble's members may take pictures of several sizes.
        """
        if not isinstance(self._graph.policy, SteppingPolicy):
            return image
        return to_policy_image(image, self._spec.image_height, self._spec.image_width)

    def _think(self, frame: Frame, wanted: bool, state: TaskState) -> NDArray[np.float32]:
        """Return the chunk's velocities [K, A]; zeros where the policy stands for cause."""
        zeros = np.zeros((self._spec.chunk, self._spec.action_space.size), np.float32)
        if wanted:
            chunk = self._graph.think(frame)
            if chunk is None:
                self.found.counts['on which the policy failed'] += 1
                self.found.complaints[self._graph.state()[1]] += 1
                return zeros
            self._output.planned(self._graph.now_ns, chunk)
            return chunk.velocities
        if state in _STANDS:
            self.found.counts[f'while {state.value.replace("_", " ")}'] += 1
            return zeros
        # The robot would have stopped by now; what the policy says is compared all the same.
        self.found.counts['after arrival'] += 1
        try:
            return self._graph.policy.act(frame).velocities
        except PolicyError as error:
            self.found.complaints[str(error)] += 1
            return zeros

    def _blind_action(self, policy: Policy, frame: Frame) -> NDArray[np.float32]:
        try:
            return policy.act(frame).velocities[0]
        except PolicyError:
            return np.zeros(self._spec.action_space.size, np.float32)

    def _proposed(self, now_ns: int, velocity: Velocity, stamp_ns: int) -> None:
        self._output.proposed(now_ns, velocity, stamp_ns)

    def _decided(self, now_ns: int, decision: Decision, age_ns: int | None) -> None:
        self._output.decided(now_ns, decision)
        self.found.decisions.add(now_ns, REASONS.index(decision.reason),
                                 _LIMITS.index(decision.limit), decision.intended,
                                 -1 if age_ns is None else age_ns)

    def _stated(self, now_ns: int, state: TaskState, why: str) -> None:
        self._output.state(now_ns, state.value)
        self.found.states.append((now_ns, state.value, why))
