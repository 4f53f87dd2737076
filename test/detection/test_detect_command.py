"""``vla-nav detector detect``: pictures with boxes, and JSON."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from detectors import write_detector
from PIL import Image
from typer.testing import CliRunner

from vla_nav.cli.main import build
from vla_nav.detection.dataset.yolo import SUFFIXES


@pytest.fixture
def run(tmp_path):
    write_detector(tmp_path / 'detector')

    def run(*pictures):
        return CliRunner().invoke(build(['detector']), [
            'detector', 'detect', *map(str, pictures), '--detector', str(tmp_path / 'detector'),
            '--out', str(tmp_path / 'out')])

    return run


def _write(path, shape):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full(shape, 90, np.uint8))
    return path


def test_boxes_are_drawn_and_told_in_the_pixels_of_each_picture(run, tmp_path):
    pictures = tmp_path / 'pictures'
    colour = _write(pictures / 'a.jpg', (128, 128, 3))
    grey, clear = _write(pictures / 'b.png', (64, 64)), _write(pictures / 'c.png', (64, 128, 4))
    result = run(pictures)
    assert result.exit_code == 0 and '3 boxes in 3 pictures' in result.output
    told = json.loads((tmp_path / 'out' / 'detections.json').read_text())
    assert told['classes'] == ['box', 'cup', 'person']
    rows = {row['picture']: row for row in told['pictures']}
    for path, box in ((colour, [40, 70, 80, 90]), (grey, [20, 35, 40, 45]),
                      (clear, [40, 38, 80, 58])):
        row = rows[str(path)]
        assert row['detections'] == [{'class': 'cup', 'score': 0.9, 'box': box}]
        drawn = cv2.imread(str(tmp_path / 'out' / row['drawn']))
        assert drawn.shape[:2] == (row['height'], row['width'])
        left, top = int(box[0]), int(box[1])
        # The line is green, and what is inside is as it was.
        assert drawn[top + 5, left, 1] > drawn[top + 5, left, 2] + 50
        assert np.abs(drawn[top + 6, left + 12].astype(int) - 90).max() < 30


def test_a_picture_that_is_none_is_told_and_the_others_are_done(run, tmp_path):
    (tmp_path / 'broken.jpg').write_bytes(b'no picture')
    good = _write(tmp_path / 'good.jpg', (64, 64, 3))
    (tmp_path / 'short.jpg').write_bytes(good.read_bytes()[:-9])
    result = run(tmp_path / 'broken.jpg', good, tmp_path / 'nowhere.png', tmp_path / 'short.jpg')
    assert result.exit_code == 1 and '1 boxes in 1 pictures' in result.output
    rows = json.loads((tmp_path / 'out' / 'detections.json').read_text())['pictures']
    assert rows[0]['problem'].startswith('is no picture that OpenCV reads')
    assert 'No such file' in rows[2]['problem'] and 'cut short' in rows[3]['problem']
    assert len(rows[1]['detections']) == 1


def test_a_phones_picture_is_upright_as_in_training(run, tmp_path):
    """The orientation of its EXIF tag turns it a quarter, so that it is higher than wide."""
    path = tmp_path / 'phone.jpg'
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(np.full((64, 128, 3), 90, np.uint8)).save(path, exif=tag)
    assert run(path).exit_code == 0
    row, = json.loads((tmp_path / 'out' / 'detections.json').read_text())['pictures']
    assert (row['height'], row['width']) == (128, 64)
    assert row['detections'][0]['box'] == [8, 70, 48, 90]


def test_every_kind_that_training_takes_is_found_in_a_folder(run, tmp_path):
    for suffix in SUFFIXES:
        _write(tmp_path / 'pictures' / f'{suffix[1:]}{suffix}', (64, 64, 3))
    result = run(tmp_path / 'pictures')
    assert result.exit_code == 0
    assert f'{len(SUFFIXES)} boxes in {len(SUFFIXES)} pictures' in result.output


def test_pictures_of_one_name_do_not_overwrite_each_other(run, tmp_path):
    files = [_write(tmp_path / part / 'a.jpg', (64, 64, 3)) for part in ('one', 'two')]
    assert run(*files).exit_code == 0
    assert len(list((tmp_path / 'out').glob('*.jpg'))) == 2


def test_no_detector_and_no_pictures_are_told(run, tmp_path):
    (tmp_path / 'empty').mkdir()
    result = run(tmp_path / 'empty')
    assert result.exit_code == 2
    (tmp_path / 'detector' / 'config.json').unlink()
    assert run(_write(tmp_path / 'a.jpg', (64, 64, 3))).exit_code == 2
