"""Boxes that cross a topic as text."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vla_nav.detection.contracts import Detections
from vla_nav.monitoring.boxes import Box, boxes_in, boxes_text, labelled

FOUND = Detections(np.float32([[10, 20.5, 30, 40], [0, 0, 1279.5, 719]]), np.float32([0.9, 0.25]),
                   np.int64([1, 0]))


def test_what_was_found_comes_out_as_it_went_in():
    text = boxes_text(FOUND, ('상자', 'cup'), 7)
    assert json.loads(text)['stamp_ns'] == 7
    assert boxes_in(text) == labelled(FOUND, ('상자', 'cup')) == [
        Box(10, 20.5, 30, 40, 'cup 0.90'), Box(0, 0, 1279.5, 719, '상자 0.25')]


@pytest.mark.parametrize('text', [
    'no JSON', '[]', '7', '{}', '{"boxes": [{"class": "cup", "score": 0.5}]}',
    '{"boxes": [{"class": "cup", "score": 0.5, "box": [1, 2, 3]}]}',
    '{"boxes": [{"class": "cup", "score": "high", "box": [1, 2, 3, 4]}]}'])
def test_other_text_is_refused_and_the_topic_named(text):
    with pytest.raises(ValueError, match='detector/boxes'):
        boxes_in(text)
