"""Read donkeycar tubs (version 2), as directories or as .tar.gz, without unpacking them."""

from __future__ import annotations

import json
import logging
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vla_nav.episodes.schema import EpisodeError

_LOG = logging.getLogger(__name__)
_MANIFEST = 'manifest.json'


@dataclass(frozen=True)
class TubRecord:
    """One record: the camera's JPEG and the driver's commands.

    ``steering`` is in [-1, 1] with + to the right and ``throttle`` in [-1, 1] with + forward, as
    donkeycar has them.
    """

    index: int
    jpeg: bytes
    steering: float
    throttle: float
    stamp_ns: int


def read_tub(path: str | Path, rate_hz: float | None = None,
             on_bad: Callable[[str], None] = _LOG.warning) -> Iterator[TubRecord]:
    """Yield the records of a tub in their order, without those its driver deleted.

    ``rate_hz`` replaces the recorded stamps by index / rate from the first one on: converted
    tubs carry the stamps of their conversion. A record that cannot be read is told to
    ``on_bad`` with file and field and left out; a tub that cannot be read raises EpisodeError.
    """
    files = _files(Path(path))
    catalogs, deleted = _manifest(files, str(path))
    start_ns: int | None = None
    for catalog in catalogs:
        for number, line in enumerate(_text(files, catalog, str(path)).splitlines(), 1):
            if not line.strip():
                continue
            try:
                record = _record(json.loads(line), files)
            except (KeyError, OSError, TypeError, ValueError) as error:
                reason = f'no field {error}' if isinstance(error, KeyError) else str(error)
                on_bad(f'{path}: {catalog} line {number}: {reason}; the record is left out')
                continue
            if record.index in deleted:
                continue
            if rate_hz is not None:
                start_ns = record.stamp_ns if start_ns is None else start_ns
                record = TubRecord(record.index, record.jpeg, record.steering, record.throttle,
                                   start_ns + round(record.index * 1e9 / rate_hz))
            yield record


def _record(fields: Any, files: Mapping[str, Path | bytes]) -> TubRecord:
    image = f'images/{fields["cam/image_array"]}'
    if image not in files:
        raise ValueError(f'cam/image_array: there is no {image}')
    jpeg = _read(files[image])
    if not jpeg.startswith(b'\xff\xd8'):
        raise ValueError(f'cam/image_array: {image} is not a JPEG')
    return TubRecord(int(fields['_index']), jpeg, float(fields['user/angle']),
                     float(fields['user/throttle']), int(fields['_timestamp_ms']) * 1_000_000)


def _manifest(files: Mapping[str, Path | bytes],
              source: str) -> tuple[list[str], set[int]]:
    """Return the catalogs' names and the deleted indexes: the last line of ``manifest.json``."""
    if _MANIFEST not in files:
        raise EpisodeError(source, _MANIFEST, 'is missing, so this is no donkeycar tub of version '
                           '2; donkeycar converts older tubs (convert_to_tub_v2.py)')
    try:
        last = json.loads(_text(files, _MANIFEST, source).splitlines()[-1])
        return [str(name) for name in last['paths']], {int(i) for i in last['deleted_indexes']}
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise EpisodeError(source, _MANIFEST, 'paths and deleted_indexes cannot be read '
                           f'({error!r})') from error


def _text(files: Mapping[str, Path | bytes], name: str, source: str) -> str:
    if name not in files:
        raise EpisodeError(source, name, f'is named in {_MANIFEST}, but is not there')
    try:
        return _read(files[name]).decode()
    except UnicodeDecodeError as error:
        raise EpisodeError(source, name, f'is not text: {error}') from error


def _files(path: Path) -> Mapping[str, Path | bytes]:
    """Return the tub's files by their path inside it: a file on disk, or an archive's content."""
    if path.is_dir():
        return {p.relative_to(path).as_posix(): p for p in path.rglob('*') if p.is_file()}
    if not path.exists():
        raise EpisodeError(path, 'file', 'no such tub')
    try:
        # One pass into memory: a compressed archive cannot be read out of order, and nothing
        # from it is ever written to a disk.
        with tarfile.open(path) as archive:
            members = {PurePosixPath(m.name): _content(archive, m) for m in archive if m.isfile()}
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise EpisodeError(path, 'file', f'not a readable tub archive: {error}') from error
    roots = [p.parent for p in members if p.name == _MANIFEST]
    if len(roots) != 1:
        raise EpisodeError(path, _MANIFEST, f'is there {len(roots)} times, expected once')
    return {p.relative_to(roots[0]).as_posix(): content
            for p, content in members.items() if p.is_relative_to(roots[0])}


def _read(file: Path | bytes) -> bytes:
    return file if isinstance(file, bytes) else file.read_bytes()


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream is not None else b''
