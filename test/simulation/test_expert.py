"""The expert and the judge, without pictures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from vla_nav.simulation.gl import ensure_gl
from vla_nav.simulation.layout import ROBOT_RADIUS_M
from vla_nav.simulation.planner import Map
from vla_nav.simulation.scenario import (
    ALL_CELLS,
    FIRST_EVALUATION_SEED,
    retarget,
    sample,
    with_sides,
)

ensure_gl()

from vla_nav.simulation.expert import Expert  # noqa: E402  (MuJoCo reads MUJOCO_GL at import)
from vla_nav.simulation.judge import Judge, Outcome  # noqa: E402
from vla_nav.simulation.world import World  # noqa: E402


@pytest.fixture(scope='module')
def world() -> World:
    """Return a world that draws nothing."""
    return World(render=False)


def drive(world: World, scenario, driver=None) -> Outcome:
    """Drive one episode with the expert, judged by ``scenario``."""
    world.load(scenario)
    judge, expert = Judge(world), Expert(world, driver or scenario)
    while not judge.done:
        world.advance(expert.act(), 0.1)
        judge.update(world)
    return judge.outcome()


@pytest.mark.parametrize('cell', ALL_CELLS)
def test_the_expert_solves_every_cell(world: World, cell: str) -> None:
    outcome = drive(world, sample(FIRST_EVALUATION_SEED + 17, cell))
    assert outcome.success, outcome
    assert outcome.spl > 0.8


def test_the_judge_tells_the_wrong_side_from_the_wrong_object(world: World) -> None:
    scene = sample(FIRST_EVALUATION_SEED, '1box_hori_left_medium')
    other_side = with_sides(scene, 'right')
    assert drive(world, scene, other_side).reason == 'wrong side'
    other = next(i for i in range(len(scene.objects)) if i != scene.goal_index)
    outcome = drive(world, scene, retarget(scene, other))
    assert outcome.reason == 'wrong object' and outcome.reached == other
    assert outcome.side_correct and not outcome.success


def test_standing_still_is_no_success(world: World) -> None:
    scene = sample(FIRST_EVALUATION_SEED)
    world.load(scene)
    judge = Judge(world)
    while not judge.done:
        world.advance((0, 0, 0), 0.1)
        judge.update(world)
    assert judge.reason == 'stuck' and not judge.outcome().oracle_success


def test_a_chunk_begins_with_the_action_for_now(world: World) -> None:
    world.load(sample(11))
    expert = Expert(world)
    for _ in range(20):
        np.testing.assert_allclose(expert.chunk(4)[0], expert.act(), atol=1e-6)
        world.advance(expert.act(), 0.1)


def test_the_expert_turns_to_look_for_a_goal_out_of_sight(world: World) -> None:
    scene = sample(3, 'hidden_away_left')
    world.load(scene)
    vx, vy, wz = Expert(world).act()
    assert (vx, vy) == (0.0, 0.0) and wz > 0


def test_planned_ways_keep_clear_and_pass_on_the_named_side() -> None:
    for seed in range(24):
        scene = sample(seed)
        where = Map(scene)
        points = where.ways_to(where.around(scene.goal.x, scene.goal.y, 0.4)).trace(
            *scene.start[:2], math.inf)
        clearances = [where.clearance[where.cell(x, y)] for x, y in points]
        assert min(clearances) > ROBOT_RADIUS_M - 0.03
        gate = scene.gates[0]
        at_gate = min(points, key=lambda p: abs(p[0] - gate.x))
        assert (at_gate[1] > gate.y) == (gate.side == 'left')


def test_a_person_who_never_walks_does_not_hold_the_robot_up(world: World) -> None:
    scene = sample(FIRST_EVALUATION_SEED, 'person_left')
    assert scene.person is not None
    still = replace(scene, person=replace(scene.person, trigger_x=math.inf))
    assert drive(world, still).success
