"""From an ONNX file to OpenVINO's own form."""

from __future__ import annotations

from pathlib import Path

from vla_nav.runtimes.bundle import BundleConfig
from vla_nav.runtimes.graph import METADATA, describe
from vla_nav.runtimes.openvino_graph import import_openvino


def save_openvino(onnx_file: Path, config: BundleConfig, path: Path) -> Path:
    """Write ``path`` (.xml) and its weights beside it, and return the latter's path."""
    assert config.export is not None
    openvino = import_openvino()
    model = openvino.convert_model(str(onnx_file))
    model.set_rt_info(describe(config), METADATA)
    openvino.save_model(model, str(path), compress_to_fp16=config.export.precision == 'fp16')
    return path.with_suffix('.bin')
