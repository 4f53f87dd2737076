"""Compare detector bundles on one data set, measured by what drives; what is done is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vla_nav.detection.compare_choice import RULE, recommend
from vla_nav.detection.compare_measure import (
    Candidate,
    data_fingerprint,
    find_candidate,
    fingerprint,
    measure_accuracy,
    measure_latency,
    npu_facts,
    size_facts,
)
from vla_nav.detection.contracts import DetectorError
from vla_nav.detection.dataset.lint import check_dataset
from vla_nav.detection.dataset.yolo import open_dataset
from vla_nav.detection.npu.targets import target as known_target
from vla_nav.detection.picture_file import read_picture
from vla_nav.evaluation.provenance import made, provenance

# The picture that latency is measured on, as a camera sends it.
FRAME_WIDTH, FRAME_HEIGHT, FRAME_QUALITY = 1280, 720, 80
_MEASURED = 'measured'
Bar = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


def compare(models: Sequence[Path], data: Path, split: str, targets: Sequence[str], out: Path,
            threads: int, rounds: int, clock: Callable[[], int], bar: Bar) -> dict[str, Any]:
    """Return the comparison as its JSON holds it.

    Accuracy that was measured before on the same graph and pictures is read from ``out``.
    ``clock`` gives ns; ``bar`` shows a title and a number of steps. Raises DetectorError or
    DatasetError before anything is computed where a model or the data cannot be used.
    """
    assumptions = {name: known_target(name).assumptions for name in targets}
    candidates = _candidates(models)
    total = sum(map(len, open_dataset(data).splits.values()))
    with bar('looking through the data set', total) as note:
        dataset = check_dataset(data, lambda done, total: note())
    pictures = dataset.pictures(split)
    for candidate in candidates:
        _same_classes(candidate, dataset.names, data)
    groups = picture_groups(dataset.description.parent, pictures)
    digest = data_fingerprint(pictures, groups)
    accuracy: dict[str, dict[str, Any]] = {candidate.name: {} for candidate in candidates}
    times = []
    for candidate in candidates:
        for precision in candidate.measured:
            kept = _Kept(out, candidate, precision, digest)
            if kept.figures is None:
                with bar(f'{candidate.name} {precision}', len(pictures)) as note:
                    kept.keep(measure_accuracy(candidate, precision, pictures, groups, threads,
                                               note))
            accuracy[candidate.name][precision] = kept.figures
            times.append(kept.made)
    latency = _latency(candidates, pictures[0], threads, rounds, clock)
    found = {candidate.name: _model(candidate, accuracy[candidate.name],
                                    latency[candidate.name], targets)
             for candidate in candidates}
    return {
        'format_version': 1, 'split': split, 'data': str(data), 'pictures': len(pictures),
        'classes': list(dataset.names), 'groups': {key: len(of) for key, of in groups.items()},
        **provenance([*times, made()]), 'threads': threads, 'rounds': rounds,
        'frame': f'{FRAME_WIDTH}×{FRAME_HEIGHT} JPEG', 'targets': assumptions, 'models': found,
        'rule': RULE, 'recommendations': recommend(found, tuple(targets))}


def picture_groups(root: Path, pictures: Sequence[Path]) -> dict[str, list[int]]:
    """Return the numbers of the pictures of each kind of scene and camera, where that is known.

    ``dataset.json`` of `vla-nav detector dataset` tells; other data sets have no groups.
    """
    path = root / 'dataset.json'
    try:
        facts = json.loads(path.read_text('utf-8')).get('pictures') if path.is_file() else {}
    except ValueError as error:
        raise DetectorError(f'{path}: cannot be read: {error}; remove it') from error
    groups: dict[str, list[int]] = {}
    for number, picture in enumerate(pictures):
        about = (facts or {}).get(picture.stem, {})
        for title, key in (('scenes', 'group'), ('camera', 'camera')):
            if key in about:
                groups.setdefault(f'{title}: {about[key]}', []).append(number)
    return dict(sorted(groups.items()))


def _candidates(folders: Iterable[Path]) -> list[Candidate]:
    candidates = [find_candidate(folder) for folder in folders]
    names = [candidate.name for candidate in candidates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DetectorError(f'two models are called {", ".join(twice)}; rename a folder')
    return candidates


def _same_classes(candidate: Candidate, names: tuple[str, ...], data: Path) -> None:
    if candidate.config.classes != names:
        raise DetectorError(
            f'{candidate.folder}: its classes are {", ".join(candidate.config.classes)}; those of '
            f'{data} are {", ".join(names)}; compare on the data set that it was trained for')


class _Kept:
    """The figures of one graph on one set of pictures, in a file; None before they are there."""

    def __init__(self, out: Path, candidate: Candidate, precision: str, data: str) -> None:
        self._path = out / _MEASURED / f'{candidate.name}_{precision}.json'
        self._key = fingerprint(candidate, precision, data)
        self.figures: dict[str, Any] | None = None
        self.made = ''
        if self._path.is_file():
            there = json.loads(self._path.read_text('utf-8'))
            if there['key'] == self._key:
                self.figures, self.made = there['figures'], there.get('made', '')

    def keep(self, figures: dict[str, Any]) -> None:
        """Write figures that were measured now."""
        self.figures, self.made = figures, made()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(
            {'key': self._key, 'figures': figures, 'made': self.made}) + '\n', 'utf-8')


def _latency(candidates: Sequence[Candidate], picture: Path, threads: int, rounds: int,
             clock: Callable[[], int]) -> dict[str, dict[str, Any]]:
    image = cv2.resize(read_picture(picture)[..., ::-1], (FRAME_WIDTH, FRAME_HEIGHT))
    jpeg = cv2.imencode('.jpg', image, (cv2.IMWRITE_JPEG_QUALITY, FRAME_QUALITY))[1].tobytes()
    loaded = {(candidate.name, precision): candidate.load(precision, threads)
              for candidate in candidates for precision in candidate.measured}
    taken = measure_latency({f'{name} {precision}': detector
                             for (name, precision), detector in loaded.items()},
                            jpeg, rounds, clock)
    return {candidate.name: {precision: taken[f'{name} {precision}']
                             for name, precision in loaded if name == candidate.name}
            for candidate in candidates}


def _model(candidate: Candidate, accuracy: Mapping[str, Mapping[str, Any]],
           latency: Mapping[str, Any], targets: Sequence[str]) -> dict[str, Any]:
    config = candidate.config
    return {
        'folder': str(candidate.folder), 'level': config.level, 'activation': config.activation,
        'image_size': config.image_size, 'licence': config.licence,
        'deployed': candidate.deployed, **size_facts(candidate),
        'accuracy': {precision: {key: value for key, value in found.items() if key != 'draws'}
                     for precision, found in accuracy.items()},
        'change': _change(accuracy), 'latency_ms': latency,
        'npu': npu_facts(candidate, targets)}


def _change(accuracy: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return int8 minus fp32, with the interval of mAP50 over the same drawn pictures."""
    if not {'fp32', 'int8'} <= set(accuracy) or accuracy['fp32']['map50'] is None:
        return None
    first, second = accuracy['fp32'], accuracy['int8']
    low, high = np.quantile(np.subtract(second['draws'], first['draws']), (0.025, 0.975))
    return {**{key: second[key] - first[key] for key in ('map50', 'map50_95')},
            'interval': [float(low), float(high)]}
