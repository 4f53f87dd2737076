"""The world: deterministic, obedient, solid, and seen from where the expert thinks."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from vla_nav.simulation.environment import ENV_ID, register
from vla_nav.simulation.expert import Expert
from vla_nav.simulation.gl import ensure_gl
from vla_nav.simulation.scenario import sample

ensure_gl()

from vla_nav.simulation.world import World  # noqa: E402  (MuJoCo reads MUJOCO_GL at import)


@pytest.fixture(scope='module')
def world() -> World:
    """Return one world for the module: its renderer takes long to make."""
    made = World()
    yield made
    made.close()


def test_the_same_commands_give_the_same_numbers_and_pictures(world: World) -> None:
    runs = []
    for _ in range(2):
        world.load(sample(4))
        for _ in range(5):
            world.advance((0.3, 0.1, 0.2), 0.1)
        runs.append((world.pose, world.render().copy()))
        world.load(sample(9))  # leave something behind
        world.render()
    assert runs[0][0] == runs[1][0]
    assert np.array_equal(runs[0][1], runs[1][1])


def test_velocities_are_in_the_base_frame(world: World) -> None:
    world.load(sample(4))
    start = world.pose
    for _ in range(10):
        world.advance((0.0, 0.3, 0.0), 0.1)
    x, y, yaw = world.pose
    moved = np.array((x - start[0], y - start[1]))
    left = np.array((-np.sin(start[2]), np.cos(start[2])))
    assert moved @ left > 0.2 and yaw == pytest.approx(start[2], abs=1e-3)
    assert world.velocity == pytest.approx((0.0, 0.3, 0.0), abs=0.02)


def test_driving_into_the_box_is_a_collision_and_stops_the_robot(world: World) -> None:
    scene = sample(0, '1box_hori_left_close')
    world.load(scene)
    for _ in range(60):
        world.advance((0.5, 0.0, 0.0), 0.1)
    assert world.collided
    assert world.pose[0] < max(block.x for block in scene.blocks)


def test_the_goal_shows_where_the_expert_projects_it(world: World) -> None:
    tried = 0
    for seed in range(60):
        scene = sample(seed)
        world.load(scene)
        expert = Expert(world)
        if not expert.goal_visible():
            continue
        u, v = expert.project(scene.goal.x, scene.goal.y, 0.1, world.pose)
        with_goal = world.render().astype(int)
        body = world.model.body(f'object{scene.goal_index}_{scene.goal.shape}')
        world.data.mocap_pos[world.model.body_mocapid[body.id]] = (0, 0, -9)
        world.advance((0, 0, 0), 0.01)
        changed = np.abs(world.render().astype(int) - with_goal).sum(2) > 40
        rows, columns = np.nonzero(changed)
        assert len(rows), f'seed {seed}: the goal is said to be visible, and is not'
        assert columns.mean() / world.width == pytest.approx(u, abs=0.04)
        assert rows.mean() / world.height == pytest.approx(v, abs=0.05)
        tried += 1
    assert tried > 20


def test_gymnasium_environment_by_id() -> None:
    register()
    env = gymnasium.make(ENV_ID)
    observation, info = env.reset(seed=7, options={'language': 'ko'})
    assert env.observation_space.contains(observation)
    again, _ = env.reset(seed=7, options={'language': 'ko'})
    assert np.array_equal(observation['image'], again['image'])
    assert observation['instruction'] == again['instruction']
    _, reward, terminated, truncated, _ = env.step(np.zeros(3, np.float32))
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info['scenario'].seed == 7
    env.close()


def test_a_thing_of_another_size_is_that_much_larger_and_the_next_scene_is_not() -> None:
    world = World(render=False)
    plain = next(s for s in (sample(i) for i in range(50)) if s.goal.shape == 'cube')
    large = replace(plain, objects=tuple(replace(o, size=1.2) for o in plain.objects))
    geom = world.model.body(f'object{plain.goal_index}_cube').geomadr[0]
    for scenario, half in ((plain, 0.1), (large, 0.12), (plain, 0.1)):
        world.load(scenario)
        np.testing.assert_allclose(world.model.geom_size[geom], half)
        assert world.model.geom_pos[geom][2] == pytest.approx(half)
