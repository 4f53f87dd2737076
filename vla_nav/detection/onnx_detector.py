"""A detector that ONNX Runtime runs: what a robot carries of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.detection.bundle import DetectorConfig, as_detector_error, read_detector, read_graph
from vla_nav.detection.contracts import Detections, DetectorError, DetectorSpec
from vla_nav.detection.decode import decode
from vla_nav.detection.letterbox import Letterbox, blank, enlarged
from vla_nav.observations.decode import Buffer, compressed_size, decode_compressed
from vla_nav.runtimes.sessions import start_session

_INPUT = 'export it in fp32 and with batch 1, its input square or of any size'
_RAW = 'export it with nms=False, end2end=False and half=False, as `vla-nav detector export` does'


def load_detector(folder: str | Path, threads: int = 1, provider: str = 'auto') -> OnnxDetector:
    """Load the detector bundle in ``folder``; raise DetectorError with the remedy.

    ``provider`` is one of :data:`vla_nav.runtimes.sessions.PROVIDERS`.
    """
    directory = Path(folder)
    return OnnxDetector(directory, read_detector(directory), threads, provider)


class OnnxDetector:
    """A :class:`vla_nav.detection.contracts.Detector` of a bundle; not for two threads at once.

    A graph that takes any height and width is given as much of the square as a picture needs.
    """

    def __init__(self, directory: Path, config: DetectorConfig, threads: int = 1,
                 provider: str = 'auto') -> None:
        """Start the network, and try it on a grey picture; raise DetectorError."""
        self.source = str(directory / config.files.detector.name)
        graph = read_graph(directory, config)
        with as_detector_error():
            started = start_session(graph, self.source, provider, threads)
        self._session, self.fallback = started.session, started.fallback
        self.spec = DetectorSpec(config.name, config.classes, config.image_size,
                                 config.score_threshold, config.iou_threshold, started.provider)
        self._name, self._square = self._input_name()
        self._input = blank((config.image_size, config.image_size))
        self._place: Letterbox | None = None
        self._check(self._run())

    @property
    def input_shape(self) -> tuple[int, int]:
        """Return the height and width of the input that the last picture was put in."""
        height, width = self._input.shape[1:]
        return height, width

    def detect(self, image: NDArray[np.uint8]) -> Detections:
        """Return what is in uint8 [H, W, 3] RGB; raise DetectorError for no numbers."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise DetectorError(f'expected a uint8 [H, W, 3] RGB picture, got {image.dtype} '
                                f'{list(image.shape)}; vla_nav.observations.decode turns grey '
                                'and four-channel pictures into RGB')
        place = self.prepare(image)
        return decode(self.network(), place, self.spec.score_threshold, self.spec.iou_threshold)

    def detect_encoded(self, data: Buffer) -> Detections:
        """Return what is in a JPEG or PNG, in the pixels of its full size; raise DetectorError.

        A large JPEG is decoded straight to the smallest size that is not below the network's.
        """
        try:
            height, width = compressed_size(bytes(data))
            wanted = Letterbox.fit(height, width, self.spec.image_size)
            image = decode_compressed(data, wanted.rows, wanted.columns)
        except ValueError as error:
            raise DetectorError(str(error)) from error
        return enlarged(self.detect(image), (height, width), image.shape)

    def prepare(self, image: NDArray[np.uint8]) -> Letterbox:
        """Write a picture into the network's input, and return where in it."""
        height, width = image.shape[:2]
        place = self._place
        if place is None or (place.height, place.width) != (height, width):
            place = self._place = Letterbox.fit(height, width, self.spec.image_size, self._square)
            self._input = blank(place.shape)
        place.fill(image, self._input)
        return place

    def network(self) -> NDArray[np.float32]:
        """Run on what was prepared, and return float32 [4 + C, N]; raise DetectorError."""
        output: NDArray[np.float32] = self._run()[0]
        if not np.isfinite(output).all():
            raise DetectorError(f'{self.source}: the network gave NaN or infinite numbers; copy '
                                'the bundle again, or export it again')
        return output

    def _run(self) -> Any:
        try:
            return self._session.run(None, {self._name: self._input[None]})[0]
        except Exception as error:  # ONNX Runtime's errors have no common base of their own
            raise DetectorError(f'{self.source}: the network failed to run: {error}') from error

    def _input_name(self) -> tuple[str, bool]:
        """Return the input's name, and whether it is a square of one size."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        size = self.spec.image_size
        shapes = [(value.type, value.shape) for value in inputs]
        if len(inputs) != 1 or inputs[0].type != 'tensor(float)' or not _fits(
                inputs[0].shape, (1, 3, size, size)):
            raise DetectorError(f'{self.source}: its input is {shapes} where config.json asks for '
                                f'float [1, 3, {size}, {size}]; {_INPUT}, or correct image_size')
        if len(outputs) != 1:
            raise DetectorError(f'{self.source}: it has {len(outputs)} outputs where a detector '
                                f'has one; {_RAW}')
        return str(inputs[0].name), any(isinstance(side, int) for side in inputs[0].shape[2:])

    def _check(self, output: Any) -> None:
        """Tell an output of another layout from the one that :func:`decode` reads."""
        count = len(self.spec.classes)
        shape, problem = list(output.shape), ''
        if output.dtype != np.float32 or output.ndim != 3 or shape[0] != 1:
            problem = 'is no float [1, 4 + classes, boxes]'
        elif shape[1] != 4 + count:
            problem = ('is the other way round' if shape[2] == 4 + count else
                       'has gone through non-maximum suppression' if shape[2] == 6 else
                       f'has {shape[1] - 4} classes where config.json lists {count}')
        elif not np.isfinite(output).all():
            problem = 'is NaN or infinite for a grey picture'
        elif output[0, 4:].min() < -0.01 or output[0, 4:].max() > 1.01:
            problem = 'has scores outside of 0 to 1: those of before the sigmoid'
        elif 0 < output[0, :4].max() <= 2:
            problem = 'has boxes that are no pixels of its input'
        if problem:
            raise DetectorError(f'{self.source}: its output {output.dtype} {shape} {problem}; '
                                f'{_RAW}, or correct classes in config.json')


def _fits(shape: list[Any], wanted: tuple[int, ...]) -> bool:
    """Tell whether a graph's shape takes the wanted one; words in it stand for any number."""
    return len(shape) == len(wanted) and all(
        have == want or not isinstance(have, int) for have, want in zip(shape, wanted))
