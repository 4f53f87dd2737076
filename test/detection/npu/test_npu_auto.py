"""The search as a whole: what is compiled and trained, what a second run does again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from vla_nav.detection.dataset.yolo import Dataset
from vla_nav.detection.npu import auto, environments
from vla_nav.detection.npu.problems import NpuError
from vla_nav.detection.npu.report import REPORT_NAME, TargetReport, Tool
from vla_nav.detection.npu.search import candidates
from vla_nav.detection.npu.targets import TARGETS
from vla_nav.detection.training.recipe import PRESETS

_CANDIDATES = candidates(['L3'], ['relu', 'leaky'], [0.25, 0.125], ['bins', 'direct'])
_DATA = Dataset(Path('objects/data.yaml'), ('cup', 'box'), {})


class _Workshop:
    """Stands in for compiler and training, which take hours; notes what it was asked for."""

    def __init__(self, monkeypatch, refused: str = '') -> None:
        self.compiled: list[str] = []
        self.trained: list[str] = []
        self.refused = refused
        self._building = ''
        monkeypatch.setattr(auto.levels, 'build', self._build)
        monkeypatch.setattr(auto, 'compile_network', self._compile)
        monkeypatch.setattr(auto.learn, 'train', self._train)
        monkeypatch.setattr(auto.trained, 'finish', self._finish)
        monkeypatch.setattr(auto.trained, 'open_trained', self._open)
        monkeypatch.setattr(auto, 'calibration', lambda *_: [np.zeros((1, 3, 32, 32), np.float32)])

    def _build(self, architecture, classes):
        return architecture

    def _compile(self, model, image_size, target, work, pictures=None):
        milliseconds = 40 * model['width_multiple'] + ('Leaky' in model['activation']) + (
            model['reg_max'] == 16)
        if pictures is None:
            self.compiled.append(model['activation'])
        if self.refused and self.refused in model['activation']:
            raise NpuError('Vela does not want it')
        return TargetReport(
            path='tosa', operators=4, operators_on_npu=4, macs=10, macs_on_npu=10,
            estimated_ms=milliseconds, image_size=image_size, assumptions='none at all',
            tool=Tool(name='none', version='0'))

    def _train(self, job, dataset, state, device, workers):
        self.trained.append(state.parent.name)
        self._level = yaml.safe_load(Path(job.level).read_text('utf-8'))
        state.mkdir(parents=True)

    def _finish(self, folder, state, job, dataset, command):
        (folder / 'config.json').write_text(json.dumps(self._level), 'utf-8')
        # Wider is better, leaky no better than ReLU, and bins worse than none.
        worth = self._level['width_multiple'] + 0.1 * (self._level['reg_max'] == 1)
        figures = {'map50': worth, 'map50_95': worth / 2}
        (folder / 'metrics.json').write_text(
            json.dumps({'exports': {'fp32': {'figures': figures}}}), 'utf-8')

    def _open(self, folder):
        model = json.loads((folder / 'config.json').read_text('utf-8'))
        config = SimpleNamespace(image_size=192, training={'parameters': 9, 'seconds': 1})
        return SimpleNamespace(model=model, config=config)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path / 'tools'))
    for name in ('vela', 'tosa'):
        (tmp_path / 'tools' / name).mkdir(parents=True)
        (tmp_path / 'tools' / name / 'requirements.txt').touch()


def _search(tmp_path, **changes) -> auto.Search:
    return replace(auto.Search(tmp_path / 'out', TARGETS['ethos-u55-256'], _CANDIDATES,
                               PRESETS['cpu'], 4, 'vla-nav detector auto'), **changes)


def test_all_are_compiled_some_trained_and_the_front_kept(tmp_path, monkeypatch, tools):
    workshop = _Workshop(monkeypatch)
    summary = auto.run(_search(tmp_path), _DATA, print)
    assert len(workshop.compiled) == len(summary['compiled']) == 8
    assert workshop.trained == list(summary['models'])
    assert len(workshop.trained) == 4
    assert {workshop.trained[0], workshop.trained[-1]} == {
        'L3_relu_0.125_direct', 'L3_leaky_0.25_bins'}
    # It costs most and gives less than others.
    assert 'L3_leaky_0.25_bins' not in summary['front']
    assert summary['front'][0] == 'L3_relu_0.125_direct'
    for name in workshop.trained:
        assert 'ethos-u55-256' in json.loads(
            (tmp_path / 'out' / name / REPORT_NAME).read_text('utf-8'))
    for page in ('auto.md', 'index.html'):
        text = (tmp_path / 'out' / page).read_text('utf-8')
        assert all(one.name in text for one in _CANDIDATES)
        assert 'estimated ms' in text
    assert (tmp_path / 'out' / 'front.png').stat().st_size > 1000
    assert json.loads((tmp_path / 'out' / auto.SUMMARY).read_text('utf-8')) == json.loads(
        json.dumps(summary))


def test_what_is_there_is_not_made_again(tmp_path, monkeypatch, tools):
    _Workshop(monkeypatch)
    first = auto.run(_search(tmp_path), _DATA, print)
    (tmp_path / 'out' / 'L3_relu_0.125_direct' / 'config.json').unlink()
    (tmp_path / 'out' / 'L3_relu_0.125_direct' / 'state').rmdir()
    workshop = _Workshop(monkeypatch)
    second = auto.run(_search(tmp_path), _DATA, print)
    assert (workshop.compiled, workshop.trained) == ([], ['L3_relu_0.125_direct'])
    assert second == first


def test_a_folder_of_another_search_is_refused(tmp_path, monkeypatch, tools):
    _Workshop(monkeypatch)
    auto.run(_search(tmp_path), _DATA, print)
    with pytest.raises(NpuError, match='another most, target;'):
        auto.run(_search(tmp_path, target=TARGETS['ethos-n78'], most=2), _DATA, print)


def test_what_a_tool_refuses_is_left_out_and_said(tmp_path, monkeypatch, tools):
    _Workshop(monkeypatch, refused='Leaky')
    said: list[str] = []
    summary = auto.run(_search(tmp_path), _DATA, said.append)
    assert all('relu' in name for name in summary['compiled'])
    assert 'L3_leaky_0.25_bins is left out: Vela does not want it' in said


def test_nothing_begins_where_a_tool_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv(environments.FOLDER_VARIABLE, str(tmp_path / 'none'))
    workshop = _Workshop(monkeypatch)
    with pytest.raises(NpuError, match='vla-nav detector tools --vela'):
        auto.run(_search(tmp_path), _DATA, print)
    assert not workshop.compiled
    assert not (tmp_path / 'out').exists()
