"""Look through a YOLO-format data set for what would spoil a training or a comparison."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from vla_nav.detection.dataset.yolo import (
    Dataset,
    DatasetError,
    Wrong,
    label_file,
    label_lines,
    open_dataset,
    parse_line,
)

_LOG = logging.getLogger(__name__)
# What ultralytics refuses to train on, too.
_SMALLEST_PX = 10
# A typing error in a script makes thousands of equal findings; the first ones tell enough.
_SHOWN_PER_KIND = 20


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: 'error' spoils a training or a result, 'warning' may.

    ``line`` counts from 1 in the file; 0 is the whole file.
    """

    severity: str
    file: str
    line: int
    message: str
    remedy: str

    def __str__(self) -> str:
        """Return file, line, what is wrong and what helps."""
        place = f'{self.file}:{self.line}' if self.line else self.file
        return f'{place}: {self.message}\n    -> {self.remedy}'

    def to_dict(self) -> dict[str, str | int]:
        """Return the form printed as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Looked:
    """What one picture and its labels gave; ``boxes`` counts the right lines."""

    picture: Path
    boxes: int
    labelled: bool
    content: str
    findings: tuple[Finding, ...]


Note = Callable[[int, int], None]


def lint_dataset(path: Path, note: Note = lambda done, total: None) -> list[Finding]:
    """Return the findings: errors first, then what concerns the set as a whole.

    ``note`` takes how many pictures are done, of how many. A description that cannot be read is
    a finding too, and then the only one.
    """
    try:
        dataset = open_dataset(path)
    except DatasetError as error:
        return [Finding('error', str(path), 0, str(error), 'nothing else was looked at')]
    findings = [*_splits(dataset)]
    looked = {split: list(found) for split, found in _all(dataset, note).items()}
    for split, pictures in looked.items():
        findings += [finding for one in pictures for finding in one.findings]
        findings += _labels_of(dataset, split, pictures)
    findings += [*_leaks(dataset, looked), *_duplicates(looked), *_orphans(dataset)]
    whole = str(dataset.description)
    return _shortened(sorted(findings, key=lambda f: (
        f.severity != 'error', f.file != whole, f.file, f.line)))


def check_dataset(path: Path, note: Note = lambda done, total: None) -> Dataset:
    """Return the data set; raise :class:`DatasetError` with all errors that lint finds.

    Warnings of the set as a whole are logged: they change what its figures mean.
    """
    findings = lint_dataset(path, note)
    errors = [finding for finding in findings if finding.severity == 'error']
    if errors:
        raise DatasetError(f'{path}: {len(errors)} errors\n' + '\n'.join(map(str, errors)))
    dataset = open_dataset(path)
    for finding in findings:
        if finding.file == str(dataset.description):
            _LOG.warning('WARNING: %s', finding)
    return dataset


def _splits(dataset: Dataset) -> Iterator[Finding]:
    file = str(dataset.description)
    for split in ('train', 'val'):
        if split not in dataset.splits:
            yield Finding('error', file, 0, f'there is no {split} split',
                          f'add "{split}: images/{split}"; pictures that were trained on say '
                          'nothing of how good a detector is')
    for split, pictures in dataset.splits.items():
        if not pictures:
            yield Finding('warning' if split == 'test' else 'error', file, 0,
                          f'{split} holds no pictures',
                          'put pictures there, or correct its folder')
    if dataset.absent:
        yield Finding('warning', file, 0, f'there are no test pictures: {dataset.absent}',
                      'bring them, or remove "test" from the file')


def _all(dataset: Dataset, note: Note) -> Mapping[str, list[_Looked]]:
    looked: dict[str, list[_Looked]] = {}
    done, total = 0, sum(map(len, dataset.splits.values()))
    classes = len(dataset.names)
    # OpenCV decodes outside of Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for split, pictures in dataset.splits.items():
            looked[split] = []
            for one in pool.map(lambda picture: _look(picture, classes), pictures):
                looked[split].append(one)
                done += 1
                note(done, total)
    return looked


def _look(picture: Path, classes: int) -> _Looked:
    findings, content = _picture(picture)
    labels, boxes, seen = label_file(picture), 0, set[str]()
    try:
        lines = list(label_lines(labels))
    except DatasetError as error:
        lines = []
        findings.append(Finding('error', str(labels), 0, str(error), 'label the picture again'))
    for number, line in lines:
        row = parse_line(line, classes)
        if isinstance(row, Wrong):
            findings.append(Finding('error', str(labels), number, row.message, row.remedy))
            continue
        boxes += 1
        if line in seen:
            findings.append(Finding('warning', str(labels), number, f'{line!r} is there twice',
                                    'remove one of the two'))
        seen.add(line)
    return _Looked(picture, boxes, labels.is_file(), content, tuple(findings))


def _picture(picture: Path) -> tuple[list[Finding], str]:
    """Return what is wrong with a picture, and the hash of its pixels; '' where unreadable."""
    file = str(picture)
    try:
        data = np.frombuffer(picture.read_bytes(), np.uint8)
    except OSError as error:
        return [Finding('error', file, 0, f'cannot be read: {error.strerror}',
                        'bring the picture, or take it out of the list')], ''
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if image is None:
        return [Finding('error', file, 0, f'is no picture that OpenCV reads ({len(data)} bytes)',
                        'convert it to JPEG or PNG, or remove it')], ''
    findings = []
    height, width = image.shape[:2]
    if min(height, width) < _SMALLEST_PX:
        findings.append(Finding('error', file, 0, f'is {width} × {height} pixels',
                                f'remove it; at least {_SMALLEST_PX} × {_SMALLEST_PX} are '
                                'needed'))
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels != 3:
        what, read = {1: ('is grey', 'with three equal channels'),
                      4: ('has 4 channels', 'without its transparency')}.get(
                          channels, (f'has {channels} channels', 'as OpenCV sees fit'))
        findings.append(Finding('warning', file, 0, what,
                                f'convert it to RGB; as it is, it is read {read}'))
    if image.dtype != np.uint8:
        findings.append(Finding('warning', file, 0, f'has {8 * image.itemsize} bits a channel',
                                'convert it to 8 bits; the lower bits are lost'))
    return findings, hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def _labels_of(dataset: Dataset, split: str, looked: list[_Looked]) -> Iterator[Finding]:
    if looked and not any(one.boxes for one in looked):
        yield Finding('error', str(dataset.description), 0,
                      f'{split} has {len(looked)} pictures and no valid box',
                      'put the label files where "images" in the path reads "labels", such as '
                      f'{label_file(looked[0].picture)}')
        return
    for one in looked:
        if not one.labelled:
            yield Finding('warning', str(one.picture), 0, 'has no label file',
                          'make an empty one where the picture shows nothing')


def _duplicates(looked: Mapping[str, list[_Looked]]) -> Iterator[Finding]:
    first: dict[str, tuple[str, Path]] = {}
    for split, pictures in looked.items():
        for one in pictures:
            if not one.content:
                continue
            before, other = first.setdefault(one.content, (split, one.picture))
            if other == one.picture and before == split:
                continue
            if before != split:
                yield Finding('warning', str(one.picture), 0,
                              f'{split} shows the same pixels as {other} of {before}',
                              f'keep one of the two: figures on {split} would be too good')
            else:
                yield Finding('warning', str(one.picture), 0, f'has the same pixels as {other}',
                              'remove one of the two')


def _leaks(dataset: Dataset, looked: Mapping[str, list[_Looked]]) -> Iterator[Finding]:
    """Tell of each split how much of it is trained on: some sets are made so on purpose."""
    trained = {one.content for one in looked.get('train', ()) if one.content}
    for split in [split for split in looked if split != 'train']:
        shared = [one.picture for one in looked[split] if one.content in trained]
        if shared:
            yield Finding('warning', str(dataset.description), 0,
                          f'{len(shared)} of {len(looked[split])} pictures of {split} are in '
                          f'train too, such as {shared[0]}: figures on {split} flatter',
                          'take them out of one of the two, or believe no figure on '
                          f'{split}: what was learned by heart counts as found')


def _orphans(dataset: Dataset) -> Iterator[Finding]:
    """Find label files without a picture, in the folders where labels lie."""
    expected = {label_file(picture) for pictures in dataset.splits.values()
                for picture in pictures}
    for folder in sorted({path.parent for path in expected}):
        for path in sorted(folder.glob('*.txt')) if folder.is_dir() else ():
            if path not in expected and path.name != 'classes.txt':
                yield Finding('warning', str(path), 0, 'there is no picture of this name',
                              'bring the picture, or remove the label file')


def _shortened(findings: list[Finding]) -> list[Finding]:
    """Keep the first findings of each remedy; say how many there are more."""
    counts: dict[tuple[str, str], int] = {}
    kept: list[Finding] = []
    last: dict[tuple[str, str], int] = {}
    for finding in findings:
        kind = (finding.severity, finding.remedy)
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= _SHOWN_PER_KIND:
            last[kind] = len(kept)
            kept.append(finding)
    for kind, place in last.items():
        more = counts[kind] - _SHOWN_PER_KIND
        if more > 0:
            one = kept[place]
            kept[place] = Finding(one.severity, one.file, one.line,
                                  f'{one.message} (and {more} more like this)', one.remedy)
    return kept
