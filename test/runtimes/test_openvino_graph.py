"""OpenVINO: what it cannot be trusted with is refused before the robot drives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from vla_nav.contracts import PolicyError
from vla_nav.runtimes import load_policy
from vla_nav.runtimes.bundle import BundleFile

COMPACT = Path(__file__).parents[2] / 'models' / 'compact'


def edited(folder: Path, weight: str, value: float) -> Path:
    """Return the shipped bundle with one value of a weight replaced, and its checksum."""
    pytest.importorskip('openvino', reason='openvino is not installed (extra "openvino")')
    shutil.copytree(COMPACT, folder)
    model = onnx.load(folder / 'policy.onnx')
    tensor = next(one for one in model.graph.initializer if one.name == weight)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] = value
    tensor.CopyFrom(numpy_helper.from_array(values, weight))
    onnx.save(model, folder / 'policy.onnx')
    path = folder / 'config.json'
    config = json.loads(path.read_text())
    config['files']['policy'] = BundleFile.of(folder / 'policy.onnx').model_dump()
    path.write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_weight_that_is_no_number_is_refused_by_its_name(tmp_path: Path, value: float) -> None:
    bundle = edited(tmp_path / 'bundle', 'fine.0.weight', value)
    says = r'policy\.onnx: 1 constants hold NaN .* fine\.0\.weight'
    with pytest.raises(PolicyError, match=says):
        load_policy(bundle, 'cpu', runtime='openvino')


def test_any_other_number_is_not(tmp_path: Path) -> None:
    bundle = edited(tmp_path / 'bundle', 'fine.0.weight', 7.0)
    assert load_policy(bundle, 'cpu', runtime='openvino').spec.runtime == 'openvino'


def test_a_graph_whose_inputs_cannot_be_named_is_refused(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless(_: object) -> None:
        raise RuntimeError('attempt to get a name for a tensor without names')
    bundle = edited(tmp_path / 'bundle', 'fine.0.weight', 7.0)
    monkeypatch.setattr('vla_nav.runtimes.openvino_graph._shapes', nameless)
    with pytest.raises(PolicyError, match=r'policy\.onnx: OpenVINO .* without names'):
        load_policy(bundle, 'cpu', runtime='openvino')
