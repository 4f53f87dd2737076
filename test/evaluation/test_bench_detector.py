"""The bench of a detector: what it measures, and what it makes of limits."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from detectors import write_detector

from vla_nav.detection.contracts import DetectorError
from vla_nav.evaluation import bench_detector, machine
from vla_nav.evaluation.bench_detector import Plan, judge, measure
from vla_nav.evaluation.bench_detector_page import markdown


@pytest.fixture
def result(tmp_path, monkeypatch):
    # What it measures takes seconds, and is measured elsewhere.
    monkeypatch.setattr(machine, 'measured_rates', lambda threads: {
        'bytes_per_s': 1e10, 'operations_per_s': threads * 5e10})
    picture = tmp_path / 'picture.jpg'
    cv2.imwrite(str(picture), np.full((72, 128, 3), 90, np.uint8))
    notes = []
    found = measure(str(write_detector(tmp_path / 'detector')), Plan(3, 1, files=[picture]),
                    lambda done, of: notes.append((done, of)))
    assert notes == [(1, 4), (2, 4), (3, 4), (4, 4)]
    return found


def test_every_figure_is_there_and_survives_json(result):
    assert json.loads(json.dumps(result)) == result
    assert set(result['threads']) == {'1', '2'} and result['boxes'] == 1
    for row in result['threads'].values():
        assert 0 < row['network_ms']['p50'] <= row['network_ms']['p99']
        assert 0 < row['picture_ms']['p50'] <= row['picture_ms']['p99']
        assert row['operations'] == 0 and row['floor_ms'] == row['bandwidth_ms'] > 0
    assert 10 < result['peak_mb'] < 1000 and result['start_s'] > 0
    assert result['picture'].startswith('128x72, 0 kB') and result['ultralytics_ms'] == {}
    assert 'faster_than_ultralytics' not in result['bounds']


def test_the_page_holds_what_was_measured(result):
    result['ultralytics_ms'] = {'square': {'p50': 33.25, 'p95': 34.0, 'p99': 35.0}}
    page = markdown({**result, **judge(result)})
    for words in ('network, 1 thread |', 'JPEG to boxes, 2 threads', 'square input, 2 threads',
                  '33.25', 'times as fast as ultralytics', '128x72', 'peak memory'):
        assert words in page


@pytest.mark.parametrize('network, picture, theirs, memory, broken', [
    (6.0, 12.0, 24.0, 250.0, set()),
    (6.1, 12.0, 24.0, 250.0, {'network_p50_ms'}),
    (6.0, 12.1, 30.0, 250.0, {'picture_p50_ms'}),
    (6.0, 12.0, 23.9, 250.0, {'faster_than_ultralytics'}),
    (6.0, 12.0, 24.0, 251.0, {'peak_mb'}),
])
@pytest.mark.parametrize('shape, alike', [((320, 320), 'square'), ((192, 320), 'rectangle')])
def test_limits_hold_for_two_threads_and_an_input_of_the_same_shape(
        shape, alike, network, picture, theirs, memory, broken):
    slow = {'network_ms': {'p50': 90.0}, 'picture_ms': {'p50': 90.0}}
    found = judge({'peak_mb': memory, 'input': list(shape), 'ultralytics_ms': {
        alike: {'p50': theirs}, 'other': {'p50': 1.0}}, 'threads': {
        '1': slow, '2': {'network_ms': {'p50': network}, 'picture_ms': {'p50': picture}}}})
    assert {name for name, bound in found['bounds'].items() if not bound['passed']} == broken
    assert found['passed'] is not bool(broken)


def test_subjects_take_turns_in_going_first():
    seen = []
    turns = {name: lambda n, name=name: (seen.append((name, n)), [n, 2 * n])[1] for name in 'abc'}
    times = bench_detector._interleaved(turns, 2, Plan(4, 2), lambda done, of: None)
    assert [name for name, _ in seen[::3]] == ['b', 'c', 'a', 'b', 'c', 'a']
    assert times == {name: [[0, 1, 0, 1], [0, 2, 0, 2]] for name in 'abc'}


def test_a_picture_that_is_missing_is_told(tmp_path):
    with pytest.raises(DetectorError, match=r'nowhere\.jpg: cannot be read'):
        measure(str(write_detector(tmp_path)), Plan(1, 1, files=[tmp_path / 'nowhere.jpg']))
