"""Read a LeRobot v3 dataset as episodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vla_nav.embodiments import Embodiment
from vla_nav.episodes.lerobot_write import (
    INFO_PATH,
    STAMP,
    STATE,
    STATE_NAMES,
    SUCCESS,
    TASKS_PATH,
)
from vla_nav.episodes.schema import Episode, EpisodeError, JpegPictures, Pictures
from vla_nav.spaces import AXES

_CAMERAS = ('image', 'video')


class VideoPictures:
    """Frames of an mp4 from ``first`` on; fast where they are read one after the other."""

    def __init__(self, path: Path, first: int, length: int) -> None:
        self._path, self._first, self._length = path, first, length
        self._frames: Iterator[Any] = iter(())
        self._next = -1

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Return frame ``index``; raise EpisodeError where the video does not hold it."""
        if not 0 <= index < self._length:
            raise IndexError(index)
        wanted = self._first + index
        try:
            if not 0 <= self._next <= wanted:
                self._frames, self._next = self._decode(), 0
            while True:
                frame = next(self._frames)
                self._next += 1
                if self._next > wanted:
                    return np.asarray(frame.to_ndarray(format='rgb24'), np.uint8)
        except (StopIteration, OSError, av.FFmpegError) as error:
            raise EpisodeError(self._path, f'frame {wanted}', 'cannot be decoded'
                               f'{f": {error}" if str(error) else ": the video ends before"}'
                               ) from error

    def _decode(self) -> Iterator[Any]:
        with av.open(str(self._path)) as file:
            yield from file.decode(video=0)


def is_lerobot(root: Path) -> bool:
    """Tell whether a directory is a LeRobot dataset of any version."""
    return (root / INFO_PATH).is_file()


def episodes_from_lerobot(root: Path, embodiment: Embodiment | None = None,
                          camera: str = '') -> Iterator[Episode]:
    """Yield the episodes of a dataset; pictures are read when they are asked for.

    Actions named as this package's axes are taken as SI velocities; for others, ``embodiment``
    says what they mean. ``camera`` chooses one of several.
    """
    info = _info(root)
    key = _camera(root, info, camera)
    columns, profile = _actions(root, info, embodiment)
    tasks = _tasks(root)
    for path in sorted((root / 'meta/episodes').rglob('*.parquet')):
        for row in _table(path).to_pylist():
            yield _episode(root, info, row, key, columns, profile, tasks)


def _episode(root: Path, info: dict[str, Any], row: dict[str, Any], camera: str,
             columns: list[int], profile: Embodiment | None, tasks: dict[int, str]) -> Episode:
    features, number = info['features'], row['episode_index']
    path = root / info['data_path'].format(chunk_index=row['data/chunk_index'],
                                           file_index=row['data/file_index'])
    table = _table(path, number)
    length = len(table)
    recorded = _matrix(table, 'action', path)[:, columns]
    if features[camera]['dtype'] == 'image':
        images: Pictures = JpegPictures([one['bytes'] for one in table[camera].to_pylist()],
                                        f'{path}: {camera}')
    else:
        video = root / info['video_path'].format(
            video_key=camera, chunk_index=row[f'videos/{camera}/chunk_index'],
            file_index=row[f'videos/{camera}/file_index'])
        first = round(row[f'videos/{camera}/from_timestamp'] * info['fps'])
        images = VideoPictures(video, first, length)
    names = tuple(features['action']['names'][i] for i in columns) if profile is None \
        else profile.space().names
    stamps = (table[STAMP].to_numpy() if STAMP in table.column_names
              else np.round(table['frame_index'].to_numpy() * (1e9 / info['fps'])))
    known_state = tuple(features.get(STATE, {}).get('names') or ()) == STATE_NAMES
    episode = Episode(
        images=images, stamps_ns=np.asarray(stamps, np.int64),
        actions=recorded if profile is None else profile.to_si(recorded),
        instruction=tasks[int(table['task_index'][0].as_py())], action_names=names,
        embodiment=row.get('embodiment') or (profile.name if profile else info.get('robot_type')
                                             or 'omni'),
        scenario=row.get('scenario') or '',
        odometry=_matrix(table, STATE, path) if known_state else None,
        success=row['success'] if 'success' in row else _success(table, path))
    episode.check(f'{path}: episode {number}')
    return episode


def _success(table: pa.Table, path: Path) -> bool | None:
    """Return whether a frame says that the task was done; None where the frames say nothing."""
    if SUCCESS not in table.column_names:
        return None
    return bool(_matrix(table, SUCCESS, path).any())


def _info(root: Path) -> dict[str, Any]:
    path = root / INFO_PATH
    try:
        info = json.loads(path.read_text('utf-8'))
        version, _ = str(info['codebase_version']), info['features']['action']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EpisodeError(path, 'file', f'is no description of a LeRobot dataset: {error!r}'
                           ) from error
    if not version.startswith('v3.'):
        raise EpisodeError(path, 'codebase_version', f'is {version}, this reads v3; LeRobot '
                           'converts older ones (lerobot.datasets.v30)')
    return dict(info)


def _camera(root: Path, info: dict[str, Any], wanted: str) -> str:
    cameras = [key for key, one in info['features'].items() if one['dtype'] in _CAMERAS]
    if wanted in cameras:
        return wanted
    if wanted or len(cameras) != 1:
        raise EpisodeError(root, wanted or 'camera', f'the cameras are {cameras}; name one of '
                           'them (--camera)')
    return cameras[0]


def _actions(root: Path, info: dict[str, Any],
             embodiment: Embodiment | None) -> tuple[list[int], Embodiment | None]:
    """Return the columns of the action to read, and the profile that turns them into SI."""
    names = info['features']['action'].get('names') or []
    if isinstance(names, dict):
        names = next(iter(names.values()))
        info['features']['action']['names'] = names
    if embodiment is None:
        if not names or any(name not in AXES for name in names):
            raise EpisodeError(root, 'action', f'are {names or "unnamed"}, not out of '
                               f'{list(AXES)}: give an embodiment profile that says what they '
                               'mean (--embodiment)')
        return list(range(len(names))), None
    missing = [name for name in embodiment.recorded_names if name not in names]
    if missing:
        raise EpisodeError(root, 'action', f'are {names}; the embodiment {embodiment.name} asks '
                           f'for {missing}')
    return [names.index(name) for name in embodiment.recorded_names], embodiment


def _tasks(root: Path) -> dict[int, str]:
    table = _table(root / TASKS_PATH)
    text = next((name for name in table.column_names if name != 'task_index'), None)
    if text is None or 'task_index' not in table.column_names:
        raise EpisodeError(root / TASKS_PATH, 'task', f'there are only {table.column_names}')
    return dict(zip(table['task_index'].to_pylist(), table[text].to_pylist()))


def _table(path: Path, episode: int | None = None) -> pa.Table:
    filters = None if episode is None else [('episode_index', '=', episode)]
    try:
        return pq.read_table(path, filters=filters, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise EpisodeError(path, 'file', f'cannot be read: {error}') from error


def _matrix(table: pa.Table, name: str, path: Path) -> NDArray[np.float32]:
    try:
        return np.asarray(table[name].to_pylist(), np.float32).reshape(len(table), -1)
    except (KeyError, ValueError) as error:
        raise EpisodeError(path, name, f'cannot be read as numbers: {error}') from error
