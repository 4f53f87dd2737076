"""A contact sheet: pictures with their labelled boxes, as files hold them, for a person's eyes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_nav.detection.dataset.yolo import read_labels

_CELL = (400, 300)
_COLUMNS = 6
_COLOURS = ((230, 60, 60), (240, 150, 30), (60, 200, 80), (40, 190, 220), (250, 230, 60),
            (200, 90, 230), (255, 255, 255), (255, 110, 170), (90, 130, 255), (140, 230, 160))


def contact_sheet(pictures: Sequence[tuple[Path, Path]], names: Sequence[str]) -> bytes:
    """Return a PNG of (picture file, label file) pairs, six in a row."""
    cells = [_cell(picture, labels, names) for picture, labels in pictures]
    empty = np.full((_CELL[1], _CELL[0], 3), 32, np.uint8)
    cells += [empty] * (-len(cells) % _COLUMNS)
    rows = [np.hstack(cells[i:i + _COLUMNS]) for i in range(0, len(cells), _COLUMNS)]
    done, encoded = cv2.imencode('.png', np.vstack(rows) if rows else empty)
    assert done, 'a picture in memory can be encoded'
    return encoded.tobytes()


def _cell(picture: Path, labels: Path, names: Sequence[str]) -> NDArray[np.uint8]:
    image = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    assert image is not None, f'{picture} was written just now'
    height, width = image.shape[:2]
    scale = min(_CELL[0] / width, _CELL[1] / height)
    w, h = round(width * scale), round(height * scale)
    # Whole pixels stay squares, so that one can see whether a box is right to the pixel.
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    cell = np.full((_CELL[1], _CELL[0], 3), 32, np.uint8)
    cell[:h, :w] = cv2.resize(image, (w, h), interpolation=shrink)
    for class_id, x, y, bw, bh in read_labels(labels, len(names)):
        corners = np.array((x - bw / 2, y - bh / 2, x + bw / 2, y + bh / 2)) * (w, h, w, h)
        left, top, right, bottom = corners.round().astype(int).tolist()
        colour = _COLOURS[int(class_id) % len(_COLOURS)][::-1]
        cv2.rectangle(cell, (left, top), (right - 1, bottom - 1), colour, 1)
        cv2.putText(cell, names[int(class_id)], (left + 2, max(top + 11, 11)),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
    return cell
