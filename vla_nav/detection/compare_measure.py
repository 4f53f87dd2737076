"""Measure one detector bundle: what it finds, how large it is, how long it takes here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from vla_nav.control.diagnostics import percentiles_ms
from vla_nav.detection.average_precision import Matched, figures, map50_draws, match
from vla_nav.detection.bundle import DetectorConfig, DetectorFiles, read_detector
from vla_nav.detection.contracts import Detections, DetectorError
from vla_nav.detection.dataset.yolo import label_file, read_labels
from vla_nav.detection.decode import decode
from vla_nav.detection.npu.graph import read_graph
from vla_nav.detection.npu.report import REPORT_NAME, read_reports, reasons
from vla_nav.detection.onnx_detector import OnnxDetector
from vla_nav.detection.picture_file import read_picture
from vla_nav.runtimes.bundle import BundleFile, sha256_of

# Beside the graph that config.json names, the other precisions lie in the bundle by these names.
_BESIDE = {'fp32': 'detector.onnx', 'fp16': 'detector_fp16.onnx', 'int8': 'detector_int8.onnx'}
# A precision-recall curve needs what is unlikely too; ultralytics cuts off here as well.
_SCORE = 0.001
_WARM_UP = 3


@dataclass(frozen=True)
class Candidate:
    """A detector bundle to compare, and its graphs by precision."""

    name: str
    folder: Path
    config: DetectorConfig
    graphs: Mapping[str, Path]

    @property
    def deployed(self) -> str:
        """Return the precision of the graph that config.json names: the one that drives."""
        named = self.folder / self.config.files.detector.name
        return next(key for key, path in self.graphs.items() if path == named)

    @property
    def measured(self) -> list[str]:
        """Return the precisions to measure: fp16 only where it is what drives."""
        return [key for key in _BESIDE if key in self.graphs and (
            key != 'fp16' or key == self.deployed)]

    def load(self, precision: str, threads: int) -> OnnxDetector:
        """Return the detector with its graph of that precision; raise DetectorError."""
        files = self.config.files
        if precision != self.deployed:
            files = DetectorFiles(detector=BundleFile.of(self.graphs[precision]))
        return OnnxDetector(self.folder, self.config.model_copy(update={'files': files}), threads)


def find_candidate(folder: Path) -> Candidate:
    """Read a bundle and look which graphs lie in it; raise DetectorError."""
    config = read_detector(folder)
    named = folder / config.files.detector.name
    graphs = {key: folder / file for key, file in _BESIDE.items() if (folder / file).is_file()}
    if named not in graphs.values():
        graphs[_precision(named)] = named
    return Candidate(folder.resolve().name, folder, config, graphs)


def _precision(path: Path) -> str:
    try:
        operators = {node.op_type for node in onnx.load(path).graph.node}
    except Exception as error:  # protobuf and onnx have no common one
        raise DetectorError(f'{path}: cannot be read as ONNX: {error}; copy or export the bundle '
                            'again') from error
    return 'int8' if 'DequantizeLinear' in operators else 'fp32'


def size_facts(candidate: Candidate) -> dict[str, Any]:
    """Return parameters, GFLOPs for one square picture, and the graphs' sizes in bytes.

    The fp16 size is computed from the fp32 graph where no such file is there.
    """
    size = candidate.config.image_size
    nodes = read_graph(candidate.graphs.get('fp32') or candidate.graphs[candidate.deployed],
                       (size, size))
    learned = [node for node in nodes if node.macs]
    sizes = {key: path.stat().st_size for key, path in candidate.graphs.items()}
    if 'fp32' in sizes and 'fp16' not in sizes:
        weights = sum(int(np.prod(value.dims))
                      for value in onnx.load(candidate.graphs['fp32']).graph.initializer
                      if value.data_type == onnx.TensorProto.FLOAT)
        sizes['fp16'] = sizes['fp32'] - 2 * weights
    return {
        'parameters': sum(int(np.prod(tensor.shape)) for node in learned
                          for tensor in node.inputs[1:] if tensor and tensor.constant),
        # As is the custom: a multiplication and an addition are two.
        'gflops': 2 * sum(node.macs for node in nodes) / 1e9,
        'bytes': {key: sizes.get(key) for key in _BESIDE}}


def npu_facts(candidate: Candidate, targets: Sequence[str]) -> dict[str, dict[str, Any] | None]:
    """Return what ``vla-nav detector compile`` wrote of each target; None where it did not.

    Raises NpuError where that is damaged.
    """
    path = candidate.folder / REPORT_NAME
    reports = read_reports(path) if path.is_file() else {}
    return {target: {**reports[target].model_dump(mode='json', exclude={'fallbacks'}),
                     'reasons': reasons(reports[target].fallbacks)}
            if target in reports else None for target in targets}


def measure_accuracy(candidate: Candidate, precision: str, pictures: Sequence[Path],
                     groups: Mapping[str, Sequence[int]], threads: int,
                     note: Callable[[], None]) -> dict[str, Any]:
    """Return the figures on labelled pictures, those of each group of them, and mAP50's draws.

    ``groups`` hold numbers of pictures; ``note`` is called after each picture.
    """
    detector = candidate.load(precision, threads)
    names, threshold = detector.spec.classes, detector.spec.score_threshold
    matched = []
    for picture in pictures:
        matched.append(_matched(detector, picture, len(names)))
        note()
    draws = map50_draws(matched, len(names))
    low, high = np.quantile(draws, (0.025, 0.975))
    parts = {name: figures([matched[i] for i in numbers], names, threshold)
             for name, numbers in groups.items()}
    kept = ('pictures', 'instances', 'map50', 'map50_95', 'precision', 'recall')
    return {**figures(matched, names, threshold), 'interval': [float(low), float(high)],
            'groups': {name: {key: part[key] for key in kept} for name, part in parts.items()},
            'draws': draws.tolist()}


def _matched(detector: OnnxDetector, picture: Path, classes: int) -> Matched:
    image = read_picture(picture)
    place = detector.prepare(image)
    found: Detections = decode(detector.network(), place, _SCORE, detector.spec.iou_threshold)
    rows = read_labels(label_file(picture), classes)
    centre, half = rows[:, 1:3], rows[:, 3:] / 2
    boxes = np.hstack([centre - half, centre + half]) * ([image.shape[1], image.shape[0]] * 2)
    return match(found, boxes, rows[:, 0].astype(np.int64))


def measure_latency(detectors: Mapping[str, OnnxDetector], jpeg: bytes, rounds: int,
                    clock: Callable[[], int]) -> dict[str, dict[str, dict[str, float]]]:
    """Return percentiles in ms of the network alone and from JPEG to boxes, of each detector.

    They take turns, so that what else the machine does falls on all of them; ``clock`` gives ns.
    """
    network: dict[str, list[int]] = {key: [] for key in detectors}
    frame: dict[str, list[int]] = {key: [] for key in detectors}
    for turn in range(_WARM_UP + rounds):
        for key, detector in detectors.items():
            began = clock()
            detector.detect_encoded(jpeg)
            seen = clock()
            detector.network()
            ended = clock()
            if turn >= _WARM_UP:
                frame[key].append(seen - began)
                network[key].append(ended - seen)
    return {key: {'network': percentiles_ms(network[key]), 'frame': percentiles_ms(frame[key])}
            for key in detectors}


def fingerprint(candidate: Candidate, precision: str, data: str) -> str:
    """Return what changes when the graph, its thresholds or the ``data_fingerprint`` does."""
    thresholds = candidate.config.model_dump_json(exclude={'files', 'training'})
    return hashlib.sha256('\n'.join(
        (sha256_of(candidate.graphs[precision]), thresholds, data)).encode()).hexdigest()


def data_fingerprint(pictures: Sequence[Path], groups: Mapping[str, Sequence[int]]) -> str:
    """Return what changes when a picture, its labels or the groups of pictures do."""
    digest = hashlib.sha256(repr(groups).encode())
    for picture in pictures:
        labels = label_file(picture)
        digest.update(str(picture).encode() + picture.read_bytes())
        digest.update(labels.read_bytes() if labels.is_file() else b'')
    return digest.hexdigest()
