"""From a trained network to a graph that a robot runs, proved equal before it is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from torch import nn

from vla_nav.detection.bundle import DetectorConfig, DetectorFiles
from vla_nav.detection.dataset.yolo import Dataset
from vla_nav.detection.letterbox import Letterbox, blank
from vla_nav.detection.onnx_detector import OnnxDetector
from vla_nav.detection.picture_file import read_picture
from vla_nav.detection.training import gate, verify
from vla_nav.detection.training.card import record_export, write_card
from vla_nav.detection.training.eager import EagerDetector
from vla_nav.detection.training.graph import FILES, Precision, export_graph, halve, quantise
from vla_nav.runtimes.bundle import BundleFile

# Ranges of activations hardly change beyond so many pictures.
CALIBRATION = 200


class ExportError(RuntimeError):
    """An export is not what it was made from; nothing of it was kept."""


@dataclass(frozen=True)
class Source:
    """A bundle's folder, what its config.json says, and its network in evaluation mode."""

    folder: Path
    config: DetectorConfig
    model: nn.Module


def add_graph(source: Source, precision: Precision, dataset: Dataset,
              note: gate.Note = lambda: None) -> DetectorConfig:
    """Put a graph into the bundle and let config.json name it; return the new configuration.

    Training pictures give an int8 graph its ranges; on the validation pictures it must find what
    the network finds. Raises :class:`ExportError`, and then the bundle is as it was.
    """
    _same_classes(source.config, dataset)
    with tempfile.TemporaryDirectory(prefix='.export', dir=source.folder) as work:
        path = Path(work) / FILES[precision]
        _write(source, precision, dataset, path)
        config = _naming(source.config, path)
        parity = _judge(source, config, path, precision, dataset, note)
        path.replace(source.folder / path.name)
    config.save(source.folder)
    record_export(source.folder, precision, parity)
    write_card(source.folder, config)
    return config


def _write(source: Source, precision: Precision, dataset: Dataset, path: Path) -> None:
    graph = export_graph(source.model, source.config.image_size)
    if precision == 'int8':
        quantise(graph, calibration(dataset, source.config.image_size, square=False), path)
    else:
        onnx.save_model(halve(graph) if precision == 'fp16' else graph, path)
    count = None if precision == 'int8' else verify.count_activations(source.model)
    activation = source.config.activation
    wrong = [*verify.wrong_modules(source.model, activation),
             *verify.wrong_nodes(path, activation, count)]
    if wrong:
        raise ExportError(f'{source.folder}: not every activation is {activation}: '
                          + '; '.join(wrong))


def _judge(source: Source, config: DetectorConfig, path: Path, precision: Precision,
           dataset: Dataset, note: gate.Note) -> dict[str, object]:
    low = config.model_copy(update={'score_threshold': gate.CURVE_SCORE})
    exported = OnnxDetector(path.parent, low, provider='cpu')
    spec = replace(exported.spec, provider='torch')
    pictures, classes = dataset.pictures('val'), len(config.classes)
    bounds = gate.BOUNDS[precision]
    parity = gate.compare(
        gate.look(EagerDetector(source.model, spec), pictures, classes, note),
        gate.look(exported, pictures, classes, note),
        config.classes, config.score_threshold, bounds)
    problems = gate.problems(parity, bounds)
    if problems:
        raise ExportError(f'{source.folder}: the {precision} graph is not equal to its network on '
                          f'{len(pictures)} validation pictures: {"; ".join(problems)}. No file '
                          'was left')
    return {**parity, 'bytes': path.stat().st_size}


def add_npu_graph(source: Source, to: Literal['tflite', 'tosa'], dataset: Dataset) -> list[Path]:
    """Put 8-bit graphs for NPU compilers into the bundle, and return them.

    They end where the decoding begins, and no runtime here computes them: unlike ONNX graphs they
    pass no gate. TOSA is that of Ethos-U55 and U65, which the larger ones take too. Raises
    NpuError.
    """
    from vla_nav.detection.npu.convert import to_tflite, to_tosa
    _same_classes(source.config, dataset)
    size = source.config.image_size
    pictures = np.concatenate(list(calibration(dataset, size)))
    with tempfile.TemporaryDirectory(prefix='.export', dir=source.folder) as work:
        made = (to_tflite(source.model, size, pictures, Path(work)) if to == 'tflite' else
                to_tosa(source.model, size, pictures, Path(work), small=True))
        return [path.replace(source.folder / f'detector{f"_{i}" if i else ""}.{to}')
                for i, path in enumerate(made.graphs)]


def calibration(dataset: Dataset, image_size: int, square: bool = True
                ) -> Iterator[NDArray[np.float32]]:
    """Yield training pictures, evenly over all of them, as the network takes them.

    ``square`` as an NPU takes them, whose compilers know one size; otherwise as a robot does.
    """
    files = dataset.pictures('train')
    for number in np.linspace(0, len(files) - 1, min(CALIBRATION, len(files))).round().astype(int):
        image = read_picture(files[number])
        height, width = image.shape[:2]
        place = Letterbox.fit(height, width, image_size, square)
        filled = blank(place.shape)
        place.fill(image, filled)
        yield filled[None]


def _naming(config: DetectorConfig, path: Path) -> DetectorConfig:
    files = DetectorFiles(detector=BundleFile.of(path), model=config.files.model)
    return config.model_copy(update={'files': files})


def _same_classes(config: DetectorConfig, dataset: Dataset) -> None:
    if config.classes != dataset.names:
        raise ExportError(f'{dataset.description}: its classes are {", ".join(dataset.names)}; '
                          f'the detector knows {", ".join(config.classes)}: give the data set '
                          'that it was trained on')
