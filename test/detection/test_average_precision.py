"""mAP: equal to ultralytics' on random boxes, and the laws that any such figure obeys."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.detection.average_precision import (
    Matched,
    average_precision,
    figures,
    map50_draws,
    match,
    overlaps,
)
from vla_nav.detection.contracts import Detections
from vla_nav.detection.training.yolo import ultralytics

_NAMES = ('box', 'cup', 'never seen')


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner, side = rng.uniform(0, 80, (count, 2)), rng.uniform(8, 40, (count, 2))
    return np.hstack([corner, corner + side]).astype(np.float32)


def _picture(rng: np.random.Generator) -> tuple[Detections, np.ndarray, np.ndarray]:
    """Return what a middling detector finds in a random picture, and what is there."""
    boxes = _boxes(rng, int(rng.integers(0, 7)))
    classes = rng.integers(0, 2, len(boxes))
    near = boxes + rng.normal(0, 2.5, boxes.shape).astype(np.float32)
    found = np.concatenate([near, near[: len(near) // 2], _boxes(rng, int(rng.integers(0, 4)))])
    named = np.concatenate([classes, classes[: len(near) // 2],
                            rng.integers(0, 3, len(found) - len(near) - len(near) // 2)])
    scores = rng.uniform(0.05, 0.95, len(found)).astype(np.float32)
    order = np.argsort(-scores)
    return Detections(found[order], scores[order], named[order]), boxes, classes


def _many(seed: int, count: int = 40) -> list[Matched]:
    rng = np.random.default_rng(seed)
    return [match(*_picture(rng)) for _ in range(count)]


def test_the_figures_are_those_of_ultralytics():
    class Theirs:
        iouv = torch.linspace(0.5, 0.95, 10)

    rng, ours, theirs = np.random.default_rng(7), [], []
    for _ in range(60):
        found, boxes, classes = _picture(rng)
        ours.append(match(found, boxes, classes))
        with ultralytics('engine.validator') as engine, ultralytics('utils.metrics') as metrics:
            iou = metrics.box_iou(torch.from_numpy(boxes), torch.from_numpy(found.boxes))
            theirs.append(engine.BaseValidator.match_predictions(
                Theirs(), torch.from_numpy(found.classes), torch.from_numpy(classes),
                iou).numpy())
    for mine, their in zip(ours, theirs, strict=True):
        assert np.array_equal(mine.correct, their)
    expected = metrics.ap_per_class(
        np.concatenate(theirs), np.concatenate([m.scores for m in ours]),
        np.concatenate([m.classes for m in ours]), np.concatenate([m.present for m in ours]))
    ap, numbers = expected[5], expected[6]
    found = figures(ours, _NAMES, 0.25)
    assert numbers.tolist() == [0, 1] and 0.2 < ap.mean() < 0.9  # else this compares nothing
    for row, number in zip(ap, numbers, strict=True):
        mine = found['classes'][_NAMES[number]]
        assert mine['ap50'] == pytest.approx(row[0], abs=1e-6)
        assert mine['ap50_95'] == pytest.approx(row.mean(), abs=1e-6)
    assert found['map50'] == pytest.approx(ap[:, 0].mean(), abs=1e-6)
    assert found['map50_95'] == pytest.approx(ap.mean(), abs=1e-6)


def test_a_class_without_instances_is_no_part_of_the_mean_but_its_false_alarms_count():
    found = figures(_many(1), _NAMES, 0.0)
    unseen = found['classes']['never seen']
    assert unseen['instances'] == 0 and unseen['ap50'] is None and unseen['found'] > 0
    right = sum(row['right'] for row in found['classes'].values())
    shown = sum(row['found'] for row in found['classes'].values())
    assert found['precision'] == pytest.approx(right / shown)


def test_precision_and_recall_are_those_at_the_score_that_drives():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    found = Detections(boxes[[0, 0, 1]] + np.float32([[0], [1], [0]]),
                       np.float32([0.9, 0.8, 0.3]), np.array([0, 0, 0]))
    matched = [match(found, boxes, np.array([0, 0]))]
    low, high = (figures(matched, ('box',), score) for score in (0.25, 0.5))
    assert (low['precision'], low['recall']) == pytest.approx((2 / 3, 1.0))  # one is double
    assert (high['precision'], high['recall']) == pytest.approx((0.5, 0.5))
    assert low['map50'] == high['map50']


@given(st.integers(0, 10_000))
def test_perfect_boxes_score_all_but_the_last_half_point_and_none_score_nought(seed: int):
    rng = np.random.default_rng(seed)
    boxes, classes = _boxes(rng, 5), rng.integers(0, 2, 5)
    scores = rng.uniform(0.1, 1, 5).astype(np.float32)
    perfect = figures([match(Detections(boxes, scores, classes), boxes, classes)], _NAMES, 0.0)
    # At full recall itself the curve has ended, as in ultralytics.
    assert perfect['map50_95'] == pytest.approx(0.995) and perfect['recall'] == 1.0
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32),
                         np.zeros(0, np.int64))
    none = figures([match(nothing, boxes, classes)], _NAMES, 0.0)
    assert none['map50'] == 0.0 and none['precision'] is None


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 10))
def test_a_wrong_box_at_the_end_never_raises_ap_and_one_at_the_front_lowers_it(
        right: list[bool], missed: int):
    correct = np.array(right)[:, None]
    instances = sum(right) + missed
    before = average_precision(correct, instances)[0]
    last = average_precision(np.vstack([correct, [[False]]]), instances)[0]
    first = average_precision(np.vstack([[[False]], correct]), instances)[0]
    assert 0 <= first <= before <= 1 + 1e-12 and last <= before + 1e-12
    if any(right):
        assert first < before


@given(st.integers(0, 10_000))
def test_a_labelled_box_is_found_once_at_most(seed: int):
    rng = np.random.default_rng(seed)
    found, boxes, classes = _picture(rng)
    matched = match(found, boxes, classes)
    for number in range(2):
        assert (matched.correct[matched.classes == number].sum(axis=0)
                <= (classes == number).sum()).all()


@given(st.integers(0, 10_000))
def test_overlaps_are_symmetric_and_one_with_itself(seed: int):
    rng = np.random.default_rng(seed)
    a, b = _boxes(rng, 4), _boxes(rng, 3)
    shares = overlaps(a, b)
    assert shares == pytest.approx(overlaps(b, a).T) and (shares >= 0).all()
    assert np.diag(overlaps(a, a)) == pytest.approx(np.ones(4))
    assert overlaps(np.zeros((1, 4)), np.zeros((1, 4)))[0, 0] == 0


def test_drawn_means_surround_the_mean_and_weights_are_repetitions():
    matched = _many(3, 30)
    draws = map50_draws(matched, 3)
    value = figures(matched, _NAMES, 0.0)['map50']
    low, high = np.quantile(draws, (0.025, 0.975))
    assert low < value < high and np.array_equal(draws, map50_draws(matched, 3))
    correct = np.array([[True], [False], [True]])
    repeated = average_precision(np.repeat(correct, [2, 1, 3], axis=0), 6)
    weighted = average_precision(correct, 6, np.array([2.0, 1.0, 3.0]))
    assert weighted == pytest.approx(repeated, abs=0.01)
