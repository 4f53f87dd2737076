"""Weights that are numbers in the source, and none in what would be written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vla_nav.contracts import PolicyError
from vla_nav.export.onnx_file import save_onnx
from vla_nav.policies.traceable import load_traceable
from vla_nav.runtimes.bundle import Export

COMPACT = Path(__file__).parents[2] / 'models' / 'compact'


def test_a_weight_too_large_for_half_precision_is_not_written(tmp_path: Path) -> None:
    network = load_traceable(COMPACT)
    with torch.no_grad():
        network.module.get_parameter('policy.fine.0.weight').flatten()[0] = 1e6
    config = network.config.model_copy(update={'export': Export(
        target='onnx', precision='fp16', part='full', source='compact', source_sha256='0' * 64)})
    with pytest.raises(PolicyError, match=r'policy\.onnx: 1 weights are not finite.* fp32'):
        save_onnx(network, config, tmp_path / 'policy.onnx', [])
    assert not list(tmp_path.iterdir())
