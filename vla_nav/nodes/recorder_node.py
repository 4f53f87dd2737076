"""Records the raw topics on the robot: start, stop and keep, or discard a take."""

from __future__ import annotations

import contextlib
import os
import shutil
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_nav import __version__
from vla_nav.contracts import PolicyError
from vla_nav.nodes.parameters import ParameterError, Parameters
from vla_nav.nodes.recorder_topics import RecorderTopics
from vla_nav.nodes.reporting import ERROR, OK, Report, Reporter
from vla_nav.nodes.running import LATCHED, now_ns, run, steady_timer
from vla_nav.nodes.terminal import Keys
from vla_nav.observations.translation import Translation
from vla_nav.recording.take import Take
from vla_nav.runtimes.bundle import CONFIG_NAME, BundleFile, load_config

HELP = ('  r   start a take      k   stop and keep it      d   discard it      Ctrl-C   end\n'
        '  s   keep it as a success      f   keep it as a failure\n')
_READ_ONLY: Any = {'read_only': True}
_NICENESS = 5  # The nodes that drive come first.
_PERIOD_S = 0.1


class RecorderParameters(BaseModel):
    """What is recorded, and where to."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    directory: str = Field('data/bags', description='Where the takes go.',
                           json_schema_extra=_READ_ONLY)
    instruction: str = Field('', description='What the robot is told; empty takes the newest '
                             'from the topics instruction and policy/active_instruction.')
    scenario: str = Field('', description='Name of the scene, for a balanced split.')
    embodiment: str = Field('omni', description='Which robot this is.')
    bundle: str = Field('', description='Policy bundle that drives, if one does.',
                        json_schema_extra=_READ_ONLY)
    image_transport: Literal['auto', 'raw', 'compressed'] = Field(
        'auto', description='raw, compressed, or auto: compressed where it is published.')
    stamped_cmd_vel: bool = Field(False, description='cmd_vel is TwistStamped instead of Twist.',
                                  json_schema_extra=_READ_ONLY)
    least_free_gib: float = Field(1.0, ge=0.0, le=1000.0, description='A take ends, and is kept, '
                                  'where less disk is free.')
    keyboard: bool = Field(False, description='Obey keys of the terminal.',
                           json_schema_extra=_READ_ONLY)


class RecorderNode(Node):
    """Listens with best effort only, so that it never makes a publisher wait."""

    def __init__(self) -> None:
        """Wait for the first take."""
        super().__init__('recorder')
        self._config = Parameters(self, RecorderParameters)
        self._directory = Path(self._config.value.directory)
        self._bundle = self._describe_bundle(self._config.value.bundle)
        self._topics = RecorderTopics(self, self._config.value.stamped_cmd_vel, self._receive)
        self._take: Take | None = None
        self._error = ''
        self._methods = {  # by key: the service, and what it does
            'r': ('start', self.start), 'k': ('stop', self.stop),
            's': ('success', partial(self.stop, True)),
            'f': ('failure', partial(self.stop, False)), 'd': ('discard', self.discard)}
        self._state = self.create_publisher(String, '~/state', LATCHED)
        for name, method in self._methods.values():
            self.create_service(Trigger, f'~/{name}', _answering(method))
        Reporter(self, self._report)
        steady_timer(self, _PERIOD_S, self._tick)
        self.finished = False
        self._keys = Keys() if self._config.value.keyboard else None
        if self._keys:
            self._keys.take()
            print(HELP)
        self._show('idle')

    # -- takes ---------------------------------------------------------------------------

    def start(self) -> str:
        """Begin a take and return its path; ValueError says why that cannot be."""
        settings = self._config.value
        if self._take is not None:
            raise ValueError(f'{self._take.path.name} is being recorded: stop or discard it first')
        if not self._instruction:
            raise ValueError('no instruction: publish one on the topic instruction, or set the '
                             'parameter instruction; a recording without it teaches nothing')
        self._transport = self._topics.choose_transport(settings.image_transport)
        try:
            self._check_disk()
            self._take = Take(self._directory, datetime.now(), now_ns(self),
                              self._topics.needed(self._transport))
            self._topics.begin(self._transport)
        except OSError as error:
            raise ValueError(f'{self._directory}: cannot record: {error}') from error
        self._error = ''
        self._show(f'recording {self._take.path.name}')
        return str(self._take.path)

    def stop(self, success: bool | None = None) -> str:
        """End the take, keep it, and return its path and what its audit complains of.

        ``success`` is whether its task is done, None where nobody says.
        """
        take = self._end()
        try:
            found = take.keep({**self._kept(), 'success': success}, now_ns(self))
        except OSError as error:
            raise ValueError(self._fail(take, error)) from error
        log = self.get_logger()
        for one in found:
            rate = '' if one.rate_hz is None else f', {one.rate_hz} Hz'
            log.info(f'{one.topic}: {one.messages} messages{rate}, {one.gaps} gaps, longest '
                     f'silence {one.longest_silence_s} s')
        complaints = '; '.join(one.complaint for one in found if one.complaint)
        self._show('idle')
        said = {True: ', a success', False: ', a failure', None: ''}[success]
        return f'{take.path}{said}' + (f' (look at it: {complaints})' if complaints else '')

    def discard(self) -> str:
        """End the take and throw it away."""
        take = self._end()
        self._show('idle')
        try:
            take.discard(self._discarded('discarded'))
        except OSError as error:
            raise ValueError(f'{take.path.name} is discarded, but not counted: {error}') from error
        return f'{take.path.name} is discarded'

    def goodbye(self) -> None:
        """Keep what is being recorded before the process ends, and restore the terminal."""
        if self._take is not None:
            self._obey(self.stop)
        if self._keys:
            self._keys.close()
            print()

    # -- inside --------------------------------------------------------------------------

    @property
    def _instruction(self) -> str:
        return self._config.value.instruction or self._topics.instruction

    def _end(self) -> Take:
        if self._take is None:
            raise ValueError('nothing is being recorded: start first')
        take, self._take = self._take, None
        self._topics.end()
        return take

    def _receive(self, topic: str, type_name: str, message: bytes, arrival_ns: int) -> None:
        if self._take is None:
            return
        try:
            self._take.add(topic, type_name, message, arrival_ns)
        except OSError as error:
            self._fail(self._end(), error)

    def _fail(self, take: Take, error: OSError) -> str:
        self._error = f'{take.path}: the take is lost: {error}'
        with contextlib.suppress(OSError):  # the disk that is full may be this one
            take.discard(self._discarded(f'lost: {error}'))
        self._show('failed')
        return self._error

    def _discarded(self, why: str) -> dict[str, str]:
        return {'instruction': self._instruction, 'scenario': self._config.value.scenario,
                'why': why}

    def _kept(self) -> dict[str, Any]:
        settings = self._config.value
        image, command, odometry = self._topics.names
        translation = Translation(
            image_topic=image, image_transport=self._transport, command_topic=command,
            odometry_topic=odometry, instruction_topic=self._topics.instruction_topic)
        return {'version': __version__, 'instruction': self._instruction,
                'embodiment': settings.embodiment, 'scenario': settings.scenario,
                'bundle': self._bundle, 'translation': translation.model_dump(mode='json')}

    def _describe_bundle(self, bundle: str) -> dict[str, str] | None:
        if not bundle:
            return None
        try:
            config = load_config(Path(bundle))
        except PolicyError as error:
            raise ParameterError(f'{self.get_fully_qualified_name()}: bundle: {error}') from error
        return {'name': config.name, 'sha256': BundleFile.of(Path(bundle) / CONFIG_NAME).sha256}

    def _check_disk(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._directory).free / 2 ** 30
        if free < self._config.value.least_free_gib:
            raise OSError(f'{free:.1f} GiB free, least_free_gib is '
                          f'{self._config.value.least_free_gib}')

    def _tick(self) -> None:
        pressed = self._keys.pressed() if self._keys else ''
        if pressed is None:
            self.finished = True  # the terminal has gone
            return
        for key in pressed:
            if key in self._methods:
                self._obey(self._methods[key][1])
        if self._keys:
            print(f'\r\033[K{self._said} · {self._take.messages if self._take else 0} messages · '
                  f'{self._instruction or "no instruction yet"}', end='', flush=True)

    def _obey(self, method: Any) -> None:
        _, message = _outcome(method)
        print(f'\r\033[K{message}') if self._keys else self.get_logger().info(message)

    def _show(self, state: str) -> None:
        self._said = state
        self._state.publish(String(data=state))

    def _report(self) -> Report:
        if self._take is not None:
            try:
                self._check_disk()
            except OSError as error:
                self.get_logger().error(f'{error}: the take ends here')
                self._obey(self.stop)
        return Report(ERROR if self._error else OK, self._error or self._said, values={
            'directory': self._directory, 'instruction': self._instruction,
            'messages': self._take.messages if self._take else 0})


def _outcome(method: Any) -> tuple[bool, str]:
    try:
        return True, method()
    except ValueError as error:
        return False, str(error)


def _answering(method: Any) -> Any:
    def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = _outcome(method)
        return response
    return answer


def main(arguments: list[str] | None = None) -> None:
    """Run the recorder."""
    os.nice(_NICENESS)
    run(RecorderNode, arguments)


if __name__ == '__main__':
    main()
