"""The verdict on one episode, by the definitions in the design's metrics."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from vla_nav.simulation.layout import GOAL_RADIUS_M
from vla_nav.simulation.planner import Map
from vla_nav.simulation.world import World

REST_S = 1.0
# A robot that waits (for a person, say) may stand still this long anywhere.
STUCK_S = 8.0
_REST_SPEED = 0.03
_REST_TURN = 0.08


@dataclass(frozen=True)
class Outcome:
    """How an episode ended; ``reached`` is the index of the object it stopped at, if any.

    ``spl`` is success weighted by shortest over driven length (Anderson et al. 2018,
    arXiv:1807.06757). ``side_correct`` asks that each gate was last crossed on its named side.
    """

    success: bool
    reason: str
    oracle_success: bool
    collision: bool
    person_contact: bool
    side_correct: bool
    first_side: str | None
    reached: int | None
    goal_correct: bool
    time_s: float
    path_length_m: float
    shortest_m: float
    spl: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


class Judge:
    """Watches a world from its load on; call :meth:`update` after each step.

    Success: at rest for 1 s within 0.5 m (centre to centre) of the named object, every gate passed
    on its named side, no contact, within the time limit.
    """

    def __init__(self, world: World) -> None:
        """Begin to watch the scenario that the world holds now."""
        assert world.scenario is not None, 'load a scenario first'
        self.scenario = world.scenario
        self._last = world.pose
        self._rest_since: float | None = None
        self._crossed: list[str | None] = [None] * len(self.scenario.gates)
        self._length = 0.0
        self._oracle = False
        self._collision = self._person = False
        self._reached: int | None = None
        self._time = 0.0
        self.reason = ''

    @property
    def done(self) -> bool:
        """Tell whether the episode has ended."""
        return bool(self.reason)

    def update(self, world: World) -> None:
        """Take the world's state after a step."""
        if self.done:
            return
        x, y, _ = world.pose
        self._time = world.time_s
        self._length += math.hypot(x - self._last[0], y - self._last[1])
        for i, gate in enumerate(self.scenario.gates):
            if self._last[0] <= gate.x < x:
                self._crossed[i] = 'left' if y > gate.y else 'right'
        self._last = world.pose
        distances = [math.hypot(o.x - x, o.y - y) for o in self.scenario.objects]
        vx, vy, wz = world.velocity
        resting = math.hypot(vx, vy) < _REST_SPEED and abs(wz) < _REST_TURN
        if not resting:
            self._rest_since = None
        elif self._rest_since is None:
            self._rest_since = world.time_s
        rested = world.time_s - self._rest_since if self._rest_since is not None else -1.0
        if world.collided:
            self._collision, self.reason = True, 'collision'
            self._person = world.person_collided
            return
        self._oracle |= self._sides() and distances[self.scenario.goal_index] < GOAL_RADIUS_M
        nearest = min(range(len(distances)), key=distances.__getitem__)
        if rested >= REST_S and distances[nearest] <= GOAL_RADIUS_M:
            self._reached = nearest
            right_object = nearest == self.scenario.goal_index
            self.reason = ('wrong object' if not right_object else
                           'success' if self._sides() else 'wrong side')
        elif rested >= STUCK_S:
            self.reason = 'stuck'
        elif world.time_s >= self.scenario.time_limit_s:
            self.reason = 'timeout'

    def _sides(self) -> bool:
        return all(c == g.side for c, g in zip(self._crossed, self.scenario.gates))

    def outcome(self) -> Outcome:
        """Return the verdict; before the end, as if time were up now."""
        success = self.reason == 'success'
        goal = self.scenario.goal
        where = Map(self.scenario)
        ways = where.ways_to(where.around(goal.x, goal.y, GOAL_RADIUS_M - 0.05))
        shortest = ways.length(*self.scenario.start[:2])
        spl = shortest / max(shortest, self._length) if success else 0.0
        return Outcome(
            success, self.reason or 'timeout', self._oracle, self._collision, self._person,
            self._sides(), self._crossed[0], self._reached,
            self._reached == self.scenario.goal_index, self._time, self._length, shortest, spl)
