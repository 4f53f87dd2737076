"""One crop and resize: right size, centred, identity where nothing is to be done."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_nav.observations.preprocess import to_policy_image


@settings(max_examples=50)
@given(rows=st.integers(1, 90), columns=st.integers(1, 90), height=st.integers(1, 40),
       width=st.integers(1, 40), value=st.integers(0, 255))
def test_any_size_in_the_asked_size_out_and_flat_stays_flat(rows, columns, height, width, value):
    image = np.full((rows, columns, 3), value, np.uint8)
    out = to_policy_image(image, height, width)
    assert out.shape == (height, width, 3) and out.dtype == np.uint8
    assert (out == value).all()


def test_same_size_is_the_identity():
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    np.testing.assert_array_equal(to_policy_image(image, 96, 128), image)


def test_exact_halving_averages_blocks():
    image = np.random.default_rng(1).integers(0, 256, (192, 256, 3), np.uint8)
    blocks = image.reshape(96, 2, 128, 2, 3).mean(axis=(1, 3))
    assert np.abs(to_policy_image(image, 96, 128) - blocks).max() <= 0.5


@pytest.mark.parametrize('shape, target', [((96, 200), (96, 128)), ((200, 128), (96, 128))])
def test_crop_keeps_the_centre(shape, target):
    image = np.zeros((*shape, 3), np.uint8)
    top, left = (shape[0] - target[0]) // 2, (shape[1] - target[1]) // 2
    image[top:top + target[0], left:left + target[1]] = 255
    assert (to_policy_image(image, *target) == 255).all()


@pytest.mark.parametrize('image', [
    np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8),
    np.zeros((0, 4, 3), np.uint8)])
def test_anything_else_is_refused(image):
    with pytest.raises(ValueError, match='uint8'):
        to_policy_image(image, 4, 4)
