"""Figures of a monitor that was left open, from made-up counts."""

from __future__ import annotations

import pytest

from vla_nav.evaluation.bench_monitor import command_rate, summary


def every(ms, seconds=2):
    return [round(k * ms * 1e6) for k in range(round(seconds * 1e3 / ms))]


def found(memory, gap_ms=20.0):
    return summary(memory, {'cmd_vel': {'before': every(20), 'open': every(gap_ms),
                                        'after': every(20)}}, {'policy': 'p'})


def test_a_robot_that_never_drove_is_named():
    with pytest.raises(RuntimeError, match='cmd_vel open: 1 commands came'):
        command_rate([1], 'cmd_vel open')


def test_memory_that_fills_and_then_stays_is_bounded():
    result = found([50, 120, 190, 260, 300, 299, 301, 300])
    assert result['passed'] and result['peak_mb'] == 301 and result['growth_mb'] == 1
    leaking = found([50 + 10 * k for k in range(40)])
    assert leaking['growth_mb'] == 100 and not leaking['passed']


def test_commands_that_come_less_often_are_told():
    result = found([100] * 8, gap_ms=25.0)
    assert result['rate_kept']['cmd_vel'] == pytest.approx(0.8) and not result['passed']
    open_ = result['rates']['cmd_vel']['open']
    assert open_['hz'] == pytest.approx(40) and open_['longest_gap_ms'] == pytest.approx(25)
