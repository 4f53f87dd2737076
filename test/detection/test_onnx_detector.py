"""The detector on a robot: pictures of any size, and errors instead of invented boxes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detectors import write_detector

from vla_nav.detection.contracts import DetectorError
from vla_nav.detection.onnx_detector import load_detector


@pytest.fixture
def detector(tmp_path):
    return load_detector(write_detector(tmp_path))


def _picture(height, width, value=200):
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize('height, width, box', [
    (64, 64, (20, 35, 40, 45)),
    (128, 128, (40, 70, 80, 90)),
    (64, 128, (40, 38, 80, 58)),   # 16 grey rows above and below
    (128, 64, (8, 70, 48, 90)),
])
def test_boxes_are_in_the_pixels_of_the_picture(detector, height, width, box):
    found = detector.detect(_picture(height, width))
    np.testing.assert_allclose(found.boxes, [box], atol=1e-4)
    assert found.scores.tolist() == [pytest.approx(0.9)] and found.classes.tolist() == [1]
    assert (found.boxes.dtype, found.scores.dtype, found.classes.dtype) == (
        np.float32, np.float32, np.int64)


def test_margins_are_grey_again_after_a_picture_of_another_shape(tmp_path):
    # The mean of a black picture with grey margins is above 0.2, that of a black square is 0.
    detector = load_detector(write_detector(tmp_path, brighter_than=0.2))
    assert len(detector.detect(_picture(64, 64, 0))) == 0
    assert len(detector.detect(_picture(32, 64, 0))) == 1
    assert len(detector.detect(_picture(64, 64, 0))) == 0
    assert len(detector.detect(_picture(64, 32, 0))) == 1


def test_numbers_that_are_none_are_an_error_not_an_empty_floor(tmp_path):
    detector = load_detector(write_detector(tmp_path, nan_below=0.1))
    assert len(detector.detect(_picture(64, 64))) == 1
    with pytest.raises(DetectorError, match=r'detector\.onnx: the network gave NaN'):
        detector.detect(_picture(64, 64, 0))
    assert len(detector.detect(_picture(64, 64))) == 1


@pytest.mark.parametrize('image', [
    np.zeros((8, 8), np.uint8), np.zeros((8, 8, 1), np.uint8), np.zeros((8, 8, 4), np.uint8),
    np.zeros((8, 8, 3), np.float32)])
def test_other_than_rgb_is_refused_with_the_remedy(detector, image):
    with pytest.raises(DetectorError, match=r'uint8 .H, W, 3. RGB'):
        detector.detect(image)


@pytest.mark.parametrize('shape', [(0, 8, 3), (8, 0, 3)])
def test_an_empty_picture_is_refused(detector, shape):
    with pytest.raises(DetectorError, match='empty'):
        detector.detect(np.zeros(shape, np.uint8))


@pytest.mark.parametrize('height, width', [(1, 1), (1, 3000), (3000, 1), (2, 40_000)])
def test_extreme_pictures_give_boxes_inside_of_them(tmp_path, height, width):
    detector = load_detector(write_detector(tmp_path, [(32, 32, 60, 60, 0.9, 0)]))
    try:
        found = detector.detect(_picture(height, width))
    except DetectorError as error:  # OpenCV resizes no side beyond 32767 pixels
        assert width > 32767 and 'cannot be resized' in str(error)
        return
    assert len(found) == 1
    assert (found.boxes >= 0).all() and (found.boxes <= [width, height] * 2).all()


@pytest.mark.parametrize('height, width', [(720, 1280), (721, 1283), (64, 64), (40, 30)])
def test_a_jpeg_is_decoded_at_the_needed_size_and_boxes_are_in_the_full_one(
        detector, monkeypatch, height, width):
    jpeg = cv2.imencode('.jpg', _picture(height, width))[1].tobytes()
    whole = detector.detect(_picture(height, width))
    seen = []
    monkeypatch.setattr(detector, 'prepare', lambda image, prepare=detector.prepare: (
        seen.append(image.shape), prepare(image))[1])
    found = detector.detect_encoded(jpeg)
    # An eighth is the most that a JPEG is reduced by; 1280 pixels become 160, above 64.
    assert seen[0][:2] == ((-(-height // 8), -(-width // 8)) if width > 1000 else (height, width))
    np.testing.assert_allclose(found.boxes, whole.boxes, atol=0.02 * width)
    assert (found.boxes <= [width, height] * 2).all()


def test_a_png_is_taken_and_what_is_cut_short_is_not(detector):
    png = cv2.imencode('.png', _picture(64, 64))[1].tobytes()
    assert len(detector.detect_encoded(png)) == 1
    with pytest.raises(DetectorError, match='cut short'):
        detector.detect_encoded(png[:-20])
    with pytest.raises(DetectorError, match='neither JPEG nor PNG'):
        detector.detect_encoded(b'GIF89a')


def test_spec_tells_what_it_runs_on(detector):
    assert (detector.spec.provider, detector.spec.classes) == ('cpu', ('box', 'cup', 'person'))
    assert detector.fallback == ''
