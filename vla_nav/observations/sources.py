"""Pictures from a webcam, a video, a folder or a donkeycar tub, one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_nav.observations.decode import decode_compressed

_ENCODED = ('.jpg', '.jpeg', '.png')
_TUB_MANIFEST = 'manifest.json'
DEFAULT_RATE_HZ = 20.0


@dataclass(frozen=True)
class Picture:
    """A picture as the source has it: encoded (JPEG or PNG), or as pixels.

    Keeping the encoded form lets a JPEG travel on as it is.
    """

    encoded: bytes = b''
    pixels: NDArray[np.uint8] | None = None

    def rgb(self) -> NDArray[np.uint8]:
        """Return uint8 [H, W, 3] RGB; raise ValueError where it does not decode."""
        return decode_compressed(self.encoded) if self.pixels is None else self.pixels

    @property
    def format(self) -> str:
        """Return 'jpeg', 'png', or '' for pixels."""
        if not self.encoded:
            return ''
        return 'jpeg' if self.encoded.startswith(b'\xff\xd8') else 'png'


@dataclass(frozen=True)
class Source:
    """Where pictures come from; ``rate_hz`` is the source's own rate."""

    kind: str
    rate_hz: float
    pictures: Iterator[Picture]


def open_source(where: str) -> Source:
    """Open a camera index or device, a video, a folder of pictures, or a tub (also .tar.gz).

    Raises ValueError naming ``where`` and the remedy.
    """
    if re.fullmatch(r'\d+|/dev/video\d+', where):
        return _video(where, 'webcam')
    path = Path(where)
    if not where or not path.exists():
        raise ValueError(f'source "{where}": no such file or folder; give a camera index, a '
                         'video, a folder of pictures or a donkeycar tub')
    if is_tub(path):
        return Source('tub', DEFAULT_RATE_HZ, _tub(path))
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in _ENCODED)
        if not files:
            raise ValueError(f'source "{where}": the folder holds no {", ".join(_ENCODED)}')
        return Source('folder', DEFAULT_RATE_HZ, (Picture(p.read_bytes()) for p in files))
    return _video(where, 'video')


def is_tub(path: Path) -> bool:
    """Return whether ``path`` is a donkeycar tub, as a folder or as an archive."""
    return (path.name.endswith(('.tar.gz', '.tgz', '.tar'))
            or (path / _TUB_MANIFEST).is_file())


def _tub(path: Path) -> Iterator[Picture]:
    # Imported here, since a robot with a webcam needs no episode store.
    from vla_nav.episodes.tub import read_tub
    return (Picture(record.jpeg) for record in read_tub(path))


def _video(where: str, kind: str) -> Source:
    capture = cv2.VideoCapture(int(where) if where.isdigit() else where)
    if not capture.isOpened():
        remedy = ('is the camera plugged in, and may this user read it (group video)?'
                  if kind == 'webcam' else 'is it a video that OpenCV can read?')
        raise ValueError(f'source "{where}" does not open: {remedy}')
    rate = capture.get(cv2.CAP_PROP_FPS)
    return Source(kind, rate if 1.0 <= rate <= 240.0 else DEFAULT_RATE_HZ, _read(capture))


def _read(capture: cv2.VideoCapture) -> Iterator[Picture]:
    try:
        while True:
            good, bgr = capture.read()
            if not good:
                return
            yield Picture(pixels=np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))
    finally:
        capture.release()
