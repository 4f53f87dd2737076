"""Straight at a box, with the simulator's own boxes in the detector's place."""

import json
import math

import pytest

from vla_nav.evaluation import closed_loop, folder
from vla_nav.evaluation.guard_trials import (
    Approach,
    TrialSettings,
    drive_one,
    gap,
    run,
    scene,
    summarise,
    worst,
)
from vla_nav.evaluation.guard_trials_page import rows, write
from vla_nav.evaluation.watching import TRUTH
from vla_nav.simulation.layout import ROBOT_RADIUS_M, Block

SEED = 1_000_000


def approach(**changes):
    return Approach(**{**dict(index=0, seed=SEED, speed=0.3, start_m=1.0, offset_m=0.0, half_x=0.2,
                              half_y=0.2, yaw=0.0, collision=False, stopped=True, gap_m=0.1,
                              reason='obstacle'), **changes})


@pytest.mark.parametrize('aim', ['centre', 'edge'])
def test_every_scene_has_a_box_that_the_robot_would_hit(aim):
    for seed in range(SEED, SEED + 20):
        scenario, speed = scene(seed, aim)
        assert scene(seed, aim) == (scenario, speed) and 0.15 <= speed <= 0.6
        block, = scenario.blocks
        gaps = [gap(block, (0.01 * step, 0.0, 0.0)) for step in range(600)]
        # The middle of the robot meets the box, or passes it too near for the robot's edge.
        assert gaps[0] > 0.5 and (min(gaps) <= -ROBOT_RADIUS_M) == (aim == 'centre')
        assert min(gaps) < 0.0


def test_the_gap_is_that_between_two_edges():
    block = Block(1.0, 0.0, 0.2, 0.4, 0.5)
    assert gap(block, (0.0, 0.0, 0.0)) == pytest.approx(0.8 - ROBOT_RADIUS_M)
    assert gap(block, (1.0, 0.0, 0.0)) == pytest.approx(-0.2 - ROBOT_RADIUS_M)
    turned = Block(1.0, 0.0, 0.2, 0.4, 0.5, yaw=math.pi / 2)
    assert gap(turned, (0.0, 0.0, 0.0)) == pytest.approx(0.6 - ROBOT_RADIUS_M)


def test_the_robot_stops_before_the_box_and_the_page_says_so(tmp_path):
    settings = TrialSettings(TRUTH, 2, SEED, dropped=0.3)
    done = run(settings)
    assert [one.index for one in done] == [0, 1]
    for one in done:
        assert one.stopped and not one.collision and one.gap_m > 0.0 and one.reason == 'obstacle'
    assert drive_one(settings, 1) == done[1]
    summary = write(tmp_path, settings, done, pictures=1)
    assert json.loads((tmp_path / 'summary.json').read_text()) == summary
    assert summary['collisions'] == 0 and summary['settings']['dropped'] == 0.3
    page = (tmp_path / 'index.html').read_text()
    assert '0 collisions in 2 episodes' in page and page.count('data:image/png') == 2


def test_a_collision_is_counted_and_comes_first():
    done = [approach(index=0, gap_m=0.05), approach(index=1, stopped=False, gap_m=0.4),
            approach(index=2, collision=True, stopped=False, gap_m=-0.01)]
    assert [one.index for one in worst(done, 3)] == [2, 1, 0]
    summary = summarise(TrialSettings('x', 3), done)
    assert summary['collisions'] == 1 and summary['stopped'] == 1
    assert 'least 0.05' in dict(rows(summary))['left, m']
    none = summarise(TrialSettings('x', 1), [approach(collision=True, stopped=False)])
    assert none['least_gap_m'] is None


def test_in_the_closed_loop_the_detector_is_named_in_the_results_and_only_then(monkeypatch):
    from vla_nav.evaluation import watching
    plain = closed_loop.Settings('expert', 1)
    with_truth = closed_loop.Settings('expert', 1, detector=TRUTH)
    assert 'detector' not in plain.to_dict() and with_truth.to_dict()['detector'] == TRUTH
    looked = []
    obstacles = watching.Watch.obstacles
    monkeypatch.setattr(watching.Watch, 'obstacles', lambda self, image, now_ns: looked.append(
        now_ns) or obstacles(self, image, now_ns))
    records = closed_loop.run(with_truth)
    assert len(looked) == records[0].steps and not records[0].collision
    summary = folder.summary_of(with_truth, records)
    assert summary['detector_sha256'] == ''
    assert 'detector_sha256' not in folder.summary_of(plain, records)
