"""The guard: the last word on the velocity that a robot is sent.

Two ages are kept apart. *Camera liveness* is the time since a picture arrived. *Observation age*
is how old the picture behind a command is: it is taken once, on ROS time, when the command
arrives, and grows on the steady clock from then on, so that a ROS clock that stands still or
jumps cannot keep an old command alive.

All times are integer nanoseconds; ``steady_ns`` is read from a clock that never goes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from vla_nav.control.limits import ZERO, Velocity, approach, box_factor, speed_factor
from vla_nav.control.pace import blind_speed
from vla_nav.control.zones import Points, Zones, ZoneSettings

# A camera clock may run slightly ahead of ours; more than this is another clock altogether.
_MAX_LEAD_NS = 100_000_000
# Between two decisions velocity may change by no more than this much time allows, so that a
# pause in deciding does not turn into a leap.
_MAX_DT_NS = 100_000_000
# A source silent for this long is gone, not late.
_FORGET_NS = 1_000_000_000

_Axes = tuple[float, float, float]


class Reason(str, Enum):
    """Why the guard sends what it sends: a reason to stand, or the source it follows."""

    E_STOP = 'e_stop'
    HELD = 'held'
    NO_COMMAND = 'no_command'
    NOT_FINITE = 'command_not_finite'
    POLICY_STOPPED = 'policy_stopped'
    CAMERA_LOST = 'camera_lost'
    OBSERVATION_OLD = 'observation_too_old'
    STAMP_AHEAD = 'stamp_ahead_of_clock'
    OBSTACLES_LOST = 'obstacles_lost'
    OBSTACLE = 'obstacle'
    TELEOP = 'teleop'
    POLICY = 'policy'

    @property
    def is_stop(self) -> bool:
        """Tell whether the robot stands for cause; to have no command is no cause."""
        return self not in (Reason.POLICY, Reason.TELEOP, Reason.NO_COMMAND)


class Limit(str, Enum):
    """Which limit made a velocity smaller than what was asked for."""

    NONE = ''
    VELOCITY = 'max_velocity'
    SPEED_CAP = 'speed_cap'
    BLIND = 'blind_distance'
    UNCERTAIN = 'uncertain'
    OBSTACLE = 'slow_for_obstacle'


class GuardSettings(ZoneSettings):
    """The guard's limits; velocities in m/s, m/s, rad/s along x, y, and about z (REP 103)."""

    max_velocity: _Axes = Field(
        default=(0.6, 0.6, 1.2),
        description='Upper velocity limits (x, y, z), at least 0; 0 forbids the direction.')
    min_velocity: _Axes = Field(
        default=(-0.6, -0.6, -1.2),
        description='Lower velocity limits (x, y, z), at most 0; 0 forbids the direction.')
    max_acceleration: _Axes = Field(
        default=(2.0, 2.0, 6.0),
        description='Limits of acceleration and deceleration (m/s2, m/s2, rad/s2). A stop for '
                    'cause is not smoothed by them.')
    speed_cap: float = Field(
        default=10.0, ge=0.0, le=10.0,
        description='Cap on the linear speed, m/s; all axes are scaled together.')
    camera_timeout: float = Field(
        default=0.2, gt=0.0, le=10.0,
        description='Seconds without a picture from the camera after which the robot stops.')
    max_observation_age: float = Field(
        default=0.5, gt=0.0, le=10.0,
        description='Seconds that the picture behind a command may be old; set it from the '
                    "bundle's max_observation_age_s.")
    blind_distance: float = Field(
        default=0.4, gt=0.0, le=10.0,
        description='Metres that the robot may drive on one picture: caps the speed at '
                    'blind_distance / max_observation_age.')
    uncertainty_limit: float = Field(
        default=0.0, ge=0.0, le=10.0,
        description="Disagreement of an ensemble's members, as a share of the velocity limits, at "
                    'which the robot stands; below it slows down in proportion. 0 ignores it; '
                    'with a limit, a policy that does not tell its uncertainty never drives.')
    teleop_timeout: float = Field(
        default=0.5, gt=0.0, le=10.0,
        description='Seconds for which a teleop command holds, with priority over the policy.')
    dry_run: bool = Field(default=False, description='Compute everything, send zeros.')
    hold_on_start: bool = Field(
        default=False,
        description='Stand until ~/release is called; also after a respawn.',
        json_schema_extra={'read_only': True})

    @model_validator(mode='after')
    def _limits_contain_standstill(self) -> GuardSettings:
        for axis, low, high in zip('xyz', self.min_velocity, self.max_velocity):
            if not low <= 0.0 <= high:
                raise ValueError(f'min_velocity and max_velocity of axis {axis} are [{low}, '
                                 f'{high}]; they must contain 0')
        if min(self.max_acceleration) <= 0.0:
            raise ValueError(f'max_acceleration is {self.max_acceleration}; each must be above 0')
        return self


@dataclass(frozen=True)
class Decision:
    """What to send and why. ``intended`` is what would be sent if this were no dry run."""

    velocity: Velocity
    reason: Reason
    limit: Limit = Limit.NONE
    intended: Velocity = ZERO

    @property
    def idle(self) -> bool:
        """Return whether nothing asks the robot to move."""
        return self.reason is Reason.NO_COMMAND

    @property
    def why(self) -> str:
        """Return the reason as shown to a person."""
        return ', '.join(filter(None, (self.reason.value, self.limit.value)))


@dataclass(frozen=True)
class _Held:
    velocity: Velocity
    arrived_ns: int
    # Age of the picture behind the command when the command arrived; None without a picture.
    age_ns: int | None = None


class Guard:
    """Chooses between the sources, stops for cause, and bounds velocity and acceleration."""

    def __init__(self, settings: GuardSettings) -> None:
        """Start at standstill, with nothing heard."""
        self.settings = settings
        self._held = settings.hold_on_start
        self._e_stop_pressed = False
        self._e_stop_latched = False
        self._camera_ns: int | None = None
        self._policy: _Held | None = None
        self._teleop: _Held | None = None
        self._uncertainty: tuple[float, int] | None = None  # and when it was heard
        self._zones = Zones()
        self.asked = ZERO  # what the source of the last decision wanted, within the limits
        self._last = ZERO
        self._last_ns: int | None = None

    def see_camera(self, steady_ns: int) -> None:
        """Note that the camera gave a picture."""
        self._camera_ns = steady_ns

    def take_policy(self, velocity: Velocity, stamp_ns: int, now_ns: int, steady_ns: int) -> None:
        """Take the policy's command, with the stamp of the picture behind it.

        ``now_ns`` is the time on the clock of the stamps. A stamp of 0 says that no picture
        stands behind the command: the policy stops for cause.
        """
        age_ns = now_ns - stamp_ns if stamp_ns > 0 else None
        self._policy = _Held(velocity, steady_ns, age_ns)

    def take_uncertainty(self, uncertainty: float, steady_ns: int) -> None:
        """Take how unsure the policy is, as a share of the velocity limits."""
        self._uncertainty = uncertainty, steady_ns

    def take_obstacles(self, points: ArrayLike, stamp_ns: int, now_ns: int,
                       steady_ns: int) -> None:
        """Take the obstacles [N, 2] (base frame, m) in the picture of this stamp.

        ``now_ns`` is the time on the clock of the stamps. No points means that the way is free.
        """
        self._zones.take(points, now_ns - stamp_ns, steady_ns, self.settings)

    def take_teleop(self, velocity: Velocity, steady_ns: int) -> None:
        """Take a person's command; it outranks the policy's while it is fresh."""
        self._teleop = _Held(velocity, steady_ns)

    def set_e_stop(self, pressed: bool) -> None:
        """Note the state of the e-stop button; once pressed it latches."""
        self._e_stop_pressed = pressed
        self._e_stop_latched |= pressed

    def release(self) -> bool:
        """Release the e-stop and the hold; False while the button is still pressed."""
        if self._e_stop_pressed:
            return False
        self._e_stop_latched = self._held = False
        return True

    def observation_age_ns(self, steady_ns: int) -> int | None:
        """Return how old the picture behind the newest policy command is now."""
        if self._policy is None or self._policy.age_ns is None:
            return None
        return self._policy.age_ns + steady_ns - self._policy.arrived_ns

    def camera_age_ns(self, steady_ns: int) -> int | None:
        """Return the time since the camera's newest picture."""
        return None if self._camera_ns is None else steady_ns - self._camera_ns

    def obstacles_age_ns(self, steady_ns: int) -> int | None:
        """Return how old the picture behind the newest obstacles is now; None before any."""
        return self._zones.age_ns(steady_ns)

    def obstacles(self, steady_ns: int) -> Points:
        """Return the obstacles [N, 2] that count now, in the base frame."""
        return self._zones.points(steady_ns, self.settings)

    def misses_obstacles(self, steady_ns: int) -> bool:
        """Tell whether it drives on without obstacles although some have come before."""
        return (not self.settings.obstacles_required and self._zones.heard
                and self._zones.lost(steady_ns, self.settings))

    def misses_uncertainty(self, steady_ns: int) -> bool:
        """Tell whether the policy would drive, but for not saying how unsure it is."""
        return (self.settings.uncertainty_limit > 0.0 and self._policy is not None
                and any(self._policy.velocity) and self._told_uncertainty(steady_ns) is None)

    def decide(self, steady_ns: int) -> Decision:
        """Return what to send now."""
        reason, wanted = self._choose(steady_ns)
        velocity, limit = ZERO, Limit.NONE
        self.asked = ZERO
        if wanted is not None:
            wanted, limit = self._within_limits(wanted, reason, steady_ns)
            self.asked = wanted
            left = self._zones.judge(wanted, self._last, self.settings.max_acceleration,
                                     steady_ns, self.settings)
            if left.stop:
                reason, limit = Reason.OBSTACLE, Limit.NONE
            else:
                if left.factor < 1.0:
                    wanted, limit = wanted.scaled(left.factor), Limit.OBSTACLE
                velocity = self._approach(wanted, steady_ns)
        self._last, self._last_ns = velocity, steady_ns
        sent = ZERO if self.settings.dry_run else velocity
        self._zones.send(sent, steady_ns)
        return Decision(sent, reason, limit, velocity)

    def _choose(self, steady_ns: int) -> tuple[Reason, Velocity | None]:
        """Return the source to follow, or why to stand at once (no velocity)."""
        if self._e_stop_latched:
            return Reason.E_STOP, None
        if self._held:
            return Reason.HELD, None
        teleop = self._teleop
        if teleop and steady_ns - teleop.arrived_ns < _ns(self.settings.teleop_timeout):
            if not teleop.velocity.is_finite:
                return Reason.NOT_FINITE, None
            return Reason.TELEOP, teleop.velocity
        fault = self._policy_fault(steady_ns)
        if fault or self._policy is None:
            return fault or Reason.NO_COMMAND, None
        return Reason.POLICY, self._policy.velocity

    def _policy_fault(self, steady_ns: int) -> Reason | None:
        policy = self._policy
        if policy is None or steady_ns - policy.arrived_ns >= _FORGET_NS:
            return Reason.NO_COMMAND
        if not policy.velocity.is_finite:
            return Reason.NOT_FINITE
        if policy.age_ns is None:
            return Reason.POLICY_STOPPED
        camera_ns = self.camera_age_ns(steady_ns)
        if camera_ns is None or camera_ns >= _ns(self.settings.camera_timeout):
            return Reason.CAMERA_LOST
        age_ns = policy.age_ns + steady_ns - policy.arrived_ns
        if age_ns >= _ns(self.settings.max_observation_age):
            return Reason.OBSERVATION_OLD
        if policy.age_ns < -_MAX_LEAD_NS:
            return Reason.STAMP_AHEAD
        if self.settings.obstacles_required and self._zones.lost(steady_ns, self.settings):
            return Reason.OBSTACLES_LOST
        return None

    def _within_limits(self, wanted: Velocity, source: Reason,
                       steady_ns: int) -> tuple[Velocity, Limit]:
        """Return the velocity within all limits; the most restrictive one scales it."""
        s = self.settings
        factors = [(1.0, Limit.NONE),
                   (box_factor(wanted, s.min_velocity, s.max_velocity), Limit.VELOCITY),
                   (speed_factor(wanted, s.speed_cap), Limit.SPEED_CAP)]
        if source is Reason.POLICY:
            factors.append((speed_factor(wanted, blind_speed(s.blind_distance,
                                                             s.max_observation_age)),
                            Limit.BLIND))
            factors.append((self._certainty(steady_ns), Limit.UNCERTAIN))
        factor, limit = min(factors, key=lambda pair: pair[0])
        return wanted.scaled(factor), limit

    def _approach(self, wanted: Velocity, steady_ns: int) -> Velocity:
        """Return what the limits of acceleration let become of ``wanted``."""
        dt_ns = 0 if self._last_ns is None else min(steady_ns - self._last_ns, _MAX_DT_NS)
        return approach(self._last, wanted, self.settings.max_acceleration, max(dt_ns, 0) / 1e9)

    def _told_uncertainty(self, steady_ns: int) -> float | None:
        """Return how unsure the policy says it is; None where it does not, or no more."""
        if self._uncertainty is None:
            return None
        value, heard_ns = self._uncertainty
        fresh = steady_ns - heard_ns < _ns(self.settings.max_observation_age)
        return value if fresh else None

    def _certainty(self, steady_ns: int) -> float:
        """Return the factor in [0, 1] that uncertainty leaves; 0 where none is heard of."""
        limit = self.settings.uncertainty_limit
        if limit == 0.0:
            return 1.0
        value = self._told_uncertainty(steady_ns)
        return 1.0 - value / limit if value is not None and 0.0 <= value < limit else 0.0


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
