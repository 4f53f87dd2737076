"""The comparison: figures by what drives, a rule that can be followed, pages that hold them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from detectors import CLASSES, detector_graph, write_detector
from typer.testing import CliRunner

from vla_nav.cli.detector import app
from vla_nav.detection import compare as compared
from vla_nav.detection.compare import compare
from vla_nav.detection.compare_choice import CPU, recommend
from vla_nav.detection.contracts import DetectorError
from vla_nav.detection.dataset.yolo import DatasetError, label_file
from vla_nav.detection.npu.problems import NpuError
from vla_nav.detection.npu.report import Fallback, TargetReport, Tool, add_to

_RIGHT, _AWRY, _AWAY = ((30, 40, 20, 10, 0.9, 1), (33, 40, 20, 10, 0.9, 1),
                        (50, 15, 20, 10, 0.9, 1))
_NPU = TargetReport(
    path='int8 TFLite', operators=10, operators_on_npu=9, macs=1000, macs_on_npu=999,
    estimated_ms=7.5, sram_kib=300.0, image_size=64, assumptions='none',
    fallbacks=(Fallback(node='a', operator='Sigmoid', reason='is not supported'),),
    tool=Tool(name='Vela', version='5.2.0'))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return 4 + 4 pictures with one cup each, where ``_RIGHT`` says, and one of background."""
    root = tmp_path / 'data'
    for split in ('train', 'val'):
        for number in range(5):
            path = root / 'images' / split / f'{split}{number}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = np.full((64, 64, 3), 150 + number, np.uint8)
            picture[:4] = 0 if split == 'val' else 255
            cv2.imwrite(str(path), picture)
            label_file(path).parent.mkdir(parents=True, exist_ok=True)
            x, y, w, h = (value / 64 for value in _RIGHT[:4])
            label_file(path).write_text(f'1 {x} {y} {w} {h}\n' if number else '')
    (root / 'data.yaml').write_text(
        f'train: images/train\nval: images/val\nnames: [{", ".join(CLASSES)}]\n')
    (root / 'dataset.json').write_text(json.dumps({'pictures': {
        f'val{number}': {'group': 'tasks' if number < 2 else 'clutter', 'camera': 'robot'}
        for number in range(5)}}))
    return root


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Return one that is right, its int8 graph less so, and one that finds nothing right."""
    good = write_detector(tmp_path / 'good', [_RIGHT])
    onnx.save(detector_graph([_AWRY], 64, len(CLASSES)), good / 'detector_int8.onnx')
    add_to(good, {'ethos-u55-256': _NPU})
    return [good, write_detector(tmp_path / 'bad', [_AWAY])]


def _run(models: list[Path], data: Path, out: Path, steps: list[str], **changes: Any) -> Any:
    @contextmanager
    def bar(title: str, total: int) -> Iterator[Any]:
        # Looking through the data set is done each time.
        yield lambda: steps.append(title) if title.endswith(('fp32', 'int8')) else None

    now = iter(range(0, 10 ** 9, 1_000_000))
    given = {'split': 'val', 'targets': ('ethos-u55-256',), 'threads': 1, 'rounds': 2, **changes}
    return compare(models, data, out=out, clock=lambda: next(now), bar=bar, **given)


def test_figures_come_from_the_graphs_and_what_was_measured_is_not_measured_again(
        models: list[Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    steps: list[str] = []
    monkeypatch.setattr(compared, 'made', lambda: 'first, then')
    summary = _run(models, data, tmp_path / 'out', steps)
    assert steps == ['good fp32'] * 5 + ['good int8'] * 5 + ['bad fp32'] * 5
    good, bad = summary['models']['good'], summary['models']['bad']
    whole, quantised = good['accuracy']['fp32'], good['accuracy']['int8']
    # Four cups are found in five pictures; the fifth shows nothing, so one box is wrong.
    assert whole['recall'] == 1.0 and whole['precision'] == pytest.approx(0.8)
    assert whole['instances'] == 4 and 0.75 < whole['map50'] < 1.0
    assert whole['classes']['cup']['ap50'] == whole['map50']
    assert whole['classes']['person']['ap50'] is None
    # Shifted by 3 of 20 pixels the overlap is 17/23: right at 0.70, wrong at 0.75.
    assert quantised['map50'] == pytest.approx(whole['map50'])
    assert quantised['map50_95'] == pytest.approx(whole['map50_95'] / 2)
    assert good['change']['map50_95'] == pytest.approx(-whole['map50_95'] / 2)
    assert bad['accuracy']['fp32']['map50'] == 0.0 and bad['change'] is None
    low, high = whole['interval']
    assert low <= whole['map50'] <= high
    assert summary['groups'] == {'camera: robot': 5, 'scenes: clutter': 3, 'scenes: tasks': 2}
    assert whole['groups']['scenes: clutter']['instances'] == 3
    assert good['deployed'] == 'fp32' and good['npu']['ethos-u55-256']['macs_on_npu'] == 999
    assert bad['npu']['ethos-u55-256'] is None
    assert good['latency_ms']['fp32']['network']['p50'] == 1.0  # a millisecond a look at the clock
    assert good['bytes']['fp32'] > good['bytes']['fp16'] and good['bytes']['int8']

    monkeypatch.setattr(compared, 'made', lambda: 'second, now')
    again = _run(models, data, tmp_path / 'out', steps)
    assert len(steps) == 15 and again['models'] == summary['models']
    assert summary['made'] == 'first, then' and again['made'] == 'first, then and second, now'
    label_file(data / 'images/val/val1.png').write_text('')  # another truth: all is measured
    changed = _run(models, data, tmp_path / 'out', steps)
    assert len(steps) == 30
    assert changed['models']['good']['accuracy']['fp32']['instances'] == 3


@pytest.mark.parametrize(('spoil', 'error', 'message'), [
    (lambda models, data: (data / 'data.yaml').write_text(
        'train: images/train\nval: images/val\nnames: [a, b, c]\n'), DetectorError,
     'its classes are box, cup, person; those of'),
    (lambda models, data: label_file(data / 'images/val/val1.png').write_text('9 0 0 1 1'),
     DatasetError, 'class is 9'),
    (lambda models, data: models.append(models[0]), DetectorError, 'two models are called good'),
    (lambda models, data: (models[0] / 'npu.json').write_text('{'), NpuError,
     'npu.json: cannot be read'),
])
def test_what_cannot_be_compared_is_told(models: list[Path], data: Path, tmp_path: Path,
                                         spoil: Any, error: type[Exception], message: str):
    spoil(models, data)
    with pytest.raises(error, match=message):
        _run(models, data, tmp_path / 'out', [])


def _model(map50: float, recall: float, npu_ms: float | None, cpu_ms: float, on_npu: int = 5
           ) -> dict[str, Any]:
    npu = {'operators': 5, 'operators_on_npu': on_npu, 'estimated_ms': npu_ms}
    return {'deployed': 'int8', 'accuracy': {'int8': {'map50': map50, 'map50_95': map50 / 2,
                                                      'recall': recall}},
            'latency_ms': {'int8': {'network': {'p50': cpu_ms}}},
            'npu': {'npu': npu if npu_ms else None}}


def test_the_recommendation_follows_the_rule():
    models = {'slow': _model(0.95, 0.97, 9.0, 3.0), 'middle': _model(0.941, 0.93, 5.0, 4.0),
              'quick': _model(0.90, 0.9, 3.0, 5.0), 'poor': _model(0.5, 0.5, 1.0, 1.0),
              'partly': _model(0.96, 0.98, 2.0, 6.0, on_npu=4),
              'uncompiled': _model(0.97, 0.96, None, 7.0)}
    chosen = recommend(models, ('npu',))
    assert chosen['npu'] == {'safest': 'slow', 'balanced': 'middle', 'fastest': 'quick'}
    assert chosen[CPU] == {'safest': 'partly', 'balanced': 'partly', 'fastest': 'slow'}
    # Where no model runs wholly on the NPU, all that have an estimate are looked at.
    part = recommend({'partly': models['partly']}, ('npu', 'another'))
    assert set(part) == {'npu', CPU} and part['npu']['fastest'] == 'partly'
    assert recommend({'poor': models['poor']}, ('npu',))['npu']['fastest'] is None


def test_the_command_writes_pages_that_hold_the_figures(models: list[Path], data: Path,
                                                        tmp_path: Path):
    out = tmp_path / 'out'
    result = CliRunner().invoke(app, [
        'compare', '--models', *map(str, models), '--data', str(data), '--out', str(out),
        '--threads', '1', '--rounds', '2', '--targets', 'ethos-u55-256,ethos-n78'])
    assert result.exit_code == 0, result.output
    summary = json.loads((out / 'compare.json').read_text())
    text, page = (out / 'compare.md').read_text(), (out / 'index.html').read_text()
    figure = f'{100 * summary["models"]["good"]["accuracy"]["fp32"]["map50"]:.1f}'
    for where in (text, page):
        assert figure in where and '90.0 (9 of 10)' in where and '99.9' in where
        assert 'Safest: the highest recall' in where and 'Vela 5.2.0' in where
        assert '1 x Sigmoid: is not supported' in where
        assert 'vla-nav detector compile' in where
    assert page.count('data:image/png') == 2 and (out / 'trade_off.png').stat().st_size > 1000


def test_an_unknown_target_is_an_error_before_anything_is_computed(models: list[Path], data: Path,
                                                                   tmp_path: Path):
    result = CliRunner().invoke(app, ['compare', '--models', str(models[0]), '--data', str(data),
                                      '--out', str(tmp_path / 'out'), '--targets', 'ethos-x'])
    assert result.exit_code == 2 and 'ethos-x' in result.output
    assert not (tmp_path / 'out' / 'measured').exists()
