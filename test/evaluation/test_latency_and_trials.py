import numpy as np
import pytest
from bundles import write_bundle

from vla_nav.contracts import Frame, PolicyError
from vla_nav.evaluation.latency import latencies, latency_summary
from vla_nav.evaluation.safety_trials import ALLOWANCE_S, Trial, trial_summary
from vla_nav.evaluation.trial_bundle import write_trial_bundle
from vla_nav.runtimes import load_policy

MS = 1_000_000
A, B = (0.1, 0.0, 0.0), (0.2, 0.0, 0.0)


def test_a_picture_is_timed_to_the_first_command_with_its_velocity():
    sent = [(0, A), (12 * MS, A), (15 * MS, B), (20 * MS, B)]
    assert latencies({7: 10 * MS}, {7: B}, sent) == ([5 * MS], 0)


def test_a_velocity_that_was_sent_before_tells_nothing():
    sent = [(0, A), (12 * MS, A)]
    assert latencies({7: 10 * MS}, {7: A}, sent) == ([], 1)


def test_pictures_without_a_proposal_or_a_command_are_counted():
    assert latencies({7: 10 * MS, 8: 30 * MS}, {8: B}, [(0, A)]) == ([], 2)


def test_the_summary_judges_the_99th_percentile():
    assert latency_summary([5 * MS] * 100, 0, {})['passed']
    assert not latency_summary([5 * MS] * 90 + [25 * MS] * 10, 0, {})['passed']
    assert not latency_summary([], 10, {})['passed']


def test_a_trial_passes_within_the_limit_and_if_the_robot_stays():
    good = Trial('camera killed', 0.2, 0.2 + ALLOWANCE_S, True)
    assert trial_summary([good], {})['passed']
    for bad in (Trial('camera killed', 0.2, 0.26, True), Trial('camera killed', 0.2, 0.1, False)):
        summary = trial_summary([good, bad], {})
        assert not summary['passed'] and summary['faults'][0]['trials'] == 2


def test_the_slowest_trial_tells_whether_the_guard_was_silent():
    trials = [Trial('policy killed', 0.5, delay, True, silence)
              for delay, silence in ((0.4, 0.3), (0.7, 0.2), (0.5, 0.1))]
    row = trial_summary(trials, {})['faults'][0]
    assert row['max_s'] == 0.7 and row['silence_in_slowest_s'] == 0.2


def test_the_stand_in_drives_and_gives_nan_on_black(tmp_path):
    like = write_bundle(tmp_path / 'like')
    policy = load_policy(write_trial_bundle(like, tmp_path / 'trial'))
    policy.set_instruction('pass left, stop at the red ball')
    grey = np.full((240, 320, 3), 90, np.uint8)
    assert policy.act(Frame(grey, 1)).velocities.min() > 0.1
    with pytest.raises(PolicyError, match='non-finite'):
        policy.act(Frame(np.zeros_like(grey), 2))
