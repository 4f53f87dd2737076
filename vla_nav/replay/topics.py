"""Which topics of a bag are the camera, the commands and the rest: by name, else by type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vla_nav.episodes.bag_reader import Recording, Topic, open_recording
from vla_nav.episodes.from_bag import kept_by_recorder, kept_translation
from vla_nav.episodes.schema import EpisodeError
from vla_nav.observations.translation import Translation

IMAGE, COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
TWIST, STAMPED = 'geometry_msgs/msg/Twist', 'geometry_msgs/msg/TwistStamped'
ODOMETRY = 'nav_msgs/msg/Odometry'
_STRING, _INFO = 'std_msgs/msg/String', 'sensor_msgs/msg/CameraInfo'
_TRANSFORMS = 'tf2_msgs/msg/TFMessage'
# Where a replay writes; what an earlier one wrote is no recording.
PREFIX = '/replay/'
# How a translation's field is asked for on the command line.
_OPTIONS = {'image_topic': '--image-topic (image_topic:= in a launch)',
            'command_topic': '--command-topic',
            'instruction_topic': '--instruction-topic', 'odometry_topic': '--command-topic'}


@dataclass(frozen=True)
class Roles:
    """The topic of each role; None where the bag has none.

    ``command`` is what was driven: commands, or the odometry where no commands were recorded.
    """

    picture: Topic
    command: Topic | None
    instruction: Topic | None
    info: Topic | None
    odometry: Topic | None
    description: Topic | None


def assign(topics: Sequence[Topic], translation: Translation, named: Mapping[str, str],
           source: str, compared: bool = True) -> Roles:
    """Give each role its topic; raise EpisodeError where there is no picture or no one answer.

    ``named`` holds the fields of the translation that the user gave. What is named must be there.
    Otherwise a topic of the usual name wins, and failing that the only one of the right type.
    Where nothing is ``compared`` with what was driven, that need not be told from its like.
    """
    topics = [topic for topic in topics if not topic.name.startswith(PREFIX)]

    def find(field: str, kinds: Sequence[str], fallback: bool = True,
             needed: bool = True) -> Topic | None:
        wanted = getattr(translation, field).strip('/')
        fitting = [topic for topic in topics if topic.kind in kinds and topic.messages
                   and not topic.name.endswith('compressedDepth')]
        found = [topic for topic in fitting if is_called(topic, wanted)]
        if not found and field in named:
            raise EpisodeError(source, named[field], 'no messages of a fitting type on this '
                               f'topic; {_there(topics)}')
        if not found and fallback:
            found = fitting
        names = {_base(topic.name) for topic in found}
        if len(names) > 1:
            if not needed:
                return None
            raise EpisodeError(source, field, f'could be {", ".join(sorted(names))}; name one '
                               f'with {_OPTIONS.get(field, field)}')
        # The compressed form of a picture is what a recorder keeps; it comes first.
        return min(found, key=lambda topic: kinds.index(topic.kind), default=None)

    transports = {'auto': (COMPRESSED, IMAGE), 'raw': (IMAGE,), 'compressed': (COMPRESSED,)}
    picture = find('image_topic', transports[translation.image_transport])
    if picture is None:
        raise EpisodeError(source, 'pictures', 'the bag holds none, so there is nothing to '
                           f'evaluate; {_there(topics)}')
    instruction = find('instruction_topic', (_STRING,), fallback=False)
    if instruction is None:
        instruction = next((topic for topic in topics if topic.messages and topic.kind == _STRING
                            and topic.name.endswith('/active_instruction')), None)
    parent = _base(picture.name).rpartition('/')[0]
    info = next((topic for topic in topics if topic.kind == _INFO and topic.messages
                 and topic.name == f'{parent}/camera_info'), None)
    driven = (STAMPED, TWIST, ODOMETRY) if 'command_topic' in named else (STAMPED, TWIST)
    command = (find('command_topic', driven, needed=compared)
               or find('odometry_topic', (ODOMETRY,), needed=compared))
    description = next((topic for topic in topics if topic.kind == _STRING and topic.messages
                        and is_called(topic, 'robot_description')), None)
    return Roles(picture, command, instruction, info,
                 find('odometry_topic', (ODOMETRY,), needed=False), description)


def roles_of(recording: Recording, named: Mapping[str, Any], path: Path,
             compared: bool = True) -> tuple[Roles, Translation, dict[str, Any]]:
    """Return roles, translation and what the recorder kept; ``named`` is what the user gave.

    ``compared`` is as for :func:`assign`.
    """
    kept = kept_by_recorder(recording.custom, path)
    base = kept_translation(path, kept)
    translation = Translation.model_validate(base.model_dump() | dict(named))
    roles = assign(recording.topics, translation, named, str(path), compared)
    return roles, translation, kept


def played_roles(recording: Recording, image_topic: str,
                 path: Path) -> tuple[Roles, dict[str, Any]]:
    """Return the roles of what is played to live nodes, and what the recorder kept.

    ``image_topic`` is the camera, '' for the only one. Raises EpisodeError as :func:`assign`.
    """
    named = {'image_topic': image_topic} if image_topic else {}
    roles, _, kept = roles_of(recording, named, path, compared=False)
    return roles, kept


def transforms(topics: Sequence[Topic]) -> tuple[Topic | None, Topic | None]:
    """Return the topics of moving and of fixed transforms; None where the bag has none."""
    found = [topic for topic in topics if topic.kind == _TRANSFORMS and topic.messages]
    moving, fixed = (next((topic for topic in found if is_called(topic, name)), None)
                     for name in ('tf', 'tf_static'))
    return moving, fixed


def picture_transport(path: Path, image_topic: str = '') -> Literal['raw', 'compressed']:
    """Return how a bag holds the pictures of a camera, as :func:`played_roles` finds it."""
    with open_recording(path) as recording:
        roles, _ = played_roles(recording, image_topic, path)
    return 'compressed' if roles.picture.kind == COMPRESSED else 'raw'


def is_called(topic: Topic, wanted: str) -> bool:
    """Tell whether this is a topic's name, in whatever namespace and transport."""
    return any(name == wanted or name.endswith(f'/{wanted}')
               for name in (topic.name.strip('/'), _base(topic.name).strip('/')))


def _base(name: str) -> str:
    return name.removesuffix('/compressed')


def _there(topics: Sequence[Topic]) -> str:
    found = ', '.join(sorted(f'{topic.name} ({topic.kind})' for topic in topics))
    return f'the bag holds {found or "no topics"}'
