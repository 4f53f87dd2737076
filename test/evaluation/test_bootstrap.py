"""Intervals of errors over episodes."""

from __future__ import annotations

import numpy as np
import pytest

from vla_nav.evaluation import bootstrap
from vla_nav.evaluation.bootstrap import mean_error, paired_difference


def test_it_holds_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    counts = np.full(40, 50)
    held = 0
    for trial in range(200):
        # Errors of one episode are alike: pictures as samples would give far too narrow bounds.
        sums = counts * rng.gamma(4, 0.25, 40)
        interval = mean_error(sums, counts, seed=trial)
        held += interval.low <= 1.0 <= interval.high
    assert 0.88 <= held / 200 <= 0.99


def test_long_episodes_weigh_more():
    assert mean_error([1.0, 30.0], [10, 90]).value == pytest.approx(0.31)


def test_pairs_are_drawn_together():
    rng = np.random.default_rng(1)
    hard = rng.uniform(1, 20, 30)
    interval = paired_difference(hard, hard + 0.1, np.ones(30))
    assert interval.value == pytest.approx(-0.1) and interval.high < -0.09


@pytest.mark.parametrize('block', [1, 7 * 300, 10 ** 9])
def test_draws_in_blocks_are_those_of_one_draw(block, monkeypatch):
    rng = np.random.default_rng(3)
    whole = rng.multinomial(7, np.full(7, 1 / 7), 2000)
    monkeypatch.setattr(bootstrap, '_BLOCK', block)
    blocks = list(bootstrap._draws(7, 3))
    assert max(len(one) for one in blocks) == min(max(1, block // 7), 2000)
    assert np.array_equal(np.concatenate(blocks), whole)


def test_one_episode_has_no_interval():
    assert mean_error([2.0], [4]) == (0.5, None, None)
