"""Which candidates the search trains, and which it keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.detection.npu.problems import NpuError
from vla_nav.detection.npu.report import TargetReport, Tool
from vla_nav.detection.npu.search import (
    MOST,
    Candidate,
    candidates,
    choose,
    cost,
    front,
    with_head,
)

_NUMBERS = st.floats(0.1, 100)
_POINTS = st.lists(st.tuples(st.integers(0, 9).map(float), st.integers(0, 9).map(float)),
                   min_size=1, max_size=30)


def _report(milliseconds, macs=100, on_npu=None) -> TargetReport:
    return TargetReport(
        path='tosa', operators=10, operators_on_npu=10, macs=macs,
        macs_on_npu=macs if on_npu is None else on_npu, estimated_ms=milliseconds, image_size=320,
        assumptions='', tool=Tool(name='none', version='0'))


def test_the_candidates_are_spread_evenly_over_the_orders_of_their_cost():
    reports = [_report(2 ** (i / 4)) for i in range(21)]
    assert choose(reports) == [0, 4, 8, 12, 16, 20]


def test_of_two_that_cost_the_same_the_one_with_more_multiplications_is_trained():
    reports = [_report(1), *(_report(float(i + 2)) for i in range(6)), _report(1, macs=200)]
    assert choose(reports)[0] == 7


def test_what_is_left_to_the_cpu_is_trained_only_where_nothing_is_whole():
    reports = [_report(1, macs=100, on_npu=90), _report(2), _report(3)]
    assert choose(reports) == [1, 2]
    assert choose(reports[:1]) == [0]


@given(st.lists(_NUMBERS, min_size=1, max_size=40))
def test_at_most_six_are_chosen_each_once_with_both_ends(costs):
    reports = [_report(value) for value in costs]
    chosen = choose(reports)
    assert len(chosen) == len(set(chosen)) == min(len(costs), MOST)
    found = [costs[i] for i in chosen]
    assert found == sorted(found)
    assert found[0] == min(costs)
    assert found[-1] == max(costs)


def test_without_an_estimate_multiplications_are_the_cost():
    assert cost(_report(None, macs=3_000_000_000)) == 3.0
    assert cost(_report(7.5, macs=3_000_000_000)) == 7.5


def _beats(one, other):
    return one != other and one[0] <= other[0] and one[1] >= other[1]


@given(_POINTS)
def test_the_front_is_what_nothing_beats(points):
    expected = {i for i, one in enumerate(points) if not any(_beats(p, one) for p in points)}
    assert set(front(points)) == expected


@given(_POINTS)
def test_along_the_front_worth_rises_with_cost(points):
    kept = [points[i] for i in front(points)]
    assert kept == sorted(kept)
    assert [worth for _, worth in kept] == sorted(worth for _, worth in kept)


def test_all_combinations_are_looked_at_once():
    found = candidates(['L3', 'L2', 'L3'], ['relu'], [0.25, 0.125], ['bins'])
    assert found == [Candidate('L2', 'relu', 0.125, 'bins'), Candidate('L2', 'relu', 0.25, 'bins'),
                     Candidate('L3', 'relu', 0.125, 'bins'), Candidate('L3', 'relu', 0.25, 'bins')]
    assert found[0].name == 'L2_relu_0.125_bins'


def test_heads_change_the_last_layer_alone():
    level = {'backbone': [1], 'head': [[-1, 1, 'C2f', [256]],
                                       [[16, 19, 22], 1, 'Detect', ['nc']]]}
    assert with_head(level, 'direct') == {**level, 'reg_max': 1}
    assert with_head({**level, 'reg_max': 1}, 'bins') == {**level, 'reg_max': 16}
    two = with_head(level, 'two')
    assert two['head'] == [[-1, 1, 'C2f', [256]], [[19, 22], 1, 'Detect', ['nc']]]
    assert level['head'][-1][0] == [16, 19, 22]
    with pytest.raises(NpuError, match='bins, direct, two'):
        with_head(level, 'three')
