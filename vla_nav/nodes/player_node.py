"""Plays a recorded bag to the graph, with its time on /clock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Odometry
from pydantic import BaseModel, ConfigDict, Field
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from vla_nav.bringup.dds import use_profile
from vla_nav.control.task import TaskState
from vla_nav.episodes.bag_reader import Recorded, Topic, open_recording
from vla_nav.episodes.schema import EpisodeError
from vla_nav.nodes.parameters import Parameters
from vla_nav.nodes.reporting import ERROR, OK, WARN, Report, Reporter
from vla_nav.nodes.running import (
    COMMAND,
    LATCHED,
    SENSOR,
    run,
    stamp_to_ns,
    steady_ns,
    steady_timer,
)
from vla_nav.replay.topics import COMPRESSED, played_roles, transforms

try:  # Not on PyPI; a robot with ROS has it.
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

_READ_ONLY: Any = {'read_only': True}
# As tf2 listens. Each broadcaster of fixed transforms has sent its own, so all of them are kept.
_TRANSFORMS = QoSProfile(depth=100)
_FIXED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_TICK_S = 0.005
_IDLE = TaskState.IDLE.value
# A policy that has not answered by then has stopped for good, and is waited for no more.
_PATIENCE_NS = 20_000_000_000
# Pictures travel best effort. One that was lost is sent again; one that was not is no news.
_AGAIN_NS = 500_000_000


class PlayerParameters(BaseModel):
    """What to play, and how."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    bag: str = Field('', description='ROS 2 bag: its directory, or one .mcap or .db3 file.',
                     json_schema_extra=_READ_ONLY)
    image_topic: str = Field('', description='Camera topic in the bag; empty for the only one, or '
                             'the one of the usual name.', json_schema_extra=_READ_ONLY)
    rate: float = Field(1.0, gt=0.0, le=100.0, description='Pace, as a multiple of the recorded '
                        'one.', json_schema_extra=_READ_ONLY)
    lockstep: bool = Field(False, description="Wait for the policy's answer to each picture, so "
                           'that none is dropped.', json_schema_extra=_READ_ONLY)
    instructions: bool = Field(True, description='Also play the recorded instructions.',
                               json_schema_extra=_READ_ONLY)


class PlayerNode(Node):
    """Publishes pictures, camera_info, odometry, instructions and what tells the robot's shape.

    Each when its time has come. The recorded commands are not played: the graph gives its own.
    Transforms are played where tf2_msgs is installed.
    """

    def __init__(self) -> None:
        """Open the bag; where that fails, stay and say why."""
        super().__init__('player')
        self._config = Parameters(self, PlayerParameters)
        self._time = self.create_publisher(Clock, '/clock', 10)
        self._error = ''
        self._open = ExitStack()
        self.finished = self._playing = False
        self._now_ns = self._began_ns = self._ended_ns = 0
        self._ticked_ns = self._asked_ns = steady_ns()
        self._answer: int | str | None = None  # the picture's stamp, or the instruction
        self._pending: Recorded | None = None
        self._said = ''
        self._shown, self._shown_ns = b'', -1
        self._answering, self._repeated_ns = True, 0
        self._last_data: Any = None
        self._sent = self._damaged = 0
        try:
            self._prepare()
        except EpisodeError as error:
            self._error = str(error)
        self.create_subscription(TwistStamped, 'cmd_vel_policy', self._on_command, COMMAND)
        self.create_subscription(String, 'policy/active_instruction', self._on_instructed, LATCHED)
        self._state = ''
        self.create_subscription(String, 'policy/task_state', self._on_state, LATCHED)
        Reporter(self, self._report)
        steady_timer(self, _TICK_S, self._tick)

    def goodbye(self) -> None:
        """Close the bag."""
        self._open.close()

    def _prepare(self) -> None:
        path = Path(self._config.value.bag)
        recording = self._open.enter_context(open_recording(path))
        roles, kept = played_roles(recording, self._config.value.image_topic, path)
        compressed = roles.picture.kind == COMPRESSED
        self._pictures = self.create_publisher(
            CompressedImage if compressed else Image,
            'camera/image_raw/compressed' if compressed else 'camera/image_raw', SENSOR)
        self._picture_type = CompressedImage if compressed else Image
        self._info = self.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)
        self._instruction = self.create_publisher(String, 'instruction', 10)
        odometry = self.create_publisher(Odometry, 'odom', 10)
        description = self.create_publisher(String, 'robot_description', LATCHED)
        self._info_recorded = roles.info is not None
        moving, fixed = transforms(recording.topics)
        plays: list[tuple[Topic | None, Callable[[bytes], None]]] = [
            (roles.picture, self._show), (roles.info, self._info.publish),
            (roles.odometry, odometry.publish), (roles.description, description.publish)]
        if self._config.value.instructions:
            plays.append((roles.instruction, self._repeat))
        if TFMessage is not None:
            plays += [(moving, self.create_publisher(TFMessage, '/tf', _TRANSFORMS).publish),
                      (fixed, self.create_publisher(TFMessage, '/tf_static', _FIXED).publish)]
        self._play = {topic: play for topic, play in plays if topic is not None}
        self._messages = recording.messages([*self._play])
        self._default = (str(kept.get('instruction', ''))
                         if self._config.value.instructions and not roles.instruction else '')
        self._pending = next(self._messages, None)
        if self._pending is not None:
            self._now_ns = self._began_ns = self._ended_ns = self._pending.arrival_ns

    # -- time ----------------------------------------------------------------------------

    def _tick(self) -> None:
        steady = steady_ns()
        passed, self._ticked_ns = steady - self._ticked_ns, steady
        if self._error or not self._ready():
            return
        if self._waiting(steady):
            passed = 0
            if self._answer == self._shown_ns and steady - self._repeated_ns > _AGAIN_NS:
                self._pictures.publish(self._shown)
                self._repeated_ns = steady
        self._now_ns += round(passed * self._config.value.rate)
        while self._pending is not None and not self._waiting(steady):
            if self._pending.arrival_ns > self._now_ns:
                break
            self._publish(self._pending)
            self._pending = next(self._messages, None)
        if self._pending is not None and self._waiting(steady):
            # Time does not pass a message that has not been sent.
            self._now_ns = min(self._now_ns, self._pending.arrival_ns)
        self._tell(self._now_ns)
        if self._pending is None and not self._waiting(steady):
            self.get_logger().info(f'the recording has ended after {self._sent} pictures')
            self.finished = True

    def _tell(self, now_ns: int) -> None:
        self._time.publish(Clock(clock=Time(nanoseconds=now_ns).to_msg()))

    def _ready(self) -> bool:
        """Return whether somebody listens; the first message waits for that."""
        if not self._playing:
            self._tell(self._now_ns)
            self._playing = bool(self._state and self._pictures.get_subscription_count()
                                 and self._instruction.get_subscription_count()
                                 and (self._config.value.instructions or self._state != _IDLE))
            if self._playing and self._default:
                self._say(self._default)
        return self._playing

    def _waiting(self, steady: int) -> bool:
        if self._answer is not None and steady - self._asked_ns > _PATIENCE_NS:
            self._answer, self._answering = None, False
        return self._answer is not None

    # -- messages ------------------------------------------------------------------------

    def _publish(self, recorded: Recorded) -> None:
        self._tell(recorded.arrival_ns)
        self._ended_ns = recorded.arrival_ns
        self._play[recorded.topic](recorded.raw)

    def _show(self, raw: bytes) -> None:
        message = self._read(raw, self._picture_type)
        if message is None:
            return
        if not self._info_recorded:
            info = CameraInfo(header=message.header, height=getattr(message, 'height', 0),
                              width=getattr(message, 'width', 0))
            self._info.publish(info)
        self._pictures.publish(raw)
        self._sent += 1
        changed, self._last_data = message.data != self._last_data, message.data
        self._shown, self._shown_ns = raw, stamp_to_ns(message.header.stamp)
        # A picture that is no news gets no answer.
        if self._config.value.lockstep and changed and self._answering:
            self._ask(self._shown_ns)

    def _repeat(self, raw: bytes) -> None:
        message = self._read(raw, String)
        if message is not None:
            self._say(message.data)

    def _read(self, raw: bytes, kind: Any) -> Any:
        """Return a message, or None where its bytes are damaged, as in the evaluation."""
        try:
            return deserialize_message(raw, kind)
        except Exception as error:  # of whatever type the damage leads to
            if not self._damaged:
                self.get_logger().warning(f'a message ({kind.__name__}) is damaged, and left out; '
                                          f'others are only counted: {error}')
            self._damaged += 1
            return None

    def _say(self, text: str) -> None:
        self._instruction.publish(String(data=text))
        if text != self._said:  # what is said twice is not answered twice
            self._ask(text)
        self._said = text

    def _ask(self, what: int | str) -> None:
        self._answer = what
        self._asked_ns = self._repeated_ns = steady_ns()

    def _on_command(self, message: TwistStamped) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        self._answering |= stamp_ns == self._shown_ns
        if self._answer == stamp_ns:
            self._answer = None

    def _on_instructed(self, message: String) -> None:
        if self._answer == message.data:
            self._answer = None

    def _on_state(self, message: String) -> None:
        self._state = message.data

    def _report(self) -> Report:
        values = {'bag': self._config.value.bag, 'pictures': self._sent,
                  'damaged': self._damaged,
                  'at_s': round((self._ended_ns - self._began_ns) / 1e9, 1)}
        if self._error:
            return Report(ERROR, self._error, values)
        if not self._playing:
            return Report(WARN, 'waiting for the policy to listen', values)
        return Report(OK, 'playing', values)


def main() -> None:
    """Run the player."""
    use_profile('large_images')
    run(PlayerNode)


if __name__ == '__main__':
    main()
