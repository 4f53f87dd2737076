"""Read a data set in ultralytics YOLO format: ``data.yaml``, pictures, label files.

Pictures of a split are a folder, a text file that lists them, or a list of both. The label file
of ``…/images/a.jpg`` is ``…/labels/a.txt``: lines of a class and either a box (centre, width,
height) or the corners of a polygon, all as shares of the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

DATA_YAML = 'data.yaml'
SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
SPLITS = ('train', 'val', 'test')
# What ultralytics lets pass, too: rounded numbers, and boxes drawn a little over the edge.
_OVER = 0.01


class DatasetError(ValueError):
    """A data set cannot be made or used as asked; the message holds file, value and remedy."""


@dataclass(frozen=True)
class Dataset:
    """Class names by number, and the pictures of each split that the description names.

    ``absent`` tells of a test split that it names and that is not there: no training needs it.
    """

    description: Path
    names: tuple[str, ...]
    splits: Mapping[str, tuple[Path, ...]]
    absent: str = ''

    def pictures(self, split: str) -> tuple[Path, ...]:
        """Return the pictures of a split; raise :class:`DatasetError` where there are none."""
        found = self.splits.get(split, ())
        if not found:
            raise DatasetError(self.absent if split == 'test' and self.absent else
                               f'{self.description}: {split}: there are no pictures; known '
                               f'splits are {", ".join(self.splits) or "none"}')
        return found


def open_dataset(path: Path) -> Dataset:
    """Read ``data.yaml``, or the folder that holds it; raise :class:`DatasetError`."""
    if path.is_dir():
        found = sorted(path.glob('*.yaml')) + sorted(path.glob('*.yml'))
        chosen = [file for file in found if file.name == DATA_YAML] or found
        if len(chosen) != 1:
            raise DatasetError(
                f'{path}: holds {"no" if not chosen else "more than one"} .yaml file; give the '
                f'one that describes the data set, or a folder with a {DATA_YAML}')
        path = chosen[0]
    try:
        content = yaml.safe_load(path.read_text('utf-8'))
    except FileNotFoundError:
        raise DatasetError(f'{path}: there is no such file; give a folder with a {DATA_YAML}, as '
                           '`vla-nav detector dataset --out DIR` writes it') from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DatasetError(f'{path}: cannot be read: {error}') from error
    if not isinstance(content, dict):
        raise DatasetError(f'{path}: is no mapping; it must hold train, val and names')
    if content.get('kpt_shape'):
        raise DatasetError(f'{path}: kpt_shape is {content["kpt_shape"]!r:.80}: key points would '
                           'be read as corners of a polygon; keep the first 5 numbers of each '
                           'label line (class, x, y, width, height) and remove kpt_shape')
    names = _names(path, content)
    root = _beside(path, str(content.get('path') or '.'))
    # As ultralytics, which knows no other name of it.
    given = {'val': content.get('validation'), **content}
    splits, absent = {}, ''
    for split in SPLITS:
        try:
            if given.get(split):
                splits[split] = tuple(_pictures(path, split, root, given[split]))
        except DatasetError as error:
            if split != 'test':
                raise
            absent = str(error)
    return Dataset(path, names, splits, absent)


def label_file(picture: Path) -> Path:
    """Return where a picture's labels lie: beside the last folder named ``images``."""
    parts = list(picture.parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == 'images':
            parts[at] = 'labels'
            break
    return Path(*parts).with_suffix('.txt')


def read_labels(path: Path, classes: int) -> NDArray[np.float64]:
    """Return a label file's rows [N, 5]: class, centre x and y, width, height as shares.

    No file is no boxes: the picture shows background. Raises :class:`DatasetError` at the first
    line that is wrong; ``vla-nav detector lint`` lists all of them.
    """
    rows = []
    for number, line in label_lines(path):
        row = parse_line(line, classes)
        if isinstance(row, Wrong):
            raise DatasetError(f'{path}:{number}: {row.message}; {row.remedy}')
        rows.append(row)
    return np.array(rows, np.float64).reshape(-1, 5)


def label_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines that are not blank; none where there is no file."""
    if not path.is_file():
        return
    try:
        text = path.read_text('utf-8-sig')  # some tools begin with a byte-order mark
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path}: cannot be read as text: {error}') from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


@dataclass(frozen=True)
class Wrong:
    """What is wrong in one line of a label file."""

    message: str
    remedy: str


def parse_line(line: str, classes: int) -> tuple[float, float, float, float, float] | Wrong:
    """Return class, centre and size of a line of a label file, or what is wrong with it."""
    words = line.split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        return Wrong(f'{line!r:.80} is not made of numbers',
                     'write "class x y width height", numbers alone')
    if len(values) != 5 and not (len(values) >= 7 and len(values) % 2):
        return Wrong(f'has {len(values)} numbers',
                     'write 5: class, x, y, width, height; or class and a polygon of 3 corners '
                     'or more')
    if not np.isfinite(values).all():
        return Wrong(f'{line!r:.80} holds NaN or infinity', 'label the picture again')
    if values[0] != int(values[0]) or not 0 <= values[0] < classes:
        return Wrong(f'class is {words[0]}, names has 0 to {classes - 1}',
                     'correct the number, or add the class to names')
    outside = [word for word, value in zip(words[1:], values[1:])
               if not -_OVER <= value <= 1 + _OVER]
    if outside:
        return Wrong(f'{outside[0]} is outside of 0 to 1',
                     "divide by the picture's width and height")
    if len(values) == 5:
        x, y, width, height = values[1:]
    else:
        corners = np.array(values[1:]).reshape(-1, 2)
        (x, y), (width, height) = (corners.max(0) + corners.min(0)) / 2, np.ptp(corners, axis=0)
    if width <= 0 or height <= 0:
        return Wrong(f'the box has width {width:g} and height {height:g}', 'remove the line')
    return values[0], float(x), float(y), float(width), float(height)


def _names(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    names = content.get('names')
    if isinstance(names, dict):
        # Some tools write the numbers in quotes.
        numbers = {int(key): name for key, name in names.items() if str(key).isdecimal()}
        if sorted(numbers) == list(range(len(names))):
            names = [numbers[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DatasetError(f'{path}: names is {names!r:.80}; it must list the classes, or number '
                           'them from 0 on without gaps')
    if content.get('nc', len(names)) != len(names):
        raise DatasetError(f'{path}: nc is {content["nc"]}, names lists {len(names)}; remove nc')
    texts = ['' if name is None else str(name) for name in names]
    for number, name in enumerate(texts):
        first = texts.index(name)
        if not name.strip() or first != number:
            what = f'{name!r} as class {first}' if name.strip() else 'empty'
            raise DatasetError(f'{path}: names: class {number} is {what}; give each class a name '
                               'of its own')
    return tuple(texts)


def _beside(file: Path, given: str) -> Path:
    """Return a path that a file gives: seen from its folder, or else from where we are.

    Backslashes separate folders where such a path exists: the file was written on Windows.
    """
    ways = [way for text in dict.fromkeys((given, given.replace('\\', '/')))
            for way in (file.parent / text, Path(text))]
    return next((way for way in ways if way.exists()), ways[0])


def _source(root: Path, given: str) -> Path:
    """Return where a split's pictures or their list lie.

    Roboflow writes ``../train/images`` into the file beside ``train``: ultralytics then leaves
    the dots out, too.
    """
    named, inside = root / given, root / given.removeprefix('../')
    return inside if not named.exists() and inside.exists() else named


def _pictures(description: Path, split: str, root: Path, given: Any) -> Iterator[Path]:
    for item in given if isinstance(given, list) else [given]:
        source = _source(root, str(item))
        if source.is_dir():
            yield from sorted(file for file in source.rglob('*')
                              if file.suffix.lower() in SUFFIXES)
        elif source.is_file() and source.suffix == '.txt':
            for _, line in label_lines(source):
                yield _beside(source, line)
        else:
            raise DatasetError(f'{description}: {split} is {str(item)!r}, and {source} is neither '
                               'a folder nor a .txt list; correct it or path')
