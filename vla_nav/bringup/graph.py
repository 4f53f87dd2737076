"""The graph as data: arguments, nodes, parameters and remappings, for whoever starts it.

``launch/*.launch.py`` and ``vla-nav run`` both read this, so that they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from vla_nav.bringup.parameter_file import node_parameters
from vla_nav.bringup.share import find_bundle, share_directory
from vla_nav.contracts import PolicyError
from vla_nav.control.guard import GuardSettings
from vla_nav.control.pace import allowed_age_s, blind_speed
from vla_nav.runtimes import RUNTIMES
from vla_nav.runtimes.bundle import read_bundle

Value = bool | int | float | str


@dataclass(frozen=True)
class Argument:
    """A launch argument; an empty value leaves the matter to the parameter file."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeSpec:
    """One process of the graph. ``parameters`` win over ``params_file``."""

    name: str
    executable: str
    params_file: str = ''
    namespace: str = ''
    parameters: Mapping[str, Value] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    log_level: str = 'info'
    package: str = 'vla_nav'
    arguments: tuple[str, ...] = ()
    may_finish: bool = False


_SWITCH = ('true', 'false')
_COMMON = (
    Argument('namespace', '', 'Prefix of all topics and nodes, for several robots'),
    Argument('params_file', '', "ROS parameter file; the package's own by default"),
    Argument('use_sim_time', 'false', 'Follow /clock instead of the system clock', _SWITCH),
    Argument('policy', 'models/compact', "Policy bundle: a directory, or a shipped bundle's name"),
    Argument('runtime', '', "What runs the policy; auto is the bundle's own", ('', *RUNTIMES)),
    Argument('detector', '', 'Detector bundle, as for policy; empty runs none'),
    Argument('instruction', '', 'Instruction from the start on, also after a respawn'),
    Argument('image_topic', 'camera/image_raw', 'Camera topic; camera_info is its sibling'),
    Argument('image_transport', '', 'How pictures travel to the policy',
             ('', 'raw', 'compressed')),
    Argument('cmd_vel_topic', 'cmd_vel', 'Where the base listens'),
    Argument('stamped_cmd_vel', '', 'Send TwistStamped instead of Twist', ('', *_SWITCH)),
    Argument('dry_run', '', 'Compute everything, send zeros', ('', *_SWITCH)),
    Argument('speed_cap', '', 'Cap on the linear speed, m/s'),
    Argument('model_delay', '', 'Seconds that a slow model thinks: its pictures may get older, '
             'and the robot is slowed down in turn'),
    Argument('record', '', 'A recorder waits for recorder/start: directory of its takes, or true '
             'for data/bags'),
    Argument('use_respawn', 'true', 'Start a node again when it dies', _SWITCH),
    Argument('log_level', 'info', 'Log level of every node',
             ('debug', 'info', 'warn', 'error', 'fatal')),
    Argument('rviz', 'false', 'Also start rviz2, and the node that draws for it', _SWITCH),
)
_SIM = (
    Argument('scenario', '', 'Cell or family, or how its name begins: 2box_vert_left, person'),
    Argument('seed', '0', 'Seed of the scene'),
    Argument('split', 'train', 'Scenes as in training, held-out layouts, or held-out looks',
             ('train', 'layouts', 'appearance')),
    Argument('driver', 'policy', "Who drives: the policy, or the simulator's own planner",
             ('policy', 'expert')),
)
_CAMERA = (
    Argument('source', '', 'Camera index, video, folder of pictures or donkeycar tub'),
)
# A recording has a time of its own, and must not move a robot that listens. The camera is its.
_REPLAYED: dict[str, dict[str, Any]] = {
    'use_sim_time': {'default': 'true'}, 'cmd_vel_topic': {'default': 'replay/cmd_vel'},
    'image_topic': {'description': 'Camera topic, also of the bag where that holds several; '
                    'camera_info is its sibling'}}
_REPLAY = (
    *(replace(one, **_REPLAYED.get(one.name, {})) for one in _COMMON),
    Argument('bag', '', 'ROS 2 bag to play: its directory, or one .mcap or .db3 file'),
    Argument('rate', '1.0', 'Pace, as a multiple of the recorded one'),
    Argument('lockstep', 'false', "Wait for the policy's answer to each picture, so that none is "
             'dropped', _SWITCH),
)
ARGUMENTS: Mapping[str, tuple[Argument, ...]] = {
    'robot': _COMMON, 'sim': _COMMON + _SIM, 'camera': _COMMON + _CAMERA, 'replay': _REPLAY}


def defaults(kind: str) -> dict[str, str]:
    """Return the arguments of ``kind``, one of :data:`ARGUMENTS`, with their default values."""
    return {argument.name: argument.default for argument in ARGUMENTS[kind]}


def graph(kind: str, given: Mapping[str, str],
          instruction_file: str = '') -> tuple[NodeSpec, ...]:
    """Return the nodes to start for ``kind`` with the arguments ``given`` as text.

    'robot' expects a camera and a base on the robot; 'sim' brings a simulated one; 'camera'
    plays pictures through the graph and nothing moves; 'replay' plays a bag, with its time.
    ``instruction_file``, new for each
    start, keeps the newest instruction over a respawn of the policy.
    """
    values = {**defaults(kind), **given}
    for argument in ARGUMENTS[kind]:
        if argument.choices and values[argument.name] not in argument.choices:
            raise ValueError(f'{argument.name}: "{values[argument.name]}" is none of '
                             f'{", ".join(filter(None, argument.choices))}')
    unknown = set(values) - {argument.name for argument in ARGUMENTS[kind]}
    if unknown:
        raise ValueError(f'unknown arguments {sorted(unknown)} for "{kind}"')
    make = _Maker(kind, values, instruction_file)
    nodes = [make.guard()]
    if values.get('driver') != 'expert':
        nodes.append(make.policy())
    if values['detector']:
        nodes.append(make.detector())
    if kind == 'sim':
        nodes.append(make.sim())
    if kind == 'camera':
        nodes.append(make.camera())
    if kind == 'replay':
        nodes.append(make.player())
    if values['record'] not in ('', 'false'):
        nodes.append(make.recorder())
    if values['rviz'] == 'true':
        nodes += [make.visual(), make.rviz()]
    return tuple(nodes)


def command_line(node: NodeSpec) -> list[str]:
    """Return the ROS arguments that give a node its name, parameters and remappings."""
    words = ['--ros-args', '-r', f'__node:={node.name}', '--log-level', node.log_level]
    if node.namespace:
        words += ['-r', f'__ns:=/{node.namespace.strip("/")}']
    if node.params_file:
        words += ['--params-file', node.params_file]
    for name, value in node.parameters.items():
        words += ['-p', f'{name}:={_yaml(value)}']
    for source, target in node.remappings:
        words += ['-r', f'{source}:={target}']
    return words


def camera_remappings(image_topic: str) -> tuple[tuple[str, str], ...]:
    """Return the remappings that bring a camera's topics; camera_info is the pictures' sibling."""
    if image_topic == 'camera/image_raw':
        return ()
    info = str(PurePosixPath(image_topic).parent / 'camera_info')
    return (('camera/image_raw', image_topic), ('camera/camera_info', info),
            ('camera/image_raw/compressed', f'{image_topic}/compressed'))


class _Maker:
    """Turns one set of argument values into nodes."""

    def __init__(self, kind: str, values: Mapping[str, str], instruction_file: str) -> None:
        self._values, self._instruction_file = values, instruction_file
        default = 'sim.yaml' if kind == 'sim' else 'robot.yaml'
        self._params_file = values['params_file'] or str(share_directory() / 'config' / default)

    def guard(self) -> NodeSpec:
        return self._node('guard', self._cmd_vel() + self._images(),
                          stamped_cmd_vel=self._switch('stamped_cmd_vel'),
                          dry_run=self._switch('dry_run'), speed_cap=self._number('speed_cap'),
                          max_observation_age=self._observation_age())

    def policy(self) -> NodeSpec:
        # One that thinks for long must know what the guard makes of its commands.
        slow = bool(self._number('model_delay'))
        return self._node('policy', (self._cmd_vel() if slow else ()) + self._images(),
                          bundle=find_bundle(self._values['policy']),
                          runtime=self._values['runtime'] or None,
                          instruction=self._values['instruction'] or None,
                          instruction_file=self._instruction_file or None,
                          image_transport=self._transport(),
                          model_delay=self._number('model_delay'),
                          speed_cap=self._slow_speed() if slow else None,
                          stamped_cmd_vel=self._guard_stamps() if slow else None)

    def detector(self) -> NodeSpec:
        return self._node('detector', self._images(),
                          bundle=find_bundle(self._values['detector']),
                          image_transport=self._transport())

    def sim(self) -> NodeSpec:
        return self._node('sim', self._cmd_vel() + self._images(),
                          cell=self._values['scenario'] or None, seed=int(self._values['seed']),
                          split=self._values['split'],
                          expert=self._values['driver'] == 'expert',
                          publish_clock=self._values['use_sim_time'] == 'true',
                          stamped_cmd_vel=self._switch('stamped_cmd_vel'))

    def camera(self) -> NodeSpec:
        return self._node('camera', self._images(), may_finish=True,
                          source=self._values['source'] or None)

    def player(self) -> NodeSpec:
        said = self._values['instruction']
        return self._node('player', self._images(), may_finish=True,
                          bag=str(Path(self._values['bag']).absolute()),
                          image_topic=self._recorded_camera() or None, rate=self._number('rate'),
                          lockstep=self._switch('lockstep'), instructions=not said)

    def recorder(self) -> NodeSpec:
        driven = self._values.get('driver') != 'expert'
        record = self._values['record']
        folder = Path('data/bags' if record == 'true' else record).absolute()
        return self._node('recorder', self._cmd_vel() + self._images(), directory=str(folder),
                          bundle=find_bundle(self._values['policy']) if driven else None,
                          instruction=self._values['instruction'] or None,
                          stamped_cmd_vel=self._switch('stamped_cmd_vel'))

    def visual(self) -> NodeSpec:
        # What a command can do before the guard stops it, where the guard's own default holds too.
        return self._node('visual', self._cmd_vel() + self._images(),
                          stamped_cmd_vel=self._switch('stamped_cmd_vel'),
                          image_transport=self._transport(),
                          horizon=self._observation_age())

    def rviz(self) -> NodeSpec:
        return NodeSpec('rviz', 'rviz2', namespace=self._values['namespace'], package='rviz2',
                        parameters={'use_sim_time': self._values['use_sim_time'] == 'true'},
                        arguments=('-d', str(share_directory() / 'config/rviz/vla_nav.rviz')))

    def _node(self, name: str, remappings: tuple[tuple[str, str], ...], may_finish: bool = False,
              **parameters: Value | None) -> NodeSpec:
        chosen = {key: value for key, value in parameters.items() if value is not None}
        chosen['use_sim_time'] = self._values['use_sim_time'] == 'true'
        return NodeSpec(name, f'{name}_node', self._params_file, self._values['namespace'], chosen,
                        remappings, self._values['log_level'], may_finish=may_finish)

    def _images(self) -> tuple[tuple[str, str], ...]:
        return camera_remappings(self._values['image_topic'])

    def _cmd_vel(self) -> tuple[tuple[str, str], ...]:
        topic = self._values['cmd_vel_topic']
        return () if topic == 'cmd_vel' else (('cmd_vel', topic),)

    def _observation_age(self) -> float | None:
        """Return the bundle's limit; where it does not load, the policy node says why."""
        delay_s = self._number('model_delay') or 0.0
        try:
            bundle = read_bundle(Path(find_bundle(self._values['policy'])))
        except PolicyError:
            return None
        return allowed_age_s(bundle.max_observation_age_s, delay_s)

    def _slow_speed(self) -> float | None:
        """Return what the guard lets a slow model drive at, m/s; None where it says why not."""
        age_s, cap = self._observation_age(), self._number('speed_cap')
        own = node_parameters(Path(self._params_file), 'guard')
        try:
            guard = GuardSettings.model_validate({
                key: value for key, value in own.items() if key in GuardSettings.model_fields})
        except ValidationError:
            return cap
        limits = [guard.speed_cap if cap is None else cap, guard.max_velocity[0]]
        if age_s is not None:
            limits.append(blind_speed(guard.blind_distance, age_s))
        return min(limits)

    def _guard_stamps(self) -> bool | None:
        """Return whether the guard sends TwistStamped; None where nobody has said so."""
        given = self._switch('stamped_cmd_vel')
        own = node_parameters(Path(self._params_file), 'guard').get('stamped_cmd_vel')
        return own if given is None else given

    def _transport(self) -> str | None:
        return self._values['image_transport'] or self._recorded_transport() or None

    def _recorded_transport(self) -> str:
        """Return 'raw' or 'compressed' as the bag has it, or ''; then the player says why."""
        if 'bag' not in self._values:
            return ''
        # Only here: a robot that drives needs no reader of bags.
        from vla_nav.episodes.schema import EpisodeError
        from vla_nav.replay.topics import picture_transport
        try:
            return picture_transport(Path(self._values['bag']), self._recorded_camera())
        except EpisodeError:
            return ''

    def _recorded_camera(self) -> str:
        """Return the camera that was asked for; '' leaves the choice to the bag."""
        topic = self._values['image_topic']
        return '' if topic == defaults('replay')['image_topic'] else topic

    def _switch(self, name: str) -> bool | None:
        text = self._values[name]
        return text == 'true' if text else None

    def _number(self, name: str) -> float | None:
        text = self._values[name]
        try:
            return float(text) if text else None
        except ValueError:
            raise ValueError(f'{name}: "{text}" is not a number') from None


def _yaml(value: Value) -> str:
    """Write a parameter value so that ROS's YAML reader gives back the same type."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        quoted = value.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n')
        return f'"{quoted}"'
    return str(value)
