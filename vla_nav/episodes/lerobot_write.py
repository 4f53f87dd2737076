"""Write episodes as a LeRobot v3 dataset: parquet, and pictures inside it or as H.264 video."""

from __future__ import annotations

import json
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vla_nav.episodes.lerobot_stats import Statistics
from vla_nav.episodes.schema import Episode, EpisodeError, JpegPictures

VERSION = 'v3.0'
CAMERA = 'observation.images.front'
STATE, STATE_NAMES = 'observation.state', ('x', 'y', 'yaw', 'vx', 'vy', 'wz')
STAMP = 'stamp_ns'  # LeRobot's own timestamps are an ideal clock; these are the camera's
SUCCESS = 'next.success'  # true on the last frame of a run that ends with its task done
DATA_PATH = 'data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet'
VIDEO_PATH = 'videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4'
EPISODES_PATH = 'meta/episodes/chunk-000/file-000.parquet'
TASKS_PATH, INFO_PATH, STATS_PATH = 'meta/tasks.parquet', 'meta/info.json', 'meta/stats.json'
FILES_A_CHUNK = 1000
_INDICES = ('frame_index', 'episode_index', 'index', 'task_index')
# LeRobot has one rate for all; an episode further off than this would be played wrongly.
_RATE_TOLERANCE = 0.1


class LeRobotWriter:
    """Adds episodes one by one; the dataset is complete, and readable, after :meth:`close`."""

    def __init__(self, root: Path, video: bool = False) -> None:
        """Begin a dataset in a folder that is new or empty; ``video`` stores pictures as mp4."""
        if root.exists() and any(root.iterdir()):
            raise EpisodeError(root, 'directory', 'is not empty; choose a new one')
        self._root, self._video = root, video
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict[str, Any]] = []
        self._statistics = Statistics()
        self._frames, self._fps = 0, 0
        self._first: Episode | None = None
        self._shape: tuple[int, ...] = ()
        self._marked = False

    def add(self, episode: Episode, source: str = 'episode') -> None:
        """Append an episode; raise EpisodeError where it does not fit the ones before."""
        episode.check(source)
        self._check_like_first(episode, source)
        number, length = len(self._episodes), len(episode)
        chunk, file = divmod(number, FILES_A_CHUNK)
        place = {'chunk_index': chunk, 'file_index': file}
        task = self._tasks.setdefault(episode.instruction, len(self._tasks))
        frame_index = np.arange(length)
        columns: dict[str, Any] = {
            'action': _rows(episode.actions),
            'timestamp': (frame_index / self._fps).astype(np.float32),
            'frame_index': frame_index, 'episode_index': np.full(length, number),
            'index': self._frames + frame_index, 'task_index': np.full(length, task)}
        if episode.stamps_ns is not None:
            columns[STAMP] = episode.stamps_ns
        if episode.odometry is not None:
            columns[STATE] = _rows(episode.odometry)
        row: dict[str, Any] = {
            'episode_index': number, 'tasks': [episode.instruction], 'length': length,
            'dataset_from_index': self._frames, 'dataset_to_index': self._frames + length,
            'data/chunk_index': chunk, 'data/file_index': file,
            'meta/episodes/chunk_index': 0, 'meta/episodes/file_index': 0,
            'embodiment': episode.embodiment, 'scenario': episode.scenario,
            'success': episode.success}
        if self._video:
            path = self._root / VIDEO_PATH.format(video_key=CAMERA, **place)
            _write_video(path, episode, self._fps)
            row |= {f'videos/{CAMERA}/{key}': value for key, value in (
                *place.items(), ('from_timestamp', 0.0), ('to_timestamp', length / self._fps))}
        else:
            columns[CAMERA] = pa.array(
                [{'bytes': _encoded(episode, i), 'path': None} for i in range(length)],
                pa.struct([('bytes', pa.binary()), ('path', pa.string())]))
        path = self._root / DATA_PATH.format(**place)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)
        self._statistics.add(episode, CAMERA, STATE)
        self._episodes.append(row)
        self._frames += length

    def close(self) -> None:
        """Write what describes the dataset; the last file makes it one."""
        if self._first is None:
            raise EpisodeError(self._root, 'episodes', 'there are none to write')
        marks = [row.pop('success') for row in self._episodes]
        # A frame is a success or is none: where nobody said, there is nothing to write of it.
        self._marked = None not in marks
        if self._marked:
            self._write_marks(marks)
        (self._root / EPISODES_PATH).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(self._episodes).append_column(
            'success', pa.array(marks, pa.bool_())), self._root / EPISODES_PATH)
        pq.write_table(_tasks_table(self._tasks), self._root / TASKS_PATH)
        _write_json(self._root / STATS_PATH, self._statistics.to_dict())
        _write_json(self._root / INFO_PATH, {
            'codebase_version': VERSION, 'robot_type': self._first.embodiment,
            'total_episodes': len(self._episodes), 'total_frames': self._frames,
            'total_tasks': len(self._tasks), 'chunks_size': FILES_A_CHUNK,
            'data_files_size_in_mb': 100, 'video_files_size_in_mb': 200, 'fps': self._fps,
            'splits': {'train': f'0:{len(self._episodes)}'}, 'data_path': DATA_PATH,
            'video_path': VIDEO_PATH if self._video else None,
            'features': self._features(self._first)})

    def _write_marks(self, marks: list[bool]) -> None:
        """Add how each episode ended to its frames: only now is it known that all have a mark."""
        for number, success in enumerate(marks):
            chunk, file = divmod(number, FILES_A_CHUNK)
            path = self._root / DATA_PATH.format(chunk_index=chunk, file_index=file)
            table = pq.read_table(path, partitioning=None)
            column = np.zeros(len(table), bool)
            column[-1] = success
            pq.write_table(table.append_column(SUCCESS, pa.array(column)), path)

    def _check_like_first(self, episode: Episode, source: str) -> None:
        rate, shape = _rate(episode, source), episode.images[0].shape
        if self._first is None:
            self._first, self._fps, self._shape = episode, max(1, round(rate)), shape
            if self._video and (shape[0] % 2 or shape[1] % 2):
                raise EpisodeError(source, 'images', f'are {shape[1]}x{shape[0]}; H.264 needs '
                                   'even sizes: store pictures instead of video')
        if abs(rate - self._fps) > _RATE_TOLERANCE * self._fps:
            raise EpisodeError(source, 'stamps_ns', f'are at {rate:.2f} Hz, the dataset is at '
                               f'{self._fps} Hz: LeRobot has one rate, so write them apart')
        for field, here, first in (
                ('images', shape, self._shape),
                ('action_names', episode.action_names, self._first.action_names),
                ('stamps_ns', episode.stamps_ns is None, self._first.stamps_ns is None),
                ('odometry', episode.odometry is None, self._first.odometry is None)):
            if here != first:
                raise EpisodeError(source, field, f'{here} unlike {first} in the first episode: '
                                   'LeRobot has the same features in all, so write them apart')

    def _features(self, episode: Episode) -> dict[str, Any]:
        height, width, _ = self._shape
        camera: dict[str, Any] = {'dtype': 'image', 'shape': [height, width, 3],
                                  'names': ['height', 'width', 'channels']}
        if self._video:
            camera |= {'dtype': 'video', 'info': {
                'video.height': height, 'video.width': width, 'video.codec': 'h264',
                'video.pix_fmt': 'yuv420p', 'video.is_depth_map': False, 'video.fps': self._fps,
                'video.channels': 3, 'has_audio': False}}
        vectors = {'action': episode.action_names}
        if episode.odometry is not None:
            vectors[STATE] = STATE_NAMES
        scalars = [*_INDICES, *([STAMP] if episode.stamps_ns is not None else [])]
        flags = [SUCCESS] if self._marked else []
        return {
            CAMERA: camera,
            **{key: {'dtype': 'float32', 'shape': [len(names)], 'names': list(names)}
               for key, names in vectors.items()},
            'timestamp': {'dtype': 'float32', 'shape': [1], 'names': None},
            **{key: {'dtype': 'int64', 'shape': [1], 'names': None} for key in scalars},
            **{key: {'dtype': 'bool', 'shape': [1], 'names': None} for key in flags}}


def write_lerobot(root: Path, episodes: Iterable[Episode], video: bool = False) -> int:
    """Write a dataset and return its number of episodes."""
    writer, count = LeRobotWriter(root, video), 0
    for count, episode in enumerate(episodes, 1):
        writer.add(episode, f'episode {count - 1}')
    writer.close()
    return count


def _rate(episode: Episode, source: str) -> float:
    if episode.stamps_ns is None or len(episode) < 2:
        raise EpisodeError(source, 'stamps_ns', 'are missing or too few; LeRobot needs a rate')
    return 1e9 / float(np.median(np.diff(episode.stamps_ns)))


def _rows(values: NDArray[np.float32]) -> pa.Array:
    return pa.array([*np.asarray(values, np.float32)], pa.list_(pa.float32()))


def _encoded(episode: Episode, index: int) -> bytes:
    """Return a picture as it was recorded, or as PNG: nothing is lost either way."""
    if isinstance(episode.images, JpegPictures):
        return episode.images.encoded(index)
    bgr = cv2.cvtColor(episode.images[index], cv2.COLOR_RGB2BGR)
    return cv2.imencode('.png', bgr)[1].tobytes()


def _write_video(path: Path, episode: Episode, fps: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width, _ = episode.images[0].shape
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('libx264', rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
        stream.time_base = Fraction(1, fps)
        # Key frames close together: training reads single frames from anywhere.
        stream.options = {'crf': '18', 'g': '2', 'preset': 'veryfast', 'bf': '0'}
        for index in range(len(episode)):
            frame = av.VideoFrame.from_ndarray(episode.images[index], format='rgb24')
            frame.pts = index
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def _tasks_table(tasks: dict[str, int]) -> pa.Table:
    """Return the tasks as pandas would write them: the text is the index of the frame."""
    table = pa.table({'task_index': list(tasks.values()), 'task': list(tasks)})
    columns = [{'name': name, 'field_name': name, 'pandas_type': kind, 'numpy_type': numpy,
                'metadata': None}
               for name, kind, numpy in (('task_index', 'int64', 'int64'),
                                         ('task', 'unicode', 'object'))]
    return table.replace_schema_metadata({'pandas': json.dumps({
        'index_columns': ['task'], 'columns': columns, 'column_indexes': []})})


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=4, ensure_ascii=False) + '\n', 'utf-8')
