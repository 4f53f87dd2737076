"""The figures of a stream of commands, from made-up times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundles import write_bundle

from vla_nav.contracts import Frame
from vla_nav.evaluation import trial_bundle
from vla_nav.evaluation.command_stream import stream_summary
from vla_nav.runtimes import load_policy


def times(*gaps_ms: float) -> list[int]:
    return np.cumsum([0, *(round(gap * 1e6) for gap in gaps_ms)]).tolist()


def test_a_steady_stream_passes_and_the_models_time_is_that_between_two_answers() -> None:
    steady = {topic: times(*[20] * 200) for topic in ('cmd_vel', 'cmd_vel_policy')}
    found = stream_summary(steady, times(*[410] * 9), 2, {'policy': 'p'})
    assert found['passed'] and (found['thoughts'], found['standing']) == (10, 2)
    assert not stream_summary(steady, times(*[410] * 9), 3, {})['passed']
    assert found['thinking_ms']['p50'] == pytest.approx(410)
    assert found['commands']['cmd_vel']['hz'] == pytest.approx(50)


@pytest.mark.parametrize('gaps', [[51] * 100, [20] * 90 + [400] * 10])
def test_commands_that_are_rare_or_wait_for_the_model_do_not(gaps: list[float]) -> None:
    steady = times(*[20] * 100)
    assert not stream_summary({'cmd_vel_policy': times(*gaps), 'cmd_vel': steady},
                              times(400, 400), 0, {})['passed']


def test_the_stand_in_computes_as_long_as_it_is_told(tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    like, asked = write_bundle(tmp_path / 'like'), []

    def turns(seconds: float) -> int:
        asked.append(seconds)
        return 50
    monkeypatch.setattr(trial_bundle, '_turns', turns)
    policy = load_policy(trial_bundle.write_trial_bundle(like, tmp_path / 'trial', 0.4))
    policy.set_instruction('pass left')
    assert asked == [0.4]
    chunk = policy.act(Frame(np.full((96, 128, 3), 90, np.uint8), 1))
    assert chunk.velocities.min() > 0.1 and chunk.arrived == 0


def test_a_longer_thought_takes_more_turns() -> None:
    assert trial_bundle._turns(0.0) == 0 < trial_bundle._turns(0.01) < trial_bundle._turns(10.0)
