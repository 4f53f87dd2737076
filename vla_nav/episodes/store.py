"""Episodes in HDF5: one a file, or one a group where thousands share a file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from vla_nav.episodes.schema import FORMAT_VERSION, Episode, EpisodeError, JpegPictures

SUFFIXES = ('.h5', '.hdf5')


class EpisodeRef(NamedTuple):
    """Where an episode lies: a file, and the group in it ('/' where the file is the episode)."""

    path: Path
    group: str = '/'

    def __str__(self) -> str:
        return str(self.path) if self.group == '/' else f'{self.path}:{self.group}'


def write_episode(ref: EpisodeRef, episode: Episode) -> None:
    """Write an episode; pictures held as JPEG stay so, others are stored raw.

    A file of its own appears complete or not at all, and replaces an older one. A group is
    added to its file and must be new. Raises EpisodeError where the episode breaks the contract.
    """
    episode.check(str(ref))
    if ref.group != '/':
        with _open(ref.path, 'a') as file:
            if ref.group in file:
                raise EpisodeError(ref, 'group', 'is already there; choose another name')
            _fill(file.create_group(ref.group), episode)
        return
    unfinished = ref.path.with_name(f'.{ref.path.name}.part')
    try:
        with _open(unfinished, 'w') as file:
            _fill(file, episode)
        os.replace(unfinished, ref.path)
    finally:
        unfinished.unlink(missing_ok=True)


def find_episodes(path: Path) -> tuple[list[EpisodeRef], list[EpisodeError]]:
    """Return the episodes of a file or a directory tree, by name, and what cannot be opened."""
    if not path.exists():
        raise EpisodeError(path, 'file', 'no such file or directory')
    files = [path] if path.is_file() else sorted(
        p for p in path.rglob('*') if p.suffix in SUFFIXES and not p.name.startswith('.'))
    refs: list[EpisodeRef] = []
    errors: list[EpisodeError] = []
    for file_path in files:
        try:
            with _open(file_path, 'r') as file, named_damage(file_path, 'group'):
                groups = [name for name in file if isinstance(file[name], h5py.Group)
                          and 'format_version' in file[name].attrs]
        except EpisodeError as error:
            errors.append(error)
            continue
        refs += [EpisodeRef(file_path, name) for name in groups] or [EpisodeRef(file_path)]
    return refs, errors


@contextmanager
def open_stored(ref: EpisodeRef) -> Iterator[Episode]:
    """Open an episode of this format; pictures are read when asked for, while it is open."""
    with open_group(ref) as group:
        yield read_group(group, str(ref))


@contextmanager
def open_group(ref: EpisodeRef) -> Iterator[h5py.Group]:
    """Open the HDF5 group of an episode; raise EpisodeError naming file and group."""
    with _open(ref.path, 'r') as file:
        with named_damage(ref.path, ref.group):
            group = file.get(ref.group)
            if not isinstance(group, h5py.Group):
                raise EpisodeError(ref.path, ref.group, f'no such group; there are {list(file)}')
        yield group


def read_group(group: h5py.Group, source: str) -> Episode:
    """Return the episode in an open group of this format; raise EpisodeError naming the field."""
    version = _attribute(group, 'format_version', source)
    if version != FORMAT_VERSION:
        raise EpisodeError(source, 'format_version', f'is {version!r}, this vla_nav reads '
                           f'{FORMAT_VERSION}; convert the recording or update vla_nav')
    if 'jpeg' in group:
        jpeg = _H5Rows(_dataset(group, 'jpeg', source), source, 'jpeg')
        images: Any = JpegPictures(jpeg, source)
    else:
        images = stored_images(group, 'images', source)
    episode = Episode(
        images=images,
        actions=read_array(group, 'actions', np.float32, source),
        stamps_ns=read_array(group, 'stamps_ns', np.int64, source),
        instruction=_text(group, 'instruction', source),
        action_names=_action_names(group, source),
        embodiment=_text(group, 'embodiment', source),
        scenario=_text(group, 'scenario', source),
        odometry=(read_array(group, 'odometry', np.float32, source)
                  if 'odometry' in group else None),
        success=_success(group, source),
    )
    episode.check(source)
    return episode


def read_array(group: h5py.Group, name: str, dtype: Any, source: str) -> NDArray[Any]:
    """Read a whole numeric dataset as ``dtype``; raise EpisodeError naming file and field."""
    found = _dataset(group, name, source)
    if found.dtype.kind not in 'iuf' or (np.dtype(dtype).kind == 'i' and found.dtype.kind == 'f'):
        raise EpisodeError(source, name, f'holds {found.dtype}, expected {np.dtype(dtype)}')
    with named_damage(source, name):
        return np.asarray(found[()], dtype)


def stored_images(group: h5py.Group, name: str, source: str) -> Sequence[NDArray[np.uint8]]:
    """Return raw pictures that are read one by one; raise EpisodeError for another layout."""
    found = _dataset(group, name, source)
    if found.dtype != np.uint8 or found.ndim != 4 or found.shape[3] != 3 or 0 in found.shape:
        raise EpisodeError(source, name, f'is {found.dtype} {found.shape}, expected uint8 '
                           '[T, H, W, 3]')
    return _H5Rows(found, source, name)


@contextmanager
def named_damage(source: object, field: str) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into an EpisodeError that names file and field."""
    try:
        yield
    except EpisodeError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError) as error:
        raise EpisodeError(source, field, f'cannot be read: {error}') from error


class _H5Rows(Sequence[Any]):
    """Rows of a dataset; a damaged one is named instead of HDF5's stack of inner errors."""

    def __init__(self, rows: h5py.Dataset, source: str, name: str) -> None:
        self._rows, self._source, self._name = rows, source, name

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        with named_damage(self._source, f'{self._name}[{index}]'):
            return self._rows[index]


def _dataset(group: h5py.Group, name: str, source: str) -> h5py.Dataset:
    with named_damage(source, name):
        found = group.get(name)
        if not isinstance(found, h5py.Dataset):
            raise EpisodeError(source, name, f'is missing; there are {sorted(group)}')
        return found


def _attribute(group: h5py.Group, name: str, source: str) -> Any:
    with named_damage(source, name):
        return group.attrs.get(name)


def _text(group: h5py.Group, name: str, source: str) -> str:
    value = _attribute(group, name, source)
    if not isinstance(value, str):
        raise EpisodeError(source, name, f'the attribute is {value!r}, expected a text')
    return value


def _success(group: h5py.Group, source: str) -> bool | None:
    value = _attribute(group, 'success', source)
    if value is not None and not isinstance(value, (bool, np.bool_)):
        raise EpisodeError(source, 'success', f'the attribute is {value!r}, expected true or '
                           'false, or none at all')
    return None if value is None else bool(value)


def _action_names(group: h5py.Group, source: str) -> tuple[str, ...]:
    value = _attribute(group, 'action_names', source)
    if np.ndim(value) != 1 or not all(isinstance(name, str) for name in value):
        raise EpisodeError(source, 'action_names', f'the attribute is {value!r}, expected texts '
                           'such as linear_x')
    return tuple(value)


def _fill(group: h5py.Group, episode: Episode) -> None:
    if isinstance(episode.images, JpegPictures):
        rows = group.create_dataset('jpeg', (len(episode),), h5py.vlen_dtype(np.uint8))
        for index in range(len(episode)):
            rows[index] = np.frombuffer(episode.images.encoded(index), np.uint8)
    else:
        shape = episode.images[0].shape
        # A chunk a picture, so that training reads single frames without its neighbours.
        rows = group.create_dataset('images', (len(episode), *shape), np.uint8, chunks=(1, *shape))
        for index in range(len(episode)):
            rows[index] = episode.images[index]
    group['actions'] = np.asarray(episode.actions, np.float32)
    if episode.stamps_ns is None:
        raise EpisodeError(group.file.filename, 'stamps_ns', 'are missing; an episode is stored '
                           'with the stamps of its pictures')
    group['stamps_ns'] = np.asarray(episode.stamps_ns, np.int64)
    if episode.odometry is not None:
        group['odometry'] = np.asarray(episode.odometry, np.float32)
    group.attrs['instruction'] = episode.instruction
    group.attrs['action_names'] = list(episode.action_names)
    group.attrs['embodiment'] = episode.embodiment
    group.attrs['scenario'] = episode.scenario
    if episode.success is not None:
        group.attrs['success'] = episode.success
    group.attrs['format_version'] = FORMAT_VERSION


@contextmanager
def _open(path: Path, mode: str) -> Iterator[h5py.File]:
    try:
        file = h5py.File(path, mode)
    except OSError as error:
        raise EpisodeError(path, 'file', f'not a readable HDF5 file: {error}') from error
    with file:
        yield file
