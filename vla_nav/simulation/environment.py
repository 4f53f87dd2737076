"""The task as a Gymnasium environment, registered as ``vla_nav/Navigate-v0``."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from vla_nav.language.grammar import phrase
from vla_nav.simulation.judge import Judge
from vla_nav.simulation.scenario import SCENARIO_VERSION, sample
from vla_nav.simulation.world import CAMERA_HEIGHT, CAMERA_WIDTH, World
from vla_nav.spaces import OMNI_3D

STEP_S = 0.1
ENV_ID = 'vla_nav/Navigate-v0'


class NavigateEnv(gymnasium.Env[dict[str, Any], NDArray[np.float32]]):
    """Follow an instruction: pass on the named side, stop at the named object.

    Observation: ``image`` uint8 [H, W, 3] RGB of the robot's camera, ``instruction`` the text.
    Action: (linear_x, linear_y, angular_z) in the base frame, m/s and rad/s, held for 0.1 s.
    Reward: 1 at success, 0 before. ``reset(seed=, options={'cell', 'split', 'language'})``.
    """

    metadata = {'render_modes': ['rgb_array'], 'render_fps': 10}

    def __init__(self, width: int = CAMERA_WIDTH, height: int = CAMERA_HEIGHT,
                 render_mode: str | None = None) -> None:
        """Make the world; ``render`` with "rgb_array" gives the view from above."""
        self.render_mode = render_mode
        self.world = World(width, height)
        self.action_space = gymnasium.spaces.Box(
            np.array(OMNI_3D.low, np.float32), np.array(OMNI_3D.high, np.float32),
            dtype=np.float32)
        self.observation_space = gymnasium.spaces.Dict({
            'image': gymnasium.spaces.Box(0, 255, (height, width, 3), np.uint8),
            'instruction': gymnasium.spaces.Text(400, charset=_Anything())})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None
              ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the scene of this seed; without one, a random scene."""
        super().reset(seed=seed)
        options = options or {}
        number = seed if seed is not None else int(self.np_random.integers(2 ** 31))
        scenario = sample(number, options.get('cell'), options.get('split', 'train'))
        self.world.load(scenario)
        self.judge = Judge(self.world)
        self._instruction = phrase(scenario.intent, np.random.default_rng([number, 5]),
                                   options.get('language', 'en'))
        return self._observe(), {'scenario': scenario, 'scenario_version': SCENARIO_VERSION}

    def step(self, action: NDArray[np.float32]
             ) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Drive for 0.1 s."""
        self.world.advance(OMNI_3D.clip(action), STEP_S)
        self.judge.update(self.world)
        done = self.judge.done
        info = {'outcome': self.judge.outcome().to_dict()} if done else {}
        timeout = self.judge.reason == 'timeout'
        return (self._observe(), float(self.judge.reason == 'success'), done and not timeout,
                timeout, info)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """Return the room from above, uint8 [480, 640, 3] RGB."""
        return self.world.render_top(640, 480) if self.render_mode == 'rgb_array' else None

    def close(self) -> None:
        """Free the GL context."""
        self.world.close()

    def _observe(self) -> dict[str, Any]:
        return {'image': self.world.render(), 'instruction': self._instruction}


class _Anything(frozenset[str]):
    """The characters of any language; Gymnasium's default would refuse Korean."""

    def __new__(cls) -> _Anything:
        """Hold ASCII, Hangul syllables and jamo."""
        ranges = ((0x20, 0x7F), (0x1100, 0x1200), (0xAC00, 0xD7A4))
        return super().__new__(cls, {chr(c) for low, high in ranges for c in range(low, high)})


def register() -> None:
    """Register the environment's id with Gymnasium; repeated calls change nothing."""
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(ENV_ID, 'vla_nav.simulation.environment:NavigateEnv')
