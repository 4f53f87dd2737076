"""What rosbag2 has compressed with Zstandard, whole files or single messages, as it was before."""

from __future__ import annotations

import sys
from pathlib import Path

from vla_nav.episodes.schema import EpisodeError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# RFC 8878. A serialised message begins with a zero: the two cannot be taken for each other.
_MAGIC = b'\x28\xb5\x2f\xfd'


def unpack_file(file: Path, folder: Path) -> Path:
    """Write a compressed file's content below ``folder``, as far as it is whole; return where.

    Raises EpisodeError where there is no room.
    """
    path = folder / file.stem
    try:
        with zstd.open(file, 'rb') as packed, path.open('wb') as out:
            # read1, as read() keeps back what it has where the end is missing.
            while piece := packed.read1():
                out.write(piece)
    except (EOFError, zstd.ZstdError):  # what is missing shows in what was written
        pass
    except OSError as error:
        raise EpisodeError(file, 'bag', f'cannot be unpacked: {error}; TMPDIR names a folder '
                           'with more room') from error
    return path


def unpack_message(raw: bytes) -> bytes | None:
    """Return a message as it was serialised, whether or not it is compressed; None if damaged.

    What says so lies in the bag's metadata, which may be lost; the message itself tells too.
    """
    if not raw.startswith(_MAGIC):
        return raw
    try:
        return zstd.decompress(raw)
    except zstd.ZstdError:
        return None
