"""A detector bundle that is not exactly what it says is refused, with file, value and remedy."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from bundles import write_bundle
from detectors import describe_detector, detector_graph, model, write_detector
from onnx import TensorProto, helper

from vla_nav.detection.bundle import read_detector
from vla_nav.detection.contracts import DetectorError
from vla_nav.detection.onnx_detector import load_detector


@pytest.fixture
def bundle(tmp_path):
    return write_detector(tmp_path / 'bundle')


def _told(bundle):
    with pytest.raises(DetectorError) as caught:
        load_detector(bundle)
    return str(caught.value)


def test_config_survives_save_and_load(bundle, tmp_path):
    config = read_detector(bundle)
    config.save(tmp_path)
    assert read_detector(tmp_path) == config


@pytest.mark.parametrize('key, value, told', [
    ('format_version', 2, 'format_version is 2'),
    ('kind', 'policy', "kind is 'policy'"),
    ('image_size', 100, 'image_size is 100'),
    ('score_threshold', 1.0, 'score_threshold is 1.0'),
    ('iou_threshold', 0, 'iou_threshold is 0'),
    ('classes', [], 'classes is []'),
    ('classes', ['cup', 'cup', 'box'], 'name'),
    ('licence', '', "licence is ''"),
    ('files', {}, 'files.detector'),
    ('extra', 1, 'extra is 1'),
])
def test_wrong_keys_are_named_with_file_and_value(bundle, key, value, told):
    path = bundle / 'config.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    message = _told(bundle)
    assert told in message and str(path) in message


def test_a_policy_is_no_detector(tmp_path):
    message = _told(write_bundle(tmp_path))
    assert 'kind is None' in message and 'give a detector bundle' in message


def test_what_is_missing_or_damaged_is_named(bundle, tmp_path):
    assert 'no such detector bundle' in _told(tmp_path / 'nowhere')
    assert 'config.json: missing' in _told(tmp_path)
    with (bundle / 'detector.onnx').open('ab') as file:
        file.write(b'x')
    assert 'detector.onnx: sha256 is' in _told(bundle)
    (bundle / 'detector.onnx').unlink()
    assert 'detector.onnx: cannot be read' in _told(bundle)


def test_what_is_no_graph_is_refused(bundle):
    (bundle / 'detector.onnx').write_bytes(b'no graph')
    describe_detector(bundle)
    assert 'cannot load it' in _told(bundle)


def _constant(output, images=(TensorProto.FLOAT, [1, 3, 64, 64]), outputs=1):
    """Return a graph that gives ``output``, whatever it sees."""
    kind = helper.np_dtype_to_tensor_dtype(output.dtype)
    nodes = [helper.make_node('Shape', ['images'], ['shape']),
             helper.make_node('ReduceMin', ['shape'], ['least'], keepdims=0),
             helper.make_node('Greater', ['least', 'zero'], ['always'])]
    nodes += [helper.make_node('Where', ['always', 'value', 'value'], [f'output{i}'])
              for i in range(outputs)]
    return model(nodes, {'value': output, 'zero': np.int64(0)}, images,
                 *[(kind, list(output.shape))] * outputs)


def _good():
    output = np.full((1, 7, 5), 0.5, np.float32)
    output[0, :4] = 20
    return output


@pytest.mark.parametrize('change, told', [
    (lambda good: good.transpose(0, 2, 1).copy(), 'the other way round'),
    (lambda good: np.zeros((1, 300, 6), np.float32), 'non-maximum suppression'),
    (lambda good: np.concatenate((good, good[:, :2]), 1), '5 classes where config.json lists 3'),
    (lambda good: good[0], 'no float [1, 4 + classes, boxes]'),
    (lambda good: good.astype(np.float16), 'no float [1, 4 + classes, boxes]'),
    (lambda good: good * np.float32(np.nan), 'NaN'),
    (lambda good: good - np.float32([[[0]] * 4 + [[4]] * 3]), 'before the sigmoid'),
    (lambda good: good / np.float32([[[64]] * 4 + [[1]] * 3]), 'no pixels of its input'),
])
def test_another_output_layout_is_told(bundle, change, told):
    onnx.save(_constant(_good()), bundle / 'detector.onnx')
    describe_detector(bundle)
    load_detector(bundle)
    onnx.save(_constant(change(_good())), bundle / 'detector.onnx')
    describe_detector(bundle)
    message = _told(bundle)
    assert told in message and str(bundle / 'detector.onnx') in message


@pytest.mark.parametrize('images, outputs, told', [
    ((TensorProto.FLOAT16, [1, 3, 64, 64]), 1, 'its input is'),
    ((TensorProto.FLOAT, [1, 64, 64, 3]), 1, 'its input is'),
    ((TensorProto.FLOAT, [1, 3, 96, 96]), 1, 'float [1, 3, 64, 64]'),
    ((TensorProto.FLOAT, [1, 3, 64, 64]), 2, '2 outputs'),
])
def test_another_input_or_more_outputs_are_told(bundle, images, outputs, told):
    onnx.save(_constant(_good(), images, outputs), bundle / 'detector.onnx')
    describe_detector(bundle)
    assert told in _told(bundle)


def test_sizes_that_a_graph_leaves_open_are_taken(bundle):
    onnx.save(_constant(_good(), (TensorProto.FLOAT, ['batch', 3, 'height', 'width'])),
              bundle / 'detector.onnx')
    describe_detector(bundle)
    assert len(load_detector(bundle).detect(np.zeros((5, 5, 3), np.uint8))) > 0


def test_a_graph_of_other_classes_is_refused(bundle):
    onnx.save(detector_graph([], 64, 4), bundle / 'detector.onnx')
    describe_detector(bundle)
    assert 'has 4 classes where config.json lists 3' in _told(bundle)
