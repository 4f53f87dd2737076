"""One episode at the pace of a clock: a base that obeys commands, a judge that watches it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from vla_nav.simulation.judge import Judge
from vla_nav.simulation.layout import Scenario
from vla_nav.simulation.world import World

STEP_NS = 10_000_000
# The judge looks at the pace of the evaluation, ten times a second.
_JUDGE_STEPS = 10
# A pause longer than this (a machine under load) is dropped rather than driven in one leap.
_MAX_STEPS = 10
_STANDSTILL = (0.0, 0.0, 0.0)


class Session:
    """Drives a world in real time; ``steady_ns`` is read from a clock that never goes back.

    The episode starts with the first command that moves the robot, so that the time a graph
    takes to come up is nobody's fault. A command older than ``command_timeout_s`` counts as
    standstill, as on a real base.
    """

    def __init__(self, world: World, scenario: Scenario, command_timeout_s: float) -> None:
        self.world = world
        self._timeout_ns = round(command_timeout_s * 1e9)
        self.dropped_ns = 0
        self.reset(scenario)

    def reset(self, scenario: Scenario) -> None:
        """Put the robot at the start of ``scenario``, at rest."""
        self.scenario = scenario
        self.world.load(scenario)
        self.judge = Judge(self.world)
        self.started = False
        self._steps = 0
        self._command: tuple[float, ...] = _STANDSTILL
        self._commanded_ns: int | None = None
        self._now_ns: int | None = None

    @property
    def done(self) -> bool:
        """Tell whether the judge has seen enough."""
        return self.started and bool(self.judge.done)

    def command(self, velocity: Sequence[float], steady_ns: int) -> None:
        """Take (vx, vy, wz) in the base frame, SI; a command that is not finite is refused."""
        if not all(map(math.isfinite, velocity)):
            raise ValueError(f'command {tuple(velocity)} is not finite')
        self._command, self._commanded_ns = tuple(velocity), steady_ns
        self.started = self.started or any(velocity)

    def tick(self, steady_ns: int) -> bool:
        """Advance to ``steady_ns``; return True when the episode ends in this very tick."""
        last, self._now_ns = self._now_ns, steady_ns
        if last is None or not self.started:
            return False
        steps, rest = divmod(steady_ns - last, STEP_NS)
        if steps > _MAX_STEPS:
            self.dropped_ns += (steps - _MAX_STEPS) * STEP_NS
            steps = _MAX_STEPS
        self._now_ns = steady_ns - rest
        was_done = self.done
        for _ in range(steps):
            self.world.advance(self._wanted(steady_ns), STEP_NS / 1e9)
            self._steps += 1
            if self._steps % _JUDGE_STEPS == 0 and not self.judge.done:
                self.judge.update(self.world)
        return self.done and not was_done

    def _wanted(self, steady_ns: int) -> tuple[float, ...]:
        if self._commanded_ns is None or steady_ns - self._commanded_ns > self._timeout_ns:
            return _STANDSTILL
        return self._command


def top_view(world: World, width: int, height: int) -> tuple[Any, dict[str, float]]:
    """Return the room from above (uint8 [height, width, 3] RGB) and its map to metres.

    The map holds the ground point under the picture's centre (``x``, ``y``, world frame) and
    ``metres_per_pixel`` on the ground; +x is up and +y is left in the picture.
    """
    picture = world.render_top(width, height)
    camera = world.model.camera('top').id
    x, y, above = world.model.cam_pos[camera]
    spread = 2 * above * math.tan(math.radians(float(world.model.cam_fovy[camera])) / 2)
    return picture, {'x': float(x), 'y': float(y), 'metres_per_pixel': float(spread / height)}
