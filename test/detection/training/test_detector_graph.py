"""The graph that a robot runs says what ultralytics' own operators say."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_nav.detection.npu.graph import read_graph
from vla_nav.detection.training import graph, levels
from vla_nav.detection.training.yolo import ultralytics

with ultralytics('nn.modules.block') as block:
    _DFL = block.DFL


@given(st.sampled_from([1.0, 30.0, 1e4]), st.integers(0, 2 ** 32 - 1))
@settings(deadline=None)
def test_mean_bin_is_that_of_a_softmax(spread, seed):
    """Of logits that overflow without care, too."""
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(random.normal(0, spread, (2, 64, 5)).astype(np.float32))
    torch.testing.assert_close(graph._mean_bin(logits), _DFL(16)(logits))


@pytest.mark.parametrize('for_npu', [False, True])
def test_operator_rules_see_the_softmax_that_the_robot_goes_without(for_npu):
    model = levels.build(levels.read_level('L3', 'relu', 0.125), ('box', 'cup'))
    nodes = graph.export_graph(model, 32, for_npu).graph.node
    assert any(node.op_type == 'Softmax' for node in nodes) == for_npu


@pytest.mark.parametrize('level', ['L0', 'L4'])
def test_one_graph_takes_pictures_of_any_shape(level, tmp_path):
    """As the network itself does; an NPU's compiler gets one size."""
    torch.manual_seed(0)
    model = levels.build(levels.read_level(level, 'relu', 0.125), ('box', 'cup')).eval()
    onnx.save(graph.export_graph(model, 64), tmp_path / 'graph.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'graph.onnx')
    for height, width in ((64, 64), (32, 96), (128, 64)):
        picture = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            wanted = model(picture)[0].numpy()
        (found,) = session.run(None, {graph.INPUT: picture.numpy()})
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-3)
    squares = read_graph(tmp_path / 'graph.onnx', (64, 64))
    longer = read_graph(tmp_path / 'graph.onnx', (64, 128))
    convolutions = [sum(node.macs for node in nodes if node.operator == 'Conv')
                    for nodes in (squares, longer)]
    assert convolutions[1] == 2 * convolutions[0] > 0
    fixed = graph.export_graph(model, 64, for_npu=True).graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_value for side in fixed] == [1, 3, 64, 64]


@pytest.mark.parametrize('level', ['L0', 'L4'])
def test_decoding_begins_with_the_last_convolutions(level):
    """Two a stride, of which no other convolution is one."""
    model = levels.build(levels.read_level(level, 'relu', 0.125), ('box', 'cup'))
    exported = graph.export_graph(model, 32)
    decoding = graph.decoding(exported)
    ends = {node.name for node in exported.graph.node
            if node.name in decoding and node.op_type == 'Conv'}
    assert len(ends) == 6
    assert all('.2/Conv' in name and '/model.' in name for name in ends)
