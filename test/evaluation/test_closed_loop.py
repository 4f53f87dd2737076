"""Whole episodes in the real simulator, without pictures, so that no GL is needed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vla_nav.contracts import ActionChunk, Frame, NotUnderstood, PolicyError
from vla_nav.evaluation.closed_loop import Settings, run
from vla_nav.evaluation.conditions import Condition
from vla_nav.evaluation.drivers import ExpertPolicy, ImageBlindPolicy
from vla_nav.evaluation.folder import write
from vla_nav.evaluation.records import read_records, summarise, write_records
from vla_nav.evaluation.rollout import drive
from vla_nav.simulation.judge import Judge
from vla_nav.simulation.scenario import PLAIN_CELLS, sample
from vla_nav.simulation.world import World

SEED = 1_000_000


class Trouble(ExpertPolicy):
    """The expert until 2 s have passed, then a fault."""

    fault: Exception | float = 0.0

    def act(self, frame):
        chunk = super().act(frame)
        if frame.stamp_ns < 3_000_000_000:
            return chunk
        if isinstance(self.fault, Exception):
            raise self.fault
        return ActionChunk(np.full_like(chunk.velocities, self.fault), chunk.step_ns,
                           chunk.stamp_ns)


@pytest.fixture
def world():
    world = World(render=False)
    world.load(sample(SEED, PLAIN_CELLS[0]))
    return world


def test_the_expert_succeeds_and_workers_do_not_change_the_result(tmp_path):
    settings = Settings('expert', 6, SEED, Condition(families=('plain', 'person')))
    alone, together = run(settings), run(settings, workers=2)
    assert alone == together
    summary = summarise(alone)
    assert summary['success_rate'] == 1.0 and summary['collision_rate'] == 0.0
    assert summary['spl'] > 0.9 and set(summary['languages']) == {'en', 'ko'}
    path = tmp_path / 'episodes.jsonl'
    write_records(path, alone)
    assert read_records(path) == alone


def test_a_straight_driver_is_judged_a_failure():
    summary = summarise(run(Settings('straight', 6, SEED)))
    assert summary['success_rate'] <= 0.2 and summary['collision_rate'] > 0.5
    assert sum(summary['failures'].values()) == len(summary['failed_seeds'])


@pytest.mark.parametrize('fault, told', [
    (PolicyError('the network is gone'), 'the network is gone'), (float('nan'), 'NaN')])
def test_a_fault_stops_the_robot_for_good_and_is_named(world, fault, told):
    policy = Trouble(world)
    policy.fault = fault
    trace = drive(world, Judge(world), policy, see=False)
    assert told in trace.trouble
    assert any(map(any, trace.commands[:20])) and not any(map(any, trace.commands[20:]))


def test_what_is_not_understood_means_standstill(world):
    class Deaf(ExpertPolicy):
        def set_instruction(self, text):
            raise NotUnderstood('no such words')
    trace = drive(world, Judge(world), Deaf(world), 'abracadabra', see=False)
    assert trace.trouble == 'not_understood'
    assert not any(map(any, trace.commands))


def test_commands_keep_to_the_guards_limits(world):
    trace = drive(world, Judge(world), ExpertPolicy(world), see=False)
    change = np.abs(np.diff(trace.commands, axis=0))
    assert (change <= np.array([0.2, 0.2, 0.6]) + 1e-6).all()
    assert len(trace.poses) == len(trace.velocities) == len(trace.commands) + 1


def test_a_blind_policy_sees_the_same_grey_whatever_there_is(world):
    seen = []

    class Looking(ExpertPolicy):
        def act(self, frame):
            seen.append(frame)
            return super().act(frame)
    policy = ImageBlindPolicy(Looking(world))
    policy.set_instruction('')
    policy.reset()
    for value in (0, 255):
        policy.act(Frame(np.full((4, 6, 3), value, np.uint8), 10))
    assert np.array_equal(seen[0].image, seen[1].image) and seen[0].image.std() == 0
    assert seen[0].image.shape == (4, 6, 3) and seen[0].stamp_ns == 10


def test_a_folder_is_complete_and_its_page_stands_alone(tmp_path):
    settings = Settings('constant', 3, SEED)
    summary = write(tmp_path, settings, run(settings), pictures=0)
    assert json.loads((tmp_path / 'summary.json').read_text()) == json.loads(json.dumps(summary))
    assert len(read_records(tmp_path / 'episodes.jsonl')) == 3
    page = (tmp_path / 'index.html').read_text()
    assert 'collision' in page and 'src="data:image/png' in page and 'http' not in page


def test_damaged_records_name_their_line(tmp_path):
    path = tmp_path / 'episodes.jsonl'
    path.write_text('{"seed": 1}\n')
    with pytest.raises(ValueError, match='line 1'):
        read_records(path)
