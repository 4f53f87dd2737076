"""Each disturbance does what it says, the same way each time, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vla_nav.contracts import ActionChunk, PolicySpec
from vla_nav.control.limits import Velocity
from vla_nav.evaluation.disturbances import Disturbances
from vla_nav.evaluation.rollout import START_NS, STEP_NS, Border, Robot
from vla_nav.simulation.scenario import PLAIN_CELLS, sample
from vla_nav.simulation.world import World
from vla_nav.spaces import OMNI_3D

SEED = 3_000_000
AHEAD = Velocity(0.5, 0.0, 0.0)
GREY = np.full((48, 64, 3), 100, np.uint8)
GREY[20:24, 30:34] = 200


def border(seed=SEED, key='suite 1 row', **settings):
    return Disturbances.model_validate({'key': key, **settings}).border(seed)


def seen(border, image=GREY, steps=20):
    """Return what comes in at each step, None where nothing does."""
    return [border.see(image, START_NS + step * STEP_NS) for step in range(steps)]


@pytest.fixture(scope='module')
def world():
    return World(render=False)


def loaded(world):
    world.load(sample(SEED, PLAIN_CELLS[0]))
    return world


def test_without_disturbances_everything_passes_as_it_is(world):
    nothing = Disturbances().border(SEED)
    assert type(nothing) is Border
    frame = nothing.see(GREY, 7)
    assert frame.image is GREY and frame.stamp_ns == 7
    assert nothing.move(world, AHEAD, 7) == AHEAD


@pytest.mark.parametrize('settings', [
    {'noise': 20}, {'blur': 2}, {'exposure': 1.7}, {'dropped': 0.3}, {'late_ms': 200},
    {'noise': 5, 'blur': 1, 'exposure': 0.5, 'dropped': 0.2, 'late_ms': 100}])
def test_the_same_episode_is_disturbed_the_same_way(settings):
    for a, b in zip(seen(border(**settings)), seen(border(**settings)), strict=True):
        assert (a is None) == (b is None)
        assert a is None or (a.stamp_ns == b.stamp_ns and np.array_equal(a.image, b.image))


@pytest.mark.parametrize('other', [{'seed': SEED + 1}, {'key': 'suite 1 other row'},
                                   {'key': 'suite 2 row'}])
def test_another_seed_row_or_version_is_disturbed_otherwise(other):
    one, two = seen(border(noise=20), steps=1)[0], seen(border(noise=20, **other), steps=1)[0]
    assert not np.array_equal(one.image, two.image)


def test_noise_has_its_strength_and_differs_from_picture_to_picture():
    first, second = (frame.image.astype(float) for frame in seen(border(noise=20), steps=2))
    assert (first - GREY).std() == pytest.approx(20, rel=0.05)
    assert abs((first - GREY).mean()) < 1.0 and not np.array_equal(first, second)


def test_what_is_looked_at_does_not_change_the_noise():
    looked = border(noise=20)
    alone = seen(border(noise=20), steps=3)[2]
    assert np.array_equal(looked.see(GREY, START_NS + 2 * STEP_NS).image, alone.image)


@given(st.floats(0.1, 4.0))
def test_exposure_scales_light_up_to_white(gain):
    image = seen(border(exposure=gain), steps=1)[0].image
    assert np.array_equal(image, np.minimum(np.rint(np.float32(gain) * GREY), 255))


def test_blur_spreads_an_edge_and_keeps_the_light():
    image = seen(border(blur=2), steps=1)[0].image.astype(float)
    assert image.max() < 180 and image.mean() == pytest.approx(GREY.mean(), abs=0.5)


def test_late_pictures_keep_the_stamp_of_their_exposure():
    frames = seen(border(late_ms=200), steps=5)
    assert frames[:2] == [None, None]
    assert [frame.stamp_ns for frame in frames[2:]] == [
        START_NS + step * STEP_NS for step in range(3)]


def test_the_share_of_lost_pictures_is_as_said():
    lost = sum(frame is None for seed in range(50) for frame in seen(border(seed, dropped=0.3)))
    assert lost / 1000 == pytest.approx(0.3, abs=0.05)


def test_slip_takes_its_share_and_turns_the_robot_both_ways(world):
    moved = np.array([border(seed, slip=0.2).move(world, AHEAD, START_NS) for seed in range(400)])
    assert moved[:, 0].mean() == pytest.approx(0.5 * 0.8, abs=0.01)
    assert abs(moved[:, 2].mean()) < 0.02 and moved[:, 2].min() < -0.2 < 0.2 < moved[:, 2].max()


def test_slip_moves_nothing_that_stands(world):
    assert border(slip=0.3).move(world, Velocity(), START_NS) == Velocity()


def test_a_push_comes_once_and_shoves_the_robot_aside(world):
    places = []
    for force in (0.0, 200.0):
        loaded(world)
        pushing = border(push_n=force)
        ways = []
        for step in range(40):
            world.advance(pushing.move(world, Velocity(), START_NS + step * STEP_NS), 0.1)
            ways.append(world.pose)
        places.append(np.array(ways))
    aside = places[1] - places[0]
    assert 0.08 < np.hypot(*aside[-1, :2]) < 0.25
    began = int(np.flatnonzero(np.hypot(*aside[:, :2].T) > 1e-3)[0])
    assert 5 <= began <= 20
    assert np.allclose(aside[-1], aside[-10], atol=1e-3)


def test_the_camera_moves_by_what_is_said_and_comes_back(world):
    model = loaded(world).model
    camera = model.camera('camera').id
    height, turned = model.cam_pos[camera][2], model.cam_quat[camera].copy()
    border(camera={'up_m': 0.06, 'yaw_deg': 4}).enter(world)
    assert abs(model.cam_pos[camera][2] - height) == pytest.approx(0.06)
    angle = 2 * np.arccos(abs(model.cam_quat[camera] @ turned))
    assert np.degrees(angle) == pytest.approx(4.0, abs=1e-6)
    loaded(world)
    assert model.cam_pos[camera][2] == height and np.array_equal(model.cam_quat[camera], turned)


@pytest.mark.parametrize('wrong', [{'fog': 1}, {'late_ms': 150}, {'dropped': 1.0},
                                   {'exposure': 0}, {'noise': float('nan')}])
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Disturbances.model_validate(wrong)


class Follower:
    """Drives ahead for half a second after each picture, and notes what it is shown."""

    spec = PolicySpec('follower', OMNI_3D, 48, 64, STEP_NS, 5, max_observation_age_s=0.5)

    def __init__(self):
        self.stamps = []

    def reset(self):
        pass

    def set_instruction(self, text):
        return text

    def act(self, frame):
        self.stamps.append((frame.stamp_ns - START_NS) // STEP_NS)
        return ActionChunk(np.tile(np.float32([0.1, 0, 0]), (5, 1)), STEP_NS, frame.stamp_ns)


def driven(between, steps=10):
    """Return which pictures a policy saw, and in which steps the robot was driven."""
    policy = Follower()
    robot, moving = Robot(policy, 'go'), []
    for step in range(steps):
        now_ns = START_NS + step * STEP_NS
        if any(robot.take(between.see(GREY, now_ns), now_ns)):
            moving.append(step)
    return policy.stamps, moving


def test_a_robot_bridges_late_pictures_by_their_stamps():
    assert driven(border(late_ms=200)) == (list(range(8)), list(range(2, 10)))


def test_a_robot_whose_pictures_stop_coming_stands():
    class Blackout(Border):
        def see(self, image, now_ns):
            return super().see(image, now_ns) if now_ns < START_NS + 3 * STEP_NS else None
    stamps, moving = driven(Blackout())
    assert stamps == [0, 1, 2]
    # The guard's camera time-out of 0.2 s, long before the chunk has run out.
    assert moving in ([0, 1, 2, 3], [0, 1, 2, 3, 4])
