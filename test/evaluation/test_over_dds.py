"""Episodes through the real graph."""

from __future__ import annotations

import pytest

from vla_nav.evaluation.closed_loop import Settings
from vla_nav.evaluation.conditions import Condition
from vla_nav.evaluation.over_dds import run_over_dds


@pytest.mark.parametrize('policy, condition', [
    ('expert', Condition(text='swapped-goal')), ('expert', Condition(image='blind')),
    ('straight', Condition())])
def test_what_the_graph_cannot_judge_is_refused(policy, condition):
    with pytest.raises(ValueError, match='--over-dds drives'):
        run_over_dds(Settings(policy, 1, condition=condition))


@pytest.mark.ros
def test_the_expert_is_judged_over_dds():
    noted = []
    records = run_over_dds(Settings('expert', 1, condition=Condition(language='en')),
                           note=noted.append)
    assert noted == records
    assert records[0].cell == '1box_hori_left_close' and records[0].seed == 1_000_000
    assert records[0].success and records[0].spl > 0.8 and records[0].steps > 50
