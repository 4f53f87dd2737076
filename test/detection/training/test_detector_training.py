from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vla_nav.cli.detector import app
from vla_nav.detection.average_precision import match
from vla_nav.detection.bundle import read_detector
from vla_nav.detection.contracts import Detections, DetectorError
from vla_nav.detection.dataset.yolo import open_dataset
from vla_nav.detection.onnx_detector import load_detector
from vla_nav.detection.training import checkpoint, export, gate, learn
from vla_nav.detection.training.pictures import Pictures
from vla_nav.detection.training.recipe import Recipe
from vla_nav.detection.training.trained import open_trained

_SIZES = ((60, 80), (48, 48), (90, 40))


def _draw(path: Path, rng: np.random.Generator, number: int) -> None:
    """Draw one square of one of two colours on a dark picture, and its label."""
    height, width = _SIZES[number % len(_SIZES)]
    picture = rng.integers(0, 60, (height, width, 3)).astype(np.uint8)
    side = int(rng.integers(16, 28))
    x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
    picture[y:y + side, x:x + side] = (0, 0, 255) if number % 2 else (0, 255, 0)
    cv2.imwrite(str(path), picture)
    label = Path(str(path).replace('/images/', '/labels/')).with_suffix('.txt')
    label.write_text(f'{number % 2} {(x + side / 2) / width} {(y + side / 2) / height} '
                     f'{side / width} {side / height}\n')


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Return a user's data set: own class names with spaces, sizes that differ, own folders."""
    root = tmp_path_factory.mktemp('data')
    rng = np.random.default_rng(0)
    for split, count in (('learn', 8), ('judge', 4)):
        for kind in ('images', 'labels'):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            _draw(root / 'images' / split / f'picture {number}.png', rng, number)
    (root / 'mine.yaml').write_text('train: images/learn\nval: images/judge\n'
                                    'names: {0: green thing, 1: red thing}\n')
    return root


def _vla_nav(*words: object) -> str:
    line = [str(word) for word in words]
    with mock.patch.object(sys, 'argv', ['vla-nav', 'detector', *line]):
        result = CliRunner().invoke(app, line, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope='module')
def trained(data, tmp_path_factory):
    """Return the bundle that the command writes; it also spawns the training's process."""
    folder = tmp_path_factory.mktemp('runs') / 'tiny'
    _vla_nav('train', '--data', data / 'mine.yaml', '--level', 'L3', '--activation', 'relu',
             '--out', folder, '--epochs', 30, '--batch', 4, '--image-size', 64, '--width', 0.0625,
             '--mosaic', 0.3, '--device', 'cpu', '--check-every', 15)
    return folder


@pytest.fixture
def bundle(trained, tmp_path):
    """Return a copy of the bundle that a test may change."""
    return Path(shutil.copytree(trained, tmp_path / 'copy'))


def _job(data: Path) -> learn.Job:
    recipe = Recipe(epochs=3, batch=4, image_size=64, mosaic=0.5, plain_epochs=1)
    return learn.Job('L4', 'leaky', open_dataset(data / 'mine.yaml').names, recipe, width=0.0625)


def test_training_writes_a_bundle_that_a_robot_loads(trained, data):
    config = read_detector(trained)
    assert config.classes == ('green thing', 'red thing') and config.licence == 'AGPL-3.0'
    detector = load_detector(trained)
    picture = cv2.imread(str(data / 'images/learn/picture 1.png'))[..., ::-1]
    detector.detect(np.ascontiguousarray(picture))
    metrics = json.loads((trained / 'metrics.json').read_text())
    losses = [sum(row[name] for name in learn.LOSSES) for row in metrics['history']]
    assert len(losses) == 30 and np.mean(losses[-5:]) < np.mean(losses[5:15])
    assert 'map50' in metrics['history'][14]
    assert metrics['exports']['fp32']['share'] == 1.0
    card = (trained / 'README.md').read_text()
    assert 'AGPL-3.0' in card and 'red thing' in card and 'detector train' in card
    assert cv2.imread(str(trained / 'learning_curve.png')) is not None
    # Nothing is left beside the user's pictures.
    assert {path.suffix for path in data.rglob('*') if path.is_file()} == {'.png', '.txt', '.yaml'}


def test_files_beside_the_pictures_are_neither_read_nor_changed(data, tmp_path):
    """ultralytics takes an array of a picture's name for its own cache."""
    mine = Path(shutil.copytree(data, tmp_path / 'mine'))
    for number in range(8):
        array = mine / f'images/learn/picture {number}.npy'
        if number < 3:
            np.save(array, np.full((60, 80), 1.5, np.float32))  # a depth map
        elif number < 5:
            array.write_bytes(b'no array')
        else:
            np.save(array, np.zeros((60, 80, 3), np.uint8))  # what a cache would hold
    before = {path: path.read_bytes() for path in mine.rglob('*') if path.is_file()}
    recipe = Recipe(epochs=1, batch=8, image_size=64, mosaic=0.0)

    def batch(root):
        return next(Pictures(open_dataset(root / 'mine.yaml'), recipe).epoch(0))['img']

    assert torch.equal(batch(mine), batch(data))
    assert {path: path.read_bytes() for path in mine.rglob('*') if path.is_file()} == before


def test_the_same_command_on_a_finished_training_changes_no_weight(trained, data):
    before = (trained / 'model.safetensors').read_bytes()
    learn.learn(0, 1, learn.Job('L3', 'relu', ('green thing', 'red thing'),
                                Recipe(epochs=30, batch=4, image_size=64, mosaic=0.3,
                                       check_every=15), 0.0625),
                open_dataset(data / 'mine.yaml'), trained / 'state')
    assert (trained / 'model.safetensors').read_bytes() == before


def test_a_killed_training_goes_on_to_the_same_weights(data, tmp_path, monkeypatch):
    job, dataset = _job(data), open_dataset(data / 'mine.yaml')
    whole, broken = tmp_path / 'whole', tmp_path / 'broken'
    for folder in (whole, broken):
        folder.mkdir()
    learn.learn(0, 1, job, dataset, whole)

    save = checkpoint.save

    def dying(folder, *rest):
        save(folder, *rest)
        if rest[1].epochs == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoint, 'save', dying)
        learn.learn(0, 1, job, dataset, broken)
    # The disk lost the end of the newest state, and half of one was being written.
    newest = broken / checkpoint.NAME
    newest.write_bytes(newest.read_bytes()[:1000])
    (broken / 'checkpoint.partial').write_bytes(b'half')
    learn.learn(0, 1, job, dataset, broken)

    (_, expected), (_, found) = checkpoint.read(whole), checkpoint.read(broken)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_training_begins_where_another_ended(trained, data, tmp_path):
    names = open_dataset(data / 'mine.yaml').names
    found = open_trained(trained).model.state_dict()

    def begun(classes, size=96):
        recipe = Recipe(epochs=1, batch=4, image_size=size)
        job = learn.Job('L3', 'relu', classes, recipe, 0.0625, trained)
        assert job.as_dict()['start'] == read_detector(trained).files.model.sha256
        return {key: torch.equal(value, found[key]) if value.shape == found[key].shape else False
                for key, value in job.build().state_dict().items()}

    assert all(begun(names).values())
    anew = {key for key, same in begun(('pallet', 'forklift', 'door')).items() if not same}
    assert anew and all('.cv3.' in key for key in anew)
    # As many classes, but other ones: a score of green things means nothing to pallets.
    assert any('.cv3.' in key for key, same in begun(('pallet', 'forklift')).items() if not same)

    another = learn.Job('L4', 'relu', names, Recipe(epochs=1, image_size=64), 0.0625, trained)
    with pytest.raises(DetectorError, match=r'another network.*--level'):
        another.build()
    result = CliRunner().invoke(app, ['train', '--data', str(data / 'mine.yaml'), '--start',
                                      str(tmp_path), '--out', str(tmp_path / 'out')])
    assert result.exit_code == 2 and str(tmp_path) in result.output.replace('\n', '')


def test_another_trainings_folder_is_refused(data, trained):
    with pytest.raises(checkpoint.CheckpointError, match=r"level 'L3'.*'L4'.*another folder"):
        checkpoint.check(trained / 'state', _job(data).as_dict())


def test_the_graph_finds_what_the_network_finds(trained, data):
    source = open_trained(trained)
    parity = json.loads((trained / 'metrics.json').read_text())['exports']['fp32']
    assert source.config.files.detector.name == 'detector.onnx'
    assert parity['boxes'] >= 4 and parity['map50_change'] == pytest.approx(0, abs=1e-6)
    assert 'every activation is as stated' in _vla_nav('verify', trained)


@pytest.mark.parametrize('flag, file', [('--int8', 'detector_int8.onnx'),
                                        ('--half', 'detector_fp16.onnx')])
def test_an_export_is_named_by_the_bundle_and_runs(bundle, data, monkeypatch, flag, file):
    loose = gate.Bounds(iou=0.1, score=1.0, share=0.0, map50=1.0)  # the network hardly knows
    monkeypatch.setattr(gate, 'BOUNDS', dict.fromkeys(gate.BOUNDS, loose))
    _vla_nav('export', '--model', bundle, '--calibrate', data, flag)
    assert read_detector(bundle).files.detector.name == file
    load_detector(bundle).detect(np.zeros((40, 50, 3), np.uint8))
    assert (bundle / 'detector.onnx').is_file() and file in (bundle / 'README.md').read_text()
    assert 'every activation is as stated' in _vla_nav('verify', bundle)


def test_an_export_that_fails_the_gate_leaves_nothing(bundle, data, monkeypatch):
    never = gate.Bounds(iou=0.99, score=0.0, share=1.1, map50=0.0)
    monkeypatch.setitem(gate.BOUNDS, 'int8', never)
    before = {path.name: path.read_bytes() for path in bundle.glob('*') if path.is_file()}
    with pytest.raises(export.ExportError, match=r'not equal.*No file was left'):
        export.add_graph(open_trained(bundle), 'int8', open_dataset(data / 'mine.yaml'))
    assert {path.name: path.read_bytes() for path in bundle.iterdir() if path.is_file()} == before
    assert {path.name for path in bundle.iterdir() if path.is_dir()} == {'state'}


def test_classes_of_another_data_set_are_refused(bundle, data, tmp_path):
    other = Path(shutil.copytree(data, tmp_path / 'other'))
    description = other / 'mine.yaml'
    description.write_text(description.read_text().replace('red', 'blue'))
    with pytest.raises(export.ExportError, match=r'blue thing.*red thing'):
        export.add_graph(open_trained(bundle), 'fp32', open_dataset(description))


def test_wrong_labels_are_told_before_anything_is_trained(data, tmp_path):
    other = Path(shutil.copytree(data, tmp_path / 'other'))
    (other / 'labels/learn/picture 0.txt').write_text('7 0.5 0.5 0.1 0.1\n')
    result = CliRunner().invoke(app, ['train', '--data', str(other), '--out',
                                      str(tmp_path / 'out')])
    assert result.exit_code == 2 and not (tmp_path / 'out').exists()
    assert 'class is 7' in result.output


_BOXES = np.float32([[0, 0, 100, 100], [50, 50, 90, 90]])


def _found(boxes=_BOXES, scores=(0.9, 0.5), classes=(0, 1)):
    return Detections(np.float32(boxes).reshape(-1, 4), np.float32(scores),
                      np.array(classes, np.int64))


def test_boxes_that_moved_or_changed_their_score_are_no_longer_the_same():
    def agree(**changes):
        there, here = gate.agreement(_found(), _found(**changes), gate.BOUNDS['fp32'])
        assert there.tolist() == here.tolist()
        return there.tolist()

    assert agree() == [True, True]
    assert agree(boxes=_BOXES + np.float32([[0, 0, 0, 0], [1, 1, 1, 1]])) == [True, False]
    assert agree(scores=(0.902, 0.5)) == [False, True]
    assert agree(classes=(1, 1)) == [False, True]


def test_a_box_counts_for_one_of_the_other_side():
    twice = _found(boxes=_BOXES[[0, 0, 1]], scores=(0.9, 0.9, 0.5), classes=(0, 0, 1))
    there, here = gate.agreement(_found(), twice, gate.BOUNDS['fp32'])
    assert there.tolist() == [True, True] and here.tolist() == [True, False, True]
    there, here = gate.agreement(twice, _found(), gate.BOUNDS['fp32'])
    assert there.tolist() == [True, False, True] and here.tolist() == [True, True]
    nothing = _found([], (), ())
    assert [one.tolist() for one in gate.agreement(_found(), nothing, gate.BOUNDS['fp32'])] == [
        [False, False], []]


def _parity(source, export, count=10):
    """Compare ``count`` pictures that show nothing, with two boxes each."""
    def looked(found):
        none = np.zeros((0, 4)), np.zeros(0, np.int64)
        return gate.Looked(tuple(found), tuple(match(one, *none) for one in found))

    same = [_found()] * (count - 1)
    return gate.compare(looked([source, *same]), looked([export, *same]), ('a', 'b'), 0.25,
                        gate.BOUNDS['fp32'])


def _problems(*sides):
    return gate.problems(_parity(*sides), gate.BOUNDS['fp32'])


def test_boxes_that_only_the_export_finds_count_too():
    more = _found(boxes=[*_BOXES, *_BOXES + 300], scores=(0.9, 0.5, 0.4, 0.3),
                  classes=(0, 1, 0, 1))
    parity = _parity(_found(), more)
    assert (parity['boxes'], parity['same']) == (20, 20)
    assert (parity['export_boxes'], parity['export_same']) == (22, 20)
    assert parity['share'] == pytest.approx(20 / 22)
    problem, = _problems(_found(), more)
    assert problem.startswith('20 of 22 boxes of the graph')
    problem, = _problems(more, _found())
    assert problem.startswith('20 of 22 boxes of the network')
    assert not _problems(_found(), _found())


def test_of_few_boxes_one_may_differ():
    assert not _problems(_found(), _found(scores=(0.9, 0.45)))
    assert len(_problems(_found(), _found(scores=(0.8, 0.45)))) == 2


def test_a_score_that_crosses_the_threshold_by_next_to_nothing_is_the_same():
    parity = _parity(_found(scores=(0.9, 0.2501)), _found(scores=(0.9, 0.2499)))
    assert (parity['boxes'], parity['export_boxes'], parity['share']) == (20, 19, 1.0)
