"""What identifies a drive, whatever the file that it lies in is called."""

from __future__ import annotations

import hashlib

import numpy as np

from vla_nav.episodes.schema import Episode, JpegPictures


def picture_hash(episode: Episode) -> str:
    """Return a hash of the middle picture: the first may show the same start in many drives."""
    middle = len(episode) // 2
    pixels = (episode.images.encoded(middle) if isinstance(episode.images, JpegPictures)
              else np.ascontiguousarray(episode.images[middle]).tobytes())
    return hashlib.sha256(pixels).hexdigest()[:32]
