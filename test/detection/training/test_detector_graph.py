"""The graph that a robot runs says what ultralytics' own operators say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize('softmax', [False, True])
def test_operator_rules_see_the_softmax_that_the_robot_goes_without(softmax):
    model = levels.build(levels.read_level('L3', 'relu', 0.125), ('box', 'cup'))
    nodes = graph.export_graph(model, 32, softmax).graph.node
    assert any(node.op_type == 'Softmax' for node in nodes) == softmax


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
