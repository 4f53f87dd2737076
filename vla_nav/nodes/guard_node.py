"""The guard as a node: the only publisher of ``cmd_vel``, from its construction on."""

from __future__ import annotations

import math

from geometry_msgs.msg import Twist, TwistStamped
from pydantic import Field
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, PointCloud2
from std_msgs.msg import Bool, Float32, String
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from vla_nav.bringup.dds import avoid_shared_memory
from vla_nav.control.diagnostics import Latency, OnChange, Rate
from vla_nav.control.guard import Guard, GuardSettings, Reason
from vla_nav.control.limits import Velocity
from vla_nav.nodes.parameters import Parameters
from vla_nav.nodes.reporting import OK, WARN, Report, Reporter
from vla_nav.nodes.running import (
    COMMAND,
    LATCHED,
    SENSOR,
    now_ns,
    run,
    stamp_to_ns,
    steady_ns,
    steady_timer,
)
from vla_nav.nodes.visual_markers import zone_markers
from vla_nav.observations.clouds import points_of

# How often zones are drawn, while somebody looks.
_DRAWN_S = 0.1
_FAREWELL = Duration(seconds=0.5)


class GuardParameters(GuardSettings):
    """The guard's limits, and how it speaks to the base."""

    stamped_cmd_vel: bool = Field(False, description='Publish cmd_vel as TwistStamped instead of '
                                  'Twist.', json_schema_extra={'read_only': True})
    base_frame: str = Field('base_link', description='Frame of a stamped cmd_vel, and of the '
                            'obstacles.',
                            json_schema_extra={'read_only': True})
    rate: float = Field(50.0, ge=20.0, le=200.0, description='Hz at which cmd_vel is sent at '
                        'least.', json_schema_extra={'read_only': True})
    publish_when_idle: bool = Field(True, description='Send zeros also while nobody commands; '
                                    'false beside twist_mux or Nav2.')


class GuardNode(Node):
    """Gives each command to the guard, and the guard's decision to the base."""

    def __init__(self) -> None:
        """Declare, subscribe and publish the first zero."""
        super().__init__('guard')
        self._config = Parameters(self, GuardParameters)
        self._config.on_change(self._configure)
        settings = self._config.value
        self._guard = Guard(settings)
        self._decision = self._guard.decide(steady_ns())
        self._sent_ns = 0
        self._was_idle = False
        self._period_ns = round(1e9 / settings.rate)
        self._changed = OnChange()
        self._policy_rate, self._camera_rate = Rate(), Rate()
        self._obstacle_rate = Rate()
        self._age, self._latency = Latency(), Latency()
        self._stamp_ns = 0
        self._bad_cloud = ''

        stamped = settings.stamped_cmd_vel
        self._cmd_vel = self.create_publisher(TwistStamped if stamped else Twist, 'cmd_vel',
                                              COMMAND)
        self._state = self.create_publisher(String, '~/state', LATCHED)
        self._zones = self.create_publisher(MarkerArray, '~/zones', COMMAND)
        self.create_subscription(TwistStamped, 'cmd_vel_policy', self._on_policy, COMMAND)
        self.create_subscription(Float32, 'policy_uncertainty', self._on_uncertainty, COMMAND)
        self.create_subscription(Twist, 'cmd_vel_teleop', self._on_teleop, COMMAND)
        self.create_subscription(CameraInfo, 'camera/camera_info', self._on_camera, SENSOR)
        self.create_subscription(PointCloud2, 'obstacles', self._on_obstacles, SENSOR)
        self.create_subscription(Bool, 'e_stop', self._on_e_stop, 10)
        self.create_service(Trigger, '~/release', self._on_release)
        self._send()
        steady_timer(self, self._period_ns / 1e9, self._on_timer)
        steady_timer(self, _DRAWN_S, self._draw)
        Reporter(self, self._report)

    def goodbye(self) -> None:
        """Leave the base with a zero, not with the last velocity."""
        self._publish(Velocity())
        # The writer goes with the node: what a busy reader has not taken by then is lost.
        self._cmd_vel.wait_for_all_acked(_FAREWELL)

    def _on_camera(self, message: CameraInfo) -> None:
        steady = steady_ns()
        self._guard.see_camera(steady)
        self._camera_rate.tick(steady)

    def _on_policy(self, message: TwistStamped) -> None:
        steady, stamp_ns = steady_ns(), stamp_to_ns(message.header.stamp)
        self._guard.take_policy(_velocity(message.twist), stamp_ns, now_ns(self), steady)
        self._policy_rate.tick(steady)
        self._send()
        if self._decision.reason is Reason.POLICY:
            age_ns = self._guard.observation_age_ns(steady_ns()) or 0
            self._age.add(age_ns)
            if stamp_ns != self._stamp_ns:  # the first command that this picture has caused
                self._latency.add(age_ns)
                self._stamp_ns = stamp_ns

    def _on_uncertainty(self, message: Float32) -> None:
        # The command that belongs to it follows at once, and with it the decision.
        self._guard.take_uncertainty(message.data, steady_ns())

    def _on_obstacles(self, message: PointCloud2) -> None:
        frame, wanted = message.header.frame_id, self._config.value.base_frame
        if frame != wanted:
            self._bad_cloud = (f'obstacles are in the frame "{frame}", not in "{wanted}": set the '
                               'same base_frame everywhere')
            return
        try:
            points = points_of(message)
        except ValueError as error:
            self._bad_cloud = f'obstacles: {error}'
            return
        self._bad_cloud = ''
        steady = steady_ns()
        self._guard.take_obstacles(points, stamp_to_ns(message.header.stamp), now_ns(self), steady)
        self._obstacle_rate.tick(steady)

    def _on_teleop(self, message: Twist) -> None:
        self._guard.take_teleop(_velocity(message), steady_ns())
        self._send()

    def _on_e_stop(self, message: Bool) -> None:
        self._guard.set_e_stop(message.data)
        self._send()

    def _on_release(self, request: Trigger.Request, response: Trigger.Response
                    ) -> Trigger.Response:
        response.success = self._guard.release()
        response.message = ('released' if response.success
                            else 'the e-stop is still pressed; release the button first')
        self._send()
        return response

    def _on_timer(self) -> None:
        if steady_ns() - self._sent_ns >= 0.9 * self._period_ns:
            self._send()

    def _send(self) -> None:
        self._decision = self._guard.decide(steady_ns())
        # The zero that begins idleness is always sent; the ones after it are a matter of taste.
        idle = self._decision.idle
        if self._config.value.publish_when_idle or not (idle and self._was_idle):
            self._publish(self._decision.velocity)
        self._was_idle = idle
        self._sent_ns = steady_ns()
        if self._changed.changed(self._decision.why):
            self._state.publish(String(data=self._decision.why))

    def _draw(self) -> None:
        if not self._zones.get_subscription_count():
            return
        guard, steady = self._guard, steady_ns()
        # Those of where it would go, also while it is stopped.
        velocity = self._decision.intended if any(self._decision.intended) else guard.asked
        settings = self._config.value
        self._zones.publish(zone_markers(settings.base_frame, velocity, guard.obstacles(steady),
                                         settings))

    def _publish(self, velocity: Velocity) -> None:
        settings = self._config.value
        message = TwistStamped() if settings.stamped_cmd_vel else Twist()
        twist = message
        if settings.stamped_cmd_vel:
            # Bases drop commands that are half a second old: stamped now, not with the picture.
            message.header.stamp = self.get_clock().now().to_msg()
            message.header.frame_id = settings.base_frame
            twist = message.twist
        twist.linear.x, twist.linear.y, twist.angular.z = velocity
        self._cmd_vel.publish(message)

    def _configure(self, settings: GuardParameters) -> None:
        self._guard.settings = settings

    def _report(self) -> Report:
        steady, decision = steady_ns(), self._decision
        level = WARN if decision.reason.is_stop else OK
        message, settings = decision.reason.value, self._guard.settings
        if decision.reason is Reason.POLICY and self._guard.misses_uncertainty(steady):
            level, message = WARN, (
                f'stands: uncertainty_limit is {settings.uncertainty_limit}, and nothing comes on '
                'policy_uncertainty; only ensembles tell theirs: run one, or set it to 0')
        elif self._bad_cloud:
            level, message = WARN, f'{message}; {self._bad_cloud}'
        elif self._guard.misses_obstacles(steady):
            level, message = WARN, (
                f'{message}; no obstacles come any more, and it drives on without them: look at '
                'the detector, or set obstacles_required')
        message += ', dry run' if settings.dry_run else ''
        return Report(level, message, {
            'limit': decision.limit.value or 'none',
            'linear_x': _round(decision.velocity.linear_x),
            'linear_y': _round(decision.velocity.linear_y),
            'angular_z': _round(decision.velocity.angular_z),
            'camera_age_ms': _ms(self._guard.camera_age_ns(steady)),
            'observation_age_ms': _ms(self._guard.observation_age_ns(steady)),
            'camera_hz': _round(self._camera_rate.per_second(steady)),
            'policy_hz': _round(self._policy_rate.per_second(steady)),
            'obstacles_hz': _round(self._obstacle_rate.per_second(steady)),
            'obstacles_age_ms': _ms(self._guard.obstacles_age_ns(steady)),
            'obstacles': len(self._guard.obstacles(steady)),
            **{f'picture_to_cmd_vel_{k}_ms': v for k, v in self._latency.milliseconds().items()},
            **{f'actuation_age_{k}_ms': v for k, v in self._age.milliseconds().items()},
        })


def _velocity(twist: Twist) -> Velocity:
    """Return the planar velocity; a NaN on an axis that is not driven counts as well."""
    unused = (twist.linear.z, twist.angular.x, twist.angular.y)
    if not all(map(math.isfinite, unused)):
        return Velocity(math.nan, math.nan, math.nan)
    return Velocity(twist.linear.x, twist.linear.y, twist.angular.z)


def _round(value: float) -> float:
    return round(value, 3)


def _ms(duration_ns: int | None) -> str:
    return 'never' if duration_ns is None else f'{duration_ns / 1e6:.1f}'


def main() -> None:
    """Run the guard; another process's trouble must not hold up its zeros."""
    avoid_shared_memory()
    run(GuardNode)


if __name__ == '__main__':
    main()
