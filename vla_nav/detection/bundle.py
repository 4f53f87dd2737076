"""A detector bundle: a directory with ``config.json``, an ONNX graph, its weights and a card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from vla_nav.contracts import PolicyError
from vla_nav.detection.contracts import DetectorError
from vla_nav.runtimes.bundle import (
    CONFIG_NAME,
    BundleFile,
    Saved,
    Strict,
    read_file,
    read_saved,
    validated,
)

EXAMPLE = 'models/detector'


class DetectorFiles(Strict):
    """The graph that a robot runs, and the weights that training can go on from."""

    detector: BundleFile
    model: BundleFile | None = None


class DetectorConfig(Saved):
    """What ``config.json`` says of a detector.

    ``image_size`` is the longer side of the input in pixels; ``level`` and ``activation`` tell
    which network it is; ``licence`` is that of the weights.
    """

    kind: Literal['detector'] = 'detector'
    level: str = Field(min_length=1)
    activation: str = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=1)
    image_size: int = Field(ge=32, le=4096, multiple_of=32)  # the coarsest stride
    score_threshold: float = Field(ge=0, lt=1, allow_inf_nan=False)
    iou_threshold: float = Field(gt=0, le=1, allow_inf_nan=False)
    licence: str = Field(min_length=1)
    files: DetectorFiles
    training: dict[str, Any] = Field(default_factory=dict)

    @field_validator('classes')
    @classmethod
    def _tell_classes_apart(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(value) or len(set(value)) != len(value):
            raise ValueError('a class has no name, or one of another')
        return value


def read_detector(directory: Path) -> DetectorConfig:
    """Read and check ``config.json``; raise DetectorError naming file, key, value and remedy."""
    with as_detector_error():
        data = read_saved(directory, 'detector', EXAMPLE)
        if data.get('kind') != 'detector':
            raise DetectorError(f'{directory / CONFIG_NAME}: kind is {data.get("kind")!r}, not '
                                f'"detector"; give a detector bundle, such as {EXAMPLE}')
        return validated(DetectorConfig, data, directory)


def read_graph(directory: Path, config: DetectorConfig) -> bytes:
    """Return the ONNX graph, the very bytes whose checksum was compared; raise DetectorError."""
    with as_detector_error():
        return read_file(directory, config.files.detector)


@contextmanager
def as_detector_error() -> Iterator[None]:
    """Turn what policies' bundles and sessions raise into a DetectorError with the same words."""
    try:
        yield
    except PolicyError as error:
        raise DetectorError(str(error)) from error
