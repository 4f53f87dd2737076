"""Open any recording as episodes: bags, tubs, LeRobot datasets, and HDF5 of every layout."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vla_nav.embodiments import Embodiment
from vla_nav.episodes.from_tub import episodes_from_tub
from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode, EpisodeError
from vla_nav.episodes.store import SUFFIXES, EpisodeRef, find_episodes, write_episode
from vla_nav.observations.translation import Translation
from vla_nav.spaces import AXES, DIFFERENTIAL_2D, OMNI_3D

_LOG = logging.getLogger(__name__)
FORMATS = ('hdf5', 'lerobot', 'lerobot-video')
_BAG_FILES = ('.mcap', '.db3')
_BAG_METADATA = 'metadata.yaml'
_TRACK = 'follow the track'


@dataclass(frozen=True)
class Options:
    """What a recording does not tell, or tells wrongly; empty leaves it as it is."""

    instruction: str = ''
    embodiment: Embodiment | None = None
    translation: Mapping[str, Any] = field(default_factory=dict)  # fields of Translation
    camera: str = ''
    rate_hz: float | None = None
    say: Callable[[str], None] = _LOG.info


def kind_of(path: Path) -> str:
    """Return 'bag', 'tub', 'lerobot' or 'hdf5'; raise EpisodeError for anything else."""
    if not path.exists():
        raise EpisodeError(path, 'file', 'no such file or directory')
    if path.is_file():
        if path.suffix in _BAG_FILES:
            return 'bag'
        if path.name.endswith(('.tar.gz', '.tgz', '.tar')):
            return 'tub'
        if path.suffix in SUFFIXES:
            return 'hdf5'
    elif (path / 'manifest.json').is_file():
        return 'tub'
    elif (path / 'meta' / 'info.json').is_file():
        return 'lerobot'
    elif _bags(path):
        return 'bag'
    elif any(p.suffix in SUFFIXES for p in path.rglob('*')):
        return 'hdf5'
    raise EpisodeError(path, 'format', 'is no recording known here: a ROS 2 bag (or a folder of '
                       'them), a donkeycar tub, a LeRobot dataset, or HDF5 files')


def open_recordings(path: Path, options: Options) -> Iterator[tuple[str, Episode]]:
    """Yield (name, episode) of whatever lies at ``path``.

    Each episode is to be used before the next is asked for: its pictures may be read lazily.
    """
    kind = kind_of(path)
    name = path.name.removesuffix('.gz').removesuffix('.tar').removesuffix('.tgz')
    if kind == 'bag':
        yield from _from_bags(path, options)
    elif kind == 'tub':
        space = options.embodiment.space() if options.embodiment else DIFFERENTIAL_2D
        episodes = episodes_from_tub(path, options.instruction or _TRACK, options.rate_hz,
                                     space=space)
        for number, episode in enumerate(episodes):
            yield f'{name}_{number:04d}', episode
    elif kind == 'lerobot':
        from vla_nav.episodes.lerobot_read import episodes_from_lerobot
        for number, episode in enumerate(episodes_from_lerobot(path, options.embodiment,
                                                               options.camera)):
            yield f'{name}_{number:04d}', episode
    else:
        yield from _from_hdf5(path, options)


def convert(source: Path, out: Path, form: str, options: Options,
            progress: Callable[[Iterator[tuple[str, Episode]]], Iterator[tuple[str, Episode]]]
            = iter) -> tuple[int, int]:
    """Convert everything at ``source`` to ``form`` below ``out``; return episodes, pictures."""
    count = pictures = 0
    recordings = progress(open_recordings(source, options))
    if form == 'hdf5':
        out.mkdir(parents=True, exist_ok=True)
        for name, episode in recordings:
            if episode.stamps_ns is None:
                raise EpisodeError(name, 'stamps_ns', 'are missing: say how many pictures a '
                                   'second there were (--rate)')
            write_episode(EpisodeRef(out / f'{name}.h5'), episode)
            count, pictures = count + 1, pictures + len(episode)
        if not count:
            raise EpisodeError(source, 'episodes', 'there are none')
        return count, pictures
    from vla_nav.episodes.lerobot_write import LeRobotWriter
    writer = LeRobotWriter(out, video=form == 'lerobot-video')
    for name, episode in recordings:
        writer.add(episode, name)
        count, pictures = count + 1, pictures + len(episode)
    writer.close()
    return count, pictures


def _bags(path: Path) -> list[Path]:
    """Return the bags at or below a directory: folders with ``metadata.yaml``, no hidden ones."""
    return sorted(p.parent for p in path.rglob(_BAG_METADATA)
                  if not any(part.startswith('.') for part in p.relative_to(path).parts))


def _from_bags(path: Path, options: Options) -> Iterator[tuple[str, Episode]]:
    from vla_nav.episodes.bag_commands import TwistReader
    from vla_nav.episodes.from_bag import episodes_from_bag, kept_translation, recorded
    TwistReader.of(AXES, options.embodiment, path)  # a profile that fits no bag is told once
    bags = [path] if path.is_file() else _bags(path)
    for bag in bags:
        try:
            kept = kept_translation(bag, recorded(bag)).model_dump()
            translation = Translation.model_validate({**kept, **options.translation})
            for number, episode in enumerate(episodes_from_bag(
                    bag, translation, options.instruction, options.embodiment,
                    say=options.say)):
                yield f'{bag.stem}_{number:02d}', episode
        except EpisodeError as error:
            if len(bags) == 1:
                raise
            # One take in which the robot stood still must not spoil the others.
            options.say(f'left out: {error}')


def _from_hdf5(path: Path, options: Options) -> Iterator[tuple[str, Episode]]:
    refs, errors = find_episodes(path)
    if errors:
        raise errors[0]
    space = options.embodiment.space() if options.embodiment else OMNI_3D
    for ref in refs:
        with open_episode(ref, space) as episode:
            where = ref.path.stem if ref.group == '/' else f'{ref.path.stem}_{ref.group}'
            yield where, _with_stamps(episode, options.rate_hz)


def _with_stamps(episode: Episode, rate_hz: float | None) -> Episode:
    """Return an older recording with the stamps of its true rate, where that is given."""
    if episode.stamps_ns is not None or rate_hz is None:
        return episode
    stamps = np.round(np.arange(len(episode)) * (1e9 / rate_hz)).astype(np.int64)
    return replace(episode, stamps_ns=stamps)
