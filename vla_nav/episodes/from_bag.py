"""Turn a ROS 2 bag into episodes, through the same translation as the live node."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vla_nav.embodiments import Embodiment
from vla_nav.episodes.bag_commands import STILL, TwistReader
from vla_nav.episodes.bag_streams import OpenBag, Streams, custom_data, open_bag
from vla_nav.episodes.schema import Episode, EpisodeError, JpegPictures, Pictures
from vla_nav.observations.align import nearest_previous
from vla_nav.observations.translation import Translation

_LOG = logging.getLogger(__name__)
METADATA_KEY = 'vla_nav'  # as vla_nav.recording.take keeps it
# Standing before the first command teaches to stand; a second of it at the end teaches to stop.
_KEEP_AFTER_NS = 1_000_000_000
_SHORTEST = 2


@dataclass(frozen=True)
class _Run:
    """Pictures ``rows`` of a stream with the commands [N, A] that answer them."""

    streams: Streams
    rows: NDArray[np.int64]
    actions: NDArray[np.float32]
    instruction: str


def episodes_from_bag(path: Path, translation: Translation | None = None, instruction: str = '',
                      embodiment: Embodiment | None = None, trim: bool = True,
                      say: Callable[[str], None] = _LOG.info) -> Iterator[Episode]:
    """Yield a bag's episodes; each is to be used before the next is asked for.

    ``translation``, ``instruction`` and ``embodiment`` win over what the recorder kept in the
    bag. The profile ``embodiment`` says what the commands are, and which axes the robot has;
    without one they are SI velocities, whatever robot the recorder named. An episode ends where
    the instruction changes, the pictures pause or time goes back. A picture without a command
    within the tolerance is left out, and said so. ``trim`` cuts the standing still before the
    first command, and all but a second of it after the last. How the recorder was told that it
    ended is said of the last run alone.
    """
    kept = recorded(path)
    translation = translation or kept_translation(path, kept)
    success = kept_success(path, kept)
    default = kept.get('instruction', '')
    robot = embodiment.name if embodiment else kept.get('embodiment') or 'omni'
    reader = TwistReader.of(translation.action_names, embodiment, path)
    translation = translation.model_copy(update={'action_names': reader.names})
    found = False
    with open_bag(path, translation) as bag:
        repeated = sum(streams.repeated for streams in bag.streams)
        if repeated:
            total = repeated + sum(len(streams.pictures) for streams in bag.streams)
            say(f'{bag.source}: {repeated} of {total} pictures carry the stamp of the one before '
                'and are left out; where the camera sets none, take the time of arrival: '
                '--stamp-source arrival')
        runs = [run for streams in bag.streams
                for run in _runs(bag, streams, translation, reader, default, instruction, trim,
                                 say)]
        for run in runs:
            if len(run.rows) < _SHORTEST:
                continue
            if not run.instruction.strip():
                raise EpisodeError(bag.source, 'instruction', 'there is none for the picture at '
                                   f'{run.streams.pictures[run.rows[0]][0]}; say what the driver '
                                   'did (--instruction)')
            found = True
            yield _episode(bag, run, translation, robot, kept.get('scenario', ''),
                           success if run is runs[-1] else None, say)
    if not found:
        raise EpisodeError(path, 'pictures', 'none has a command that moves the robot within '
                           f'{translation.command_tolerance} s: was the robot driven, and do the '
                           'camera and the commands use the same clock? For a camera whose clock '
                           'is off: --stamp-source arrival')


def recorded(path: Path) -> dict[str, Any]:
    """Return what vla_nav's recorder kept in the bag; empty for other recorders."""
    return kept_by_recorder(custom_data(path), path)


def kept_by_recorder(custom: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Return the recorder's part of a bag's custom data; raise EpisodeError naming ``path``."""
    text = custom.get(METADATA_KEY)
    if text is None:
        return {}
    try:
        kept = json.loads(text)
        if isinstance(kept, dict):
            return kept
    except ValueError:
        pass
    raise EpisodeError(path, f'custom_data.{METADATA_KEY}', 'is not a JSON object')


def kept_translation(path: Path, kept: dict[str, Any]) -> Translation:
    """Return the translation of a recording, or the default one."""
    try:
        return Translation.model_validate(kept.get('translation', {}))
    except ValidationError as error:
        raise EpisodeError(path, 'translation', str(error)) from error


def kept_success(path: Path, kept: dict[str, Any]) -> bool | None:
    """Return whether the operator called the recording a success; None where nobody said."""
    success = kept.get('success')
    if success is None or isinstance(success, bool):
        return success
    raise EpisodeError(path, f'custom_data.{METADATA_KEY}', f'success is {success!r}, expected '
                       'true, false or null')


def _commands(streams: Streams, translation: Translation, reader: TwistReader, source: str,
              say: Callable[[str], None]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the rows of the pictures with a command, and these commands [N, A]."""
    stamps = np.asarray([stamp for stamp, _ in streams.pictures], np.int64)
    at = stamps + round(translation.command_lead * 1e9)
    chosen = nearest_previous([t for t, _ in streams.commands], at,
                              round(translation.command_tolerance * 1e9))
    rows = np.flatnonzero(chosen >= 0)
    if len(rows) < len(stamps):
        say(f'{source}: {len(stamps) - len(rows)} of {len(stamps)} pictures have no command '
            f'within {translation.command_tolerance} s and are left out')
    velocities = np.asarray([v for _, v in streams.commands], np.float32).reshape(-1, 3)
    return rows, reader.read(velocities[chosen[rows]])


def _texts(streams: Streams, rows: NDArray[np.int64], default: str, given: str) -> list[str]:
    """Return the instruction in force at each row, by time of arrival."""
    if given or not streams.instructions:
        return [given or default] * len(rows)
    arrivals = [streams.pictures[row][1] for row in rows]
    index = np.searchsorted([t for t, _ in streams.instructions], arrivals, side='right') - 1
    return [streams.instructions[i][1] if i >= 0 else default for i in index.tolist()]


def _runs(bag: OpenBag, streams: Streams, translation: Translation, reader: TwistReader,
          default: str, given: str, trim: bool, say: Callable[[str], None]) -> Iterator[_Run]:
    """Yield what makes one episode each; runs in which the robot stood still are empty."""
    rows, actions = _commands(streams, translation, reader, bag.source, say)
    texts = _texts(streams, rows, default, given)
    stamps = np.asarray([streams.pictures[row][0] for row in rows], np.int64)
    paused = np.diff(stamps) > round(translation.longest_gap * 1e9)
    other = np.array([a != b for a, b in pairwise(texts)], bool)
    for part in np.split(np.arange(len(rows)), np.flatnonzero(paused | other) + 1):
        text = texts[part[0]] if len(part) else ''
        if trim:
            moving = part[np.abs(actions[part]).max(axis=1) > STILL]
            part = part[:0] if not len(moving) else part[
                (part >= moving[0]) & (stamps[part] <= stamps[moving[-1]] + _KEEP_AFTER_NS)]
        yield _Run(streams, rows[part], actions[part], text)


def _episode(bag: OpenBag, run: _Run, translation: Translation, embodiment: str, scenario: str,
             success: bool | None, say: Callable[[str], None]) -> Episode:
    streams, rows = run.streams, run.rows
    pictures = [streams.pictures[row] for row in rows]
    stamps = np.asarray([stamp for stamp, _ in pictures], np.int64)
    images: Pictures = (JpegPictures([streams.jpeg[row] for row in rows], bag.source)
                        if streams.jpeg else bag.raw_pictures(pictures))
    chosen = nearest_previous([t for t, _ in streams.odometry], stamps,
                              round(translation.odometry_tolerance * 1e9))
    odometry = None
    if streams.odometry:
        if (chosen >= 0).all():
            odometry = np.asarray([o for _, o in streams.odometry], np.float32)[chosen]
        else:
            say(f'{bag.source}: {int((chosen < 0).sum())} of {len(rows)} pictures have no '
                f'odometry within {translation.odometry_tolerance} s: the episode has none')
    return Episode(images, run.actions, stamps, run.instruction, translation.action_names,
                   embodiment, scenario, odometry, success)
