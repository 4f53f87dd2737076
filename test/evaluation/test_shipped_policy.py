"""The shipped policy drives: a smoke, far below what docs/results.md measures."""

from __future__ import annotations

import pytest

from vla_nav.simulation.gl import ensure_gl

ensure_gl()  # before anything imports mujoco

from vla_nav.evaluation.closed_loop import Settings, run  # noqa: E402
from vla_nav.evaluation.conditions import Condition  # noqa: E402
from vla_nav.evaluation.records import summarise  # noqa: E402

BUNDLE = 'models/compact'
CELLS = ('1box_hori_left_close', '1box_vert_right_medium', '2box_hori_right_close',
         '2box_vert_left_far')


@pytest.fixture(scope='module')
def true_text():
    return run(Settings(BUNDLE, 12, 3_000_000, Condition(cells=CELLS)), workers=2)


def test_it_reaches_the_named_object_on_the_named_side(true_text):
    summary = summarise(true_text)
    assert summary['success_rate'] >= 0.7, summary['failures']
    assert summary['side_accuracy'] >= 0.7


def test_it_follows_the_text_and_not_a_habit():
    condition = Condition(cells=CELLS, text='swapped-side')
    swapped = run(Settings(BUNDLE, 12, 3_000_000, condition), workers=2)
    # The same scenes: a robot that ignores the words cannot be right in both.
    assert summarise(swapped)['side_accuracy'] >= 0.7


def test_it_does_not_drive_blind():
    condition = Condition(cells=CELLS, image='blind')
    assert summarise(run(Settings(BUNDLE, 4, 3_000_000, condition)))['success_rate'] <= 0.25
