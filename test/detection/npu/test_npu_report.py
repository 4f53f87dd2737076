"""What Vela says of a tiny graph, reports in npu.json, and missing environments.

``vela_tiny.txt`` and ``vela_tiny.csv`` are what Vela 5.2.0 printed and wrote, for U55-256, of two
convolutions with a LeakyReLU between them that ai-edge-quantizer's kind of graph keeps in float.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from vla_nav.detection.npu import environments, vela
from vla_nav.detection.npu.compile import judge, summarise
from vla_nav.detection.npu.convert import Converted
from vla_nav.detection.npu.environments import ENVIRONMENTS, TOSA, VELA
from vla_nav.detection.npu.graph import nodes_of
from vla_nav.detection.npu.problems import NpuError
from vla_nav.detection.npu.report import (
    REPORT_NAME,
    Fallback,
    TargetReport,
    Tool,
    add_to,
    lines,
    read_reports,
    reasons,
)
from vla_nav.detection.npu.targets import TARGETS, target

_HERE = Path(__file__).parent
_PRINTED = (_HERE / 'vela_tiny.txt').read_text('utf-8')
_SUMMARY = (_HERE / 'vela_tiny.csv').read_text('utf-8')
_MACS = 16 * 16 * 9 * (8 * 16 + 16 * 16)


def _report(**changes) -> TargetReport:
    return TargetReport(**{
        'path': 'tosa', 'operators': 10, 'operators_on_npu': 9, 'macs': 4000, 'macs_on_npu': 3000,
        'estimated_ms': 12.34, 'sram_kib': 1234.5, 'image_size': 320, 'assumptions': 'none',
        'tool': Tool(name='ethos-u-vela', version='5.2.0'), **changes})


def test_velas_figures_are_read():
    found = vela.parse(_PRINTED, _SUMMARY)
    assert (found.npu_operators, found.macs, found.cycles) == (2, _MACS, 9088)
    assert found.milliseconds == pytest.approx(1e3 * 9088 / 500e6)
    assert (found.sram_kib, found.off_chip_kib) == (32.0, 4.25)


def test_what_falls_back_is_told_with_velas_reason():
    found = vela.parse(_PRINTED, _SUMMARY).fallbacks
    assert [(one.operator, one.node) for one in found] == [
        ('DEQUANTIZE', 'float0'), ('LEAKY_RELU', 'leaky0'), ('QUANTIZE', 'act0')]
    assert found[0].reason == 'Unsupported opType'
    assert found[1].reason.startswith(
        'Operation has tensor with unsupported DataType Float32 (float0) Feature-map dataTypes')


@pytest.mark.parametrize('printed, summary', [
    ('', _SUMMARY), (_PRINTED, ''), (_PRINTED, _SUMMARY.replace('inference_time', 'time')),
    (_PRINTED.replace('   CPU: Passthrough = act0 (outputs [1, 16, 16, 16])\n', ''), _SUMMARY)])
def test_another_form_of_report_is_refused(printed, summary):
    with pytest.raises(NpuError, match=r'another form than 5\.2\.0'):
        vela.parse(printed, summary)


def test_pieces_add_up_and_what_stays_outside_counts():
    piece = vela.parse(_PRINTED, _SUMMARY)
    outside = (Fallback(node='bmm', operator='aten.bmm.default', reason='none'),)
    converted = Converted((Path('a.tosa'),) * 2, outside, 3 * _MACS, 'executorch 1.5.1')
    report = summarise(converted, [piece, piece], 320, TARGETS['ethos-u55-256'], 'tosa', 'noise')
    assert (report.operators, report.operators_on_npu) == (4 + 6 + 1, 4)
    assert (report.macs, report.macs_on_npu) == (3 * _MACS, 2 * _MACS)  # the product is the rest
    assert report.estimated_ms == pytest.approx(2 * piece.milliseconds)
    assert report.sram_kib == piece.sram_kib
    assert 'noise, by executorch 1.5.1' in report.assumptions


def test_macs_are_whole_where_nothing_that_multiplies_falls_back():
    piece = vela.parse(_PRINTED, _SUMMARY)
    converted = Converted((Path('a.tflite'),), (), 3 * _MACS, 'litert-torch 0.10.0')
    report = summarise(converted, [piece], 320, TARGETS['ethos-u55-256'], 'tflite', 'noise')
    assert report.mac_share == 1.0
    assert report.operator_share == pytest.approx(2 / 5)


def test_rules_are_applied_to_every_node_of_a_graph():
    nodes = [helper.make_node('Conv', ['x', 'w'], ['c'], name='conv'),
             helper.make_node('Softmax', ['c'], ['y'], name='soft', axis=1)]
    graph = helper.make_graph(
        nodes, 'two', [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 16, 6, 6])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros((8, 16, 1, 1), np.float32), 'w')])
    model = shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)]))
    report = judge(nodes_of(model), 6, TARGETS['ethos-n78'])
    assert (report.operators, report.operators_on_npu) == (2, 1)
    assert report.macs == report.macs_on_npu == 6 * 6 * 16 * 8
    assert report.estimated_ms is None
    assert [(one.node, one.operator) for one in report.fallbacks] == [('soft', 'Softmax')]
    assert (report.tool.name, report.tool.version) == (
        'Arm Ethos-N driver stack, SUPPORTED.md', '25.03')


def test_reports_of_targets_lie_side_by_side(tmp_path: Path):
    first, second = _report(), _report(estimated_ms=None, sram_kib=None)
    add_to(tmp_path, {'ethos-u55-256': first})
    path = add_to(tmp_path, {'ethos-n78': second})
    assert path.name == REPORT_NAME
    assert read_reports(path) == {'ethos-n78': second, 'ethos-u55-256': first}
    add_to(tmp_path, {'ethos-n78': first})
    assert read_reports(path)['ethos-n78'] == first


@pytest.mark.parametrize('content', ['{', '[]', '{"ethos-n78": {"operators": 0}}'])
def test_a_damaged_report_is_refused(tmp_path: Path, content):
    path = tmp_path / REPORT_NAME
    path.write_text(content, 'utf-8')
    with pytest.raises(NpuError, match=r'npu\.json: cannot be read.*compile again'):
        read_reports(path)


def test_the_table_shows_shares_and_dashes_for_what_nobody_estimates():
    assert lines({'L3': _report(), 'N': _report(estimated_ms=None, sram_kib=None)})[2:] == [
        '| L3 | 9/10 (90.0%) | 0.00 G (75.0%) | 12.3 | 1,234 | – |',
        '| N | 9/10 (90.0%) | 0.00 G (75.0%) | – | – | – |']


def test_a_reason_is_told_once_with_its_number():
    left = [Fallback(node=f'n{i}', operator='Mul', reason='two tensors') for i in range(3)]
    left.append(Fallback(node='s', operator='Softmax', reason='not supported'))
    assert reasons(left) == ['3 x Mul: two tensors (n0, …)', '1 x Softmax: not supported (s)']


def test_targets_are_known_by_name():
    assert target('ethos-u65-512').system == 'Ethos_U65_High_End'
    with pytest.raises(NpuError, match='ethos-u55-256, ethos-u65-512'):
        target('ethos-u55-128')


@pytest.mark.parametrize('name', ENVIRONMENTS)
def test_a_missing_environment_names_the_command_that_makes_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(NpuError, match=re.escape(f'vla-nav detector tools --{name}')) as caught:
        ENVIRONMENTS[name].run(['-c', ''])
    assert str(tmp_path / name) in str(caught.value)


def _fake(folder: Path, body: str) -> None:
    (folder / 'bin').mkdir(parents=True)
    python = folder / 'bin' / 'python'
    python.write_text(f'#!/bin/sh\n{body}\n', 'utf-8')
    python.chmod(0o755)
    (folder / 'requirements.txt').touch()


def test_a_tool_that_fails_is_quoted(tmp_path, monkeypatch):
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path))
    _fake(tmp_path / 'vela', 'echo "no such network" >&2; exit 3')
    with pytest.raises(NpuError, match='status 3:\nno such network'):
        VELA.run(['-m', 'ethosu.vela'])


def test_a_script_is_asked_and_answers_in_json(tmp_path, monkeypatch):
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv('PYTHONPATH', 'ours')
    # It gives back the request, and shows that it was not given our modules.
    _fake(tmp_path / 'tosa', 'test -z "$PYTHONPATH" && test -f "$1" && cp "$2" "$3"')
    assert TOSA.call('to_tosa', {'program': 'p'}, tmp_path) == {'program': 'p'}


def test_every_environment_has_its_pinned_versions():
    for name, environment in ENVIRONMENTS.items():
        words = [line for line in environment.requirements.read_text('utf-8').splitlines()
                 if not line.startswith('#')]
        assert words, name
        assert all('==' in word for word in words), name
    pinned = VELA.requirements.read_text('utf-8')
    assert f'ethos-u-vela=={vela.VERSION}\n' in pinned


def test_the_tools_train_and_convert_with_the_same_torch():
    versions = {re.search(r'^torch==(.*)$', environment.requirements.read_text('utf-8'),
                          re.MULTILINE).group(1)
                for name, environment in ENVIRONMENTS.items() if name != 'vela'}
    assert len(versions) == 1


def test_reports_are_plain_json(tmp_path: Path):
    content = json.loads(add_to(tmp_path, {'ethos-n78': _report()}).read_text('utf-8'))
    assert content['ethos-n78']['tool'] == {'name': 'ethos-u-vela', 'version': '5.2.0'}
