"""Laws of letterbox, threshold and non-maximum suppression, against slow plain references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_nav.detection.decode import MAX_DETECTIONS, decode, lowest, suppress
from vla_nav.detection.letterbox import GREY, Letterbox, blank

_SIDES = st.integers(1, 3000)
_SIZES = st.sampled_from([32, 64, 320, 640])
# Whole numbers, so that no rounding decides; and few, so that many boxes overlap.
_BOX = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 30), st.integers(1, 30),
                 st.integers(1, 99), st.integers(0, 2))


def _iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def _suppress_slowly(boxes, scores, classes, threshold):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(classes[i] != classes[k] or _iou(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
    return kept[:MAX_DETECTIONS]


def _arrays(found):
    rows = np.array(found, np.float64).reshape(-1, 6)
    boxes = np.concatenate((rows[:, :2], rows[:, :2] + rows[:, 2:4]), 1).astype(np.float32)
    return boxes, (rows[:, 4] / 100).astype(np.float32), rows[:, 5].astype(np.int64)


@settings(max_examples=150, deadline=None)
@given(st.lists(_BOX, max_size=40), st.floats(0.05, 0.95))
def test_suppression_keeps_what_the_plain_way_keeps(found, threshold):
    boxes, scores, classes = _arrays(found)
    assert suppress(boxes, scores, classes, threshold).tolist() == _suppress_slowly(
        boxes.astype(np.float64), scores, classes, threshold)


@settings(max_examples=150, deadline=None)
@given(st.lists(_BOX, min_size=1, max_size=40), st.floats(0.05, 0.95))
def test_a_foot_is_the_lowest_that_the_network_was_half_as_sure_of(found, threshold):
    boxes, scores, classes = _arrays(found)
    kept = suppress(boxes, scores, classes, threshold)
    wide = boxes.astype(np.float64)
    for best, foot in zip(kept, lowest(boxes, scores, classes, kept, threshold)):
        assert foot == max(boxes[i, 3] for i in range(len(boxes)) if i == best or (
            classes[i] == classes[best] and scores[i] >= np.float32(0.5) * scores[best]
            and _iou(wide[i], wide[best]) > threshold))


def test_feet_are_in_the_pixels_of_the_picture():
    place = Letterbox.fit(360, 640, 320)
    columns = [[160, 160, 160], [150, 155, 165], [80, 80, 80], [60, 70, 90], [0.8, 0.7, 0.3]]
    found = decode(np.float32(columns), place, 0.25, 0.5)
    assert found.boxes.tolist() == [[240, 100, 400, 220]]
    assert found.feet.tolist() == [240]
    assert found.standing().tolist() == [[240, 100, 400, 240]]


def test_at_most_300_are_kept_the_best():
    rng = np.random.default_rng(0)
    boxes = np.arange(400, dtype=np.float32)[:, None] * 20 + np.float32([0, 0, 10, 10])
    scores = rng.permutation(np.linspace(0.3, 0.9, 400)).astype(np.float32)
    kept = suppress(boxes, scores, np.zeros(400, np.int64), 0.7)
    assert kept.tolist() == np.argsort(-scores)[:MAX_DETECTIONS].tolist()


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float32, (7, 12), elements=st.floats(0, 1, width=32)), st.floats(0, 1))
def test_each_column_counts_for_its_best_class_above_the_threshold(output, threshold):
    output[0] = 10 + 40 * np.arange(12)  # side by side: nothing overlaps
    output[1:4] = [[300], [20], [20]]
    found = decode(output, Letterbox.fit(640, 640, 640), threshold, 0.5)
    best = output[4:].max(0)
    assert sorted(found.scores.tolist()) == sorted(best[best > threshold].tolist())
    assert (np.diff(found.scores) <= 0).all()
    for box, score, label in zip(found.boxes, found.scores, found.classes):
        column = round((box[0] + box[2] - 20) / 80)
        assert output[4 + label, column] == score == best[column]


def test_a_box_in_the_margin_alone_is_no_detection():
    output = np.zeros((5, 2), np.float32)
    output[:, 0] = [32, 8, 20, 10, 0.9]   # in the 16 grey rows above
    output[:, 1] = [32, 16, 20, 10, 0.8]  # half in them
    found = decode(output, Letterbox.fit(32, 64, 64), 0.25, 0.7)
    np.testing.assert_allclose(found.boxes, [[22, 0, 42, 5]])


@settings(max_examples=150, deadline=None)
@given(_SIDES, _SIDES, _SIZES, st.data())
def test_boxes_come_back_through_the_letterbox(height, width, size, data):
    place = Letterbox.fit(height, width, size, square=data.draw(st.booleans()))
    assert max(place.rows, place.columns) == size and min(place.rows, place.columns) >= 1
    corners = sorted(data.draw(st.floats(0, width)) for _ in range(2)), sorted(
        data.draw(st.floats(0, height)) for _ in range(2))
    box = np.array([[corners[0][0], corners[1][0], corners[0][1], corners[1][1]]])
    gains = np.array([place.columns / width, place.rows / height] * 2)
    there = (box * gains + [place.left, place.top] * 2).astype(np.float32)
    # Half of float32's last digit in the square, and what that is in the picture.
    np.testing.assert_allclose(place.undo(there), box, atol=1e-4 / gains.min())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 100), st.integers(1, 100))
def test_the_picture_is_centred_and_grey_around(height, width):
    place, target = Letterbox.fit(height, width, 32), blank((32, 32))
    place.fill(np.full((height, width, 3), (255, 51, 0), np.uint8), target)
    inside = np.zeros((32, 32), bool)
    inside[place.top:place.top + place.rows, place.left:place.left + place.columns] = True
    np.testing.assert_allclose(target[:, inside].T, [[1, 0.2, 0]] * inside.sum(), atol=1e-6)
    np.testing.assert_allclose(target[:, ~inside], GREY / 255)
    below, right = 32 - place.top - place.rows, 32 - place.left - place.columns
    assert 0 <= below - place.top <= 1 and 0 <= right - place.left <= 1


@given(_SIDES, _SIDES, st.integers(1, 20).map(lambda strides: 32 * strides))
def test_a_shortened_input_is_what_the_square_had_of_the_picture(height, width, size):
    square = Letterbox.fit(height, width, size)
    place = Letterbox.fit(height, width, size, square=False)
    assert (place.rows, place.columns) == (square.rows, square.columns)
    for side, shown, before in zip(place.shape, (place.rows, place.columns),
                                   (place.top, place.left)):
        assert side % 32 == 0 and shown <= side < shown + 32
        assert 0 <= (side - shown - before) - before <= 1


@pytest.mark.parametrize('height, width, place', [
    (720, 1280, (180, 320, 70, 0)), (480, 640, (240, 320, 40, 0)), (97, 131, (237, 320, 41, 0)),
    (1, 3000, (1, 320, 159, 0)), (5, 3, (320, 192, 0, 64)), (320, 319, (320, 319, 0, 0)),
])
def test_rounding_is_that_of_the_training(height, width, place):
    found = Letterbox.fit(height, width, 320)
    assert (found.rows, found.columns, found.top, found.left) == place
