"""How fast a robot may go among obstacles, on the very curve that it is about to drive.

The footprint, a circle, is swept along the curve of the command. Where it would touch a point,
the way until there bounds the speed: what is driven during the latency and the braking after it
must end before, ``obstacle_clearance`` away. That makes two zones, both shaped by the velocity.
In the *slow-down zone* the speed is scaled to what the way allows. In the *stop zone*, which no
braking within the limits would leave in time, the robot is stopped at once. At rest the stop zone
reaches ``robot_radius + obstacle_clearance`` from the base's centre, in the direction in which
the robot would move; where no motion is asked for, or one that leads away, there is none.

Only what stands in the way of the footprint's core stops the robot. What its rim alone would
touch slows it down: boxes in a picture tell the ends of things beside a passage to some
centimetres only, and a robot that stopped for these would not get through.

The laws hold for any point, whatever it is a part of: no object is exempt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from vla_nav.control.limits import Velocity
from vla_nav.control.reckoning import Reckoning, arc, into, out_of

# The curve is looked at in steps of this length; a point is missed by less than a millimetre.
_STEP_M = 0.02
# Slower than this is standing.
_CREEP = 0.02
# Whoever stands before an obstacle goes on when there is so much more way: noise is less.
_RELEASE_M = 0.03
# Points closer than this, in two pictures, are the same point.
_SAME_M = 0.15
# What comes at the robot so fast is seen somewhere else each time, and counts all the same.
_WALKS_M_PER_S = 2.0
# More points than these, from a laser scanner say, tell nothing more.
_GRID_M, _NEAREST = 0.03, 300
_MAX_LEAD_NS = 100_000_000

Points = NDArray[np.float64]


class ZoneSettings(BaseModel):
    """What the guard makes of obstacles."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    obstacles_required: bool = Field(
        default=False,
        description='Stand while no fresh obstacles come from a detector; false drives on '
                    'without them.')
    obstacle_timeout: float = Field(
        default=0.5, gt=0.0, le=10.0,
        description='Seconds that the picture behind the obstacles may be old.')
    robot_radius: float = Field(
        default=0.2, gt=0.0, le=5.0, description='Radius of the footprint, m.')
    obstacle_rim: float = Field(
        default=0.0, ge=0.0, le=5.0,
        description='Metres of the footprint to either side that a thing beside the way may touch '
                    'without stopping the robot: it is slowed down to passing_speed. What a '
                    'camera sees of a passage is not exact to the centimetre. At most half of '
                    'robot_radius counts; 0 stops at whatever the footprint would touch.')
    passing_speed: float = Field(
        default=0.15, ge=0.0, le=5.0,
        description='Speed, m/s, at which the rim passes things beside the way.')
    obstacle_clearance: float = Field(
        default=0.05, ge=0.0, le=5.0,
        description='Metres left between footprint and obstacle where the robot stops.')
    obstacle_latency: float = Field(
        default=0.2, ge=0.0, le=2.0,
        description='Seconds from a decision to the wheels having obeyed it.')
    obstacle_hits: int = Field(
        default=2, ge=1, le=20,
        description='Pictures in which a point must be seen before it counts.')
    obstacle_hold: float = Field(
        default=0.5, ge=0.0, le=10.0,
        description='Seconds for which a point counts after it was seen last, and for which the '
                    'way must be free before the robot goes on after a stop.')


@dataclass(frozen=True)
class Allowance:
    """What obstacles leave of a command: a factor in [0, 1], or a stop at once."""

    factor: float = 1.0
    stop: bool = False


class Obstacles:
    """The points around the robot, moved along by what it was sent since they were seen.

    A point counts once pictures in a row have shown it, or something that walks, and until it has
    not been seen for a while: neither a false box nor a dropped picture makes a robot jerk.
    """

    def __init__(self, reckoning: Reckoning) -> None:
        """Know of nothing."""
        self._reckoning = reckoning
        self._points: Points = np.empty((0, 2))  # in the frame of the reckoning
        self._hits = np.empty(0, np.int64)
        self._seen_ns = np.empty(0, np.int64)
        self._newest_ns: int | None = None

    def take(self, points: ArrayLike, age_ns: int, steady_ns: int, hold_ns: int) -> None:
        """Take points [N, 2] in the base frame of ``age_ns`` ago; not finite ones are dropped."""
        if age_ns < -_MAX_LEAD_NS:
            return
        taken_ns = steady_ns - max(age_ns, 0)
        if self._newest_ns is not None and taken_ns < self._newest_ns:
            return
        passed_ns = 0 if self._newest_ns is None else taken_ns - self._newest_ns
        self._newest_ns = taken_ns
        new = out_of(_thinned(np.asarray(points, np.float64).reshape(-1, 2)),
                     self._reckoning.at(taken_ns))
        apart = np.linalg.norm(new[:, None] - self._points[None], axis=-1)
        near, walks = apart <= _SAME_M, apart <= _SAME_M + _WALKS_M_PER_S * passed_ns * 1e-9
        hits = 1 + np.where(walks, self._hits, 0).max(axis=1, initial=0)
        # What is seen again is where it is seen now; what is not stays for a while.
        stays = ~near.any(axis=0) & (taken_ns - self._seen_ns <= hold_ns)
        self._points = np.concatenate([new, self._points[stays]])
        self._hits = np.concatenate([hits, self._hits[stays]])
        self._seen_ns = np.concatenate([np.full(len(new), taken_ns), self._seen_ns[stays]])

    def age_ns(self, steady_ns: int) -> int | None:
        """Return how old the newest picture behind the points is; None before the first."""
        return None if self._newest_ns is None else steady_ns - self._newest_ns

    def around(self, steady_ns: int, hits: int, hold_ns: int) -> Points:
        """Return the points [N, 2] that count, in the base frame of now."""
        counts = (self._hits >= hits) & (steady_ns - self._seen_ns <= hold_ns)
        return into(self._points[counts], self._reckoning.at(steady_ns))


class Zones:
    """What obstacles allow, with the memory that keeps a stop from flickering."""

    def __init__(self) -> None:
        """Know of nothing, and allow everything."""
        self._reckoning = Reckoning()
        self._obstacles = Obstacles(self._reckoning)
        self._free_ns: int | None = None  # since when the way is free again; None: no stop
        self._heard = False

    def send(self, velocity: Velocity, steady_ns: int) -> None:
        """Note what the base is sent from now on."""
        if self._heard:
            self._reckoning.send(velocity, steady_ns)

    def take(self, points: ArrayLike, age_ns: int, steady_ns: int,
             settings: ZoneSettings) -> None:
        """Take the obstacles [N, 2] (base frame, m) in a picture that is ``age_ns`` old."""
        self._heard = True
        self._obstacles.take(points, age_ns, steady_ns, _ns(settings.obstacle_hold))

    @property
    def heard(self) -> bool:
        """Return whether obstacles have ever come."""
        return self._heard

    def age_ns(self, steady_ns: int) -> int | None:
        """Return how old the newest picture behind the obstacles is; None before the first."""
        return self._obstacles.age_ns(steady_ns)

    def lost(self, steady_ns: int, settings: ZoneSettings) -> bool:
        """Tell whether fresh obstacles are missing."""
        age_ns = self.age_ns(steady_ns)
        return age_ns is None or age_ns >= _ns(settings.obstacle_timeout)

    def points(self, steady_ns: int, settings: ZoneSettings) -> Points:
        """Return the points [N, 2] that count now, in the base frame."""
        return self._obstacles.around(steady_ns, settings.obstacle_hits,
                                      _ns(settings.obstacle_hold))

    def judge(self, wanted: Velocity, last: Velocity, acceleration: tuple[float, float, float],
              steady_ns: int, settings: ZoneSettings) -> Allowance:
        """Return what is left of ``wanted`` for a robot that is moving with ``last``."""
        points = self.points(steady_ns, settings)
        if not len(points):
            self._free_ns = None
            return Allowance()
        s, speed = settings, wanted.speed
        brake = deceleration(wanted, acceleration)
        full = stopping_m(speed, brake, s.obstacle_latency)
        reach = s.obstacle_clearance + full + _RELEASE_M
        way = _way_of_core(points, wanted, s, reach) - s.obstacle_clearance
        allowed = allowed_speed(way, brake, s.obstacle_latency)
        stop_m, _ = zone_lengths(last, acceleration, s)
        surprised = last.speed > _CREEP and math.isfinite(_way_of_core(points, last, s, stop_m))
        if surprised or allowed < min(_CREEP, speed):
            self._free_ns = steady_ns
            return Allowance(0.0, stop=True)
        if self._free_ns is not None and math.isfinite(way):
            if way < _RELEASE_M:
                self._free_ns = steady_ns
            if steady_ns - self._free_ns < _ns(s.obstacle_hold):
                return Allowance(0.0, stop=True)
        self._free_ns = None
        if speed > s.passing_speed and math.isfinite(
                way_ahead(points, wanted, s.robot_radius, reach)):
            allowed = min(allowed, s.passing_speed)
        return Allowance(min(1.0, allowed / speed) if speed else 1.0)


def way_ahead(points: Points, velocity: Velocity, radius: float, reach: float) -> float:
    """Return the metres of the curve of ``velocity`` before a circle touches a point.

    ``inf`` where it touches none within ``reach`` metres. Points within the circle already do
    not count where the curve leads away from them.
    """
    speed = velocity.speed
    if not speed or not len(points):
        return math.inf
    ways, distances = _distances(points, velocity, reach)
    touches = ((distances <= radius) & (distances < distances[0] - 1e-9)).any(axis=1)
    first = int(touches.argmax())
    return float(ways[max(first - 1, 0)]) if touches[first] else math.inf


def _way_of_core(points: Points, velocity: Velocity, settings: ZoneSettings,
                 reach: float) -> float:
    """Return :func:`way_ahead` to the points that the footprint's core would touch as well."""
    if not velocity.speed:
        return math.inf
    radius = settings.robot_radius
    core = max(radius - settings.obstacle_rim, radius / 2)
    _, distances = _distances(points, velocity, reach + radius)
    return way_ahead(points[(distances <= core).any(axis=0)], velocity, radius, reach)


def _distances(points: Points, velocity: Velocity, reach: float) -> tuple[Points, Points]:
    """Return places [S] along ``reach`` metres of a curve, and [S, N] how far each point is."""
    ways = np.linspace(0.0, reach, max(2, math.ceil(reach / _STEP_M) + 1))
    centres = arc(velocity, ways / velocity.speed)
    return ways, np.linalg.norm(centres[:, None] - points[None], axis=-1)


def swept(velocity: Velocity, length: float) -> Points:
    """Return the curve [N, 2] of a zone of ``length`` metres ahead, in the base frame."""
    if not velocity.speed:
        return np.zeros((1, 2))
    ways = np.linspace(0.0, length, max(2, math.ceil(length / _STEP_M)))
    return arc(velocity, ways / velocity.speed)


def zone_lengths(velocity: Velocity, acceleration: tuple[float, float, float],
                 settings: ZoneSettings) -> tuple[float, float]:
    """Return how far ahead of the footprint the stop zone and the slow-down zone reach, m."""
    brake = deceleration(velocity, acceleration)
    return tuple(settings.obstacle_clearance  # type: ignore[return-value]
                 + stopping_m(velocity.speed, brake, latency)
                 for latency in (0.0, settings.obstacle_latency))


def deceleration(velocity: Velocity, acceleration: tuple[float, float, float]) -> float:
    """Return at how many m/s² the speed falls where all axes come to rest together."""
    seconds = max(abs(value) / limit for value, limit in zip(velocity, acceleration))
    return velocity.speed / seconds if velocity.speed else math.inf


def stopping_m(speed: float, brake: float, latency: float) -> float:
    """Return the way in metres until ``speed`` has come to rest."""
    return speed * latency + speed ** 2 / (2 * brake)


def allowed_speed(way: float, brake: float, latency: float) -> float:
    """Return the speed in m/s that comes to rest within ``way`` metres."""
    if way <= 0.0:
        return 0.0
    if math.isinf(way) or math.isinf(brake):
        return math.inf
    return brake * (math.sqrt(latency ** 2 + 2 * way / brake) - latency)


def _thinned(points: Points) -> Points:
    """Return the nearest of the finite points, one a cell of a fine grid."""
    finite = points[np.isfinite(points).all(axis=1)]
    nearest = finite[np.argsort(np.hypot(*finite.T), kind='stable')]
    # Coordinates of no robot's surroundings would not fit into the grid's integers.
    near = nearest[np.abs(nearest).max(axis=1, initial=0.0) < 100.0]
    _, first = np.unique(np.round(near / _GRID_M).astype(np.int64), axis=0, return_index=True)
    return near[np.sort(first)[:_NEAREST]]


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
