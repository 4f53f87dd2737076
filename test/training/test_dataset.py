"""Batches: the colours of picture and instruction change together."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from vla_nav.training.dataset import hue_rotation


@pytest.mark.parametrize('turn', [-0.5, 0.2, 1.0])
def test_greys_stay_and_brightness_commutes(turn: float) -> None:
    matrix = hue_rotation(np.array([turn]))[0]
    np.testing.assert_allclose(matrix @ [0.4, 0.4, 0.4], 0.4)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)


def test_a_third_of_a_turn_makes_green_of_red() -> None:
    turned = hue_rotation(np.array([2 * np.pi / 3]))[0] @ [0.85, 0.1, 0.1]
    np.testing.assert_allclose(turned, [0.1, 0.85, 0.1], atol=1e-12)
    assert colorsys.rgb_to_hsv(*turned)[0] == pytest.approx(1 / 3)
