from __future__ import annotations

import copy
import functools

import onnx
import pytest
from onnx import ModelProto, TensorProto, helper
from torch import nn

from vla_nav.detection.training import graph, levels, verify

_CLASSES = ('one', 'two')


@functools.cache
def _model(activation: str, level: str = 'L3') -> nn.Module:
    return levels.build(levels.read_level(level, activation, 0.0625), _CLASSES).eval()


@functools.cache
def _graph(activation: str) -> ModelProto:
    return graph.export_graph(_model(activation), 32)


@pytest.mark.parametrize('activation', levels.ACTIVATIONS)
def test_a_network_holds_its_activation_and_no_other(activation):
    model = _model(activation)
    assert verify.wrong_modules(model, activation) == []
    assert verify.wrong_nodes(_graph(activation), activation,
                              verify.count_activations(model)) == []


@pytest.mark.parametrize('real, stated', [
    ('silu', 'relu'), ('relu', 'silu'), ('relu6', 'relu'), ('leaky', 'relu'), ('relu', 'leaky')])
def test_another_activation_than_the_stated_one_is_found_everywhere(real, stated):
    count = verify.count_activations(_model(real))
    assert len(verify.wrong_modules(_model(real), stated)) == count
    assert len(verify.wrong_nodes(_graph(real), stated)) == count


@pytest.mark.parametrize('planted, kind', [
    (nn.SiLU(), 'SiLU'), (nn.ReLU6(), 'Clip'), (nn.LeakyReLU(0.1), 'LeakyRelu'),
    (nn.Sigmoid(), 'Sigmoid'), (nn.Tanh(), 'Tanh')])
def test_one_planted_activation_is_reported_by_name(planted, kind):
    model = copy.deepcopy(_model('relu'))
    model.model[4].cv1.act = planted
    [module] = verify.wrong_modules(model, 'relu')
    assert module == f'model.4.cv1.act: {type(planted).__name__}'
    nodes = verify.wrong_nodes(graph.export_graph(model, 32), 'relu')
    assert len(nodes) == 1 and '/model.4/cv1/' in nodes[0] and kind in nodes[0]


def test_another_slope_of_the_leaky_relu_is_found():
    model = copy.deepcopy(_model('leaky'))
    model.model[0].act = nn.LeakyReLU(0.2)
    assert verify.wrong_modules(model, 'leaky') == ['model.0.act: LeakyReLU(0.2)']
    [node] = verify.wrong_nodes(graph.export_graph(model, 32), 'leaky')
    assert '/model.0/' in node


def test_a_lost_activation_is_missed():
    model = copy.deepcopy(_model('relu'))
    model.model[0].act = nn.Identity()
    found = verify.wrong_nodes(graph.export_graph(model, 32), 'relu',
                               verify.count_activations(_model('relu')))
    assert len(found) == 1 and 'the graph' in found[0]


def test_a_quantised_silu_is_still_seen():
    """Quantisation stands between a sigmoid and its product."""
    nodes = [helper.make_node('Sigmoid', ['x'], ['s'], name='/act/Sigmoid'),
             helper.make_node('QuantizeLinear', ['s', 'scale', 'zero'], ['q']),
             helper.make_node('DequantizeLinear', ['q', 'scale', 'zero'], ['d']),
             helper.make_node('Mul', ['x', 'd'], ['y'], name='/act/Mul')]
    values = [helper.make_tensor('scale', TensorProto.FLOAT, [], [1 / 255]),
              helper.make_tensor('zero', TensorProto.UINT8, [], [0])]
    shape = [1, 4]
    model = helper.make_model(helper.make_graph(
        nodes, 'one', [helper.make_tensor_value_info('x', TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, shape)], values))
    onnx.checker.check_model(model)
    assert verify.wrong_nodes(model, 'relu') == ['/act/Sigmoid: SiLU (Sigmoid x Mul)']


def test_a_file_that_is_no_graph_is_named(tmp_path):
    (tmp_path / 'x.onnx').write_bytes(b'no graph')
    with pytest.raises(ValueError, match=r'x\.onnx'):
        verify.wrong_nodes(tmp_path / 'x.onnx', 'relu')
