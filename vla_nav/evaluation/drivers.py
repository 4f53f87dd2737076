"""Everything that can drive an episode, by name: bundles, the expert, the trivial baselines."""

from __future__ import annotations

import functools

import numpy as np

from vla_nav.bringup.share import find_bundle
from vla_nav.contracts import ActionChunk, Frame, Policy, PolicySpec
from vla_nav.evaluation.baselines import (
    OPEN_LOOP,
    STEP_NS,
    Drive,
    DriveStatistics,
    open_loop_policy,
)
from vla_nav.evaluation.blind import ImageBlindPolicy, TextBlindPolicy
from vla_nav.evaluation.rollout import drive
from vla_nav.runtimes import load_policy
from vla_nav.simulation.expert import Expert
from vla_nav.simulation.judge import Judge
from vla_nav.simulation.scenario import PLAIN_CELLS, sample
from vla_nav.simulation.world import World
from vla_nav.spaces import OMNI_3D

BASELINES = ('expert', *OPEN_LOOP)
STATISTICS_DRIVES = 120


class ExpertPolicy:
    """The planner with privileged state, as a policy: it reads the world, not the picture."""

    spec = PolicySpec('expert', OMNI_3D, 1, 1, STEP_NS, 1, max_observation_age_s=0.5)

    def __init__(self, world: World) -> None:
        """Plan in ``world``, whatever scene is loaded at each :meth:`reset`."""
        self._world = world

    def reset(self) -> None:
        """Plan anew in the scene that is loaded now."""
        self._expert = Expert(self._world)

    def set_instruction(self, text: str) -> str:
        """Leave the text to the scene, which says what is to be done."""
        assert self._world.scenario is not None, 'load a scenario first'
        return self._world.scenario.intent.describe()

    def act(self, frame: Frame) -> ActionChunk:
        """Return the planner's velocity as a chunk of one row."""
        row = OMNI_3D.clip(self._expert.act())[None]
        return ActionChunk(row, STEP_NS, frame.stamp_ns)


def needs_camera(name: str, image: str = 'true') -> bool:
    """Return whether the driver looks at the pictures, so that they must be rendered."""
    return name not in BASELINES and image == 'true'


def make_driver(name: str, world: World, statistics: DriveStatistics | None = None,
                text: str = 'true', image: str = 'true') -> Policy:
    """Return the driver called ``name``: a baseline's name or a bundle's directory.

    The open-loop baselines need ``statistics``. Raises PolicyError for a bundle that does not
    load.
    """
    if name == 'expert':
        return ExpertPolicy(world)
    if name in OPEN_LOOP:
        return open_loop_policy(name, statistics or drive_statistics())
    return load_bundle(name, text, image)


def load_bundle(directory: str, text: str = 'true', image: str = 'true') -> Policy:
    """Load a bundle by its directory or shipped name, with text or picture blanked where asked.

    Raises PolicyError.
    """
    policy = load_policy(find_bundle(directory))
    if text == 'blind':
        policy = TextBlindPolicy(policy)
    return ImageBlindPolicy(policy) if image == 'blind' else policy


@functools.cache
def drive_statistics(drives: int = STATISTICS_DRIVES) -> DriveStatistics:
    """Let the expert drive plain training scenes, without pictures, and reduce the drives."""
    world = World(render=False)
    policy = ExpertPolicy(world)
    done = []
    for seed in range(drives):
        scenario = sample(seed, PLAIN_CELLS[seed % len(PLAIN_CELLS)])
        world.load(scenario)
        trace = drive(world, Judge(world), policy, see=False)
        way = np.array(trace.poses)[:, :2]
        done.append(Drive(np.array(trace.commands), way[1:] - way[0]))
    return DriveStatistics.of(done)
