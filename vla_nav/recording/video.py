"""An H.264 video, written frame by frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


class Video:
    """Encodes pictures of one size at a constant rate; a run cut short leaves a shorter video."""

    def __init__(self, path: Path, width: int, height: int, rate: int) -> None:
        """Open the file; ``width`` and ``height`` must be even, as H.264 asks."""
        self.frames = 0
        self._file = av.open(str(path), 'w', options={'movflags': 'faststart'})
        self._stream = self._file.add_stream('libx264', rate=rate)
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = 'yuv420p'
        self._stream.time_base = Fraction(1, rate)
        # The robot needs the processor more than the video does.
        self._stream.options = {'preset': 'veryfast', 'crf': '23', 'threads': '1'}

    def add(self, picture: NDArray[np.uint8]) -> None:
        """Append uint8 [height, width, 3] RGB."""
        frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
        frame.pts = self.frames
        self.frames += 1
        self._file.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is pending and the index."""
        if self.frames:
            self._file.mux(self._stream.encode(None))
        self._file.close()
