"""The simulated robot as a node: a camera, a base, odometry, and the truth for evaluation."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from geometry_msgs.msg import Twist, TwistStamped
from pydantic import BaseModel, ConfigDict, Field
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from vla_nav.bringup.dds import use_profile
from vla_nav.nodes.parameters import ParameterError, Parameters
from vla_nav.nodes.reporting import OK, Report, Reporter
from vla_nav.nodes.running import COMMAND, bring_up, run, steady_ns, steady_timer
from vla_nav.simulation.gl import ensure_gl

TICK_S = 0.01
EXPERT_PERIOD_NS = 100_000_000
TRUTH_PERIOD_NS = 100_000_000
TOP_PERIOD_NS = 200_000_000


class SimParameters(BaseModel):
    """What the simulated robot is and where it stands."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    cell: str = Field('', description='Cell or family of the scene, or how its name '
                      'begins: 2box_vert_left; empty lets the seed choose a plain one. Takes '
                      'effect at ~/reset, as do seed and split.')
    seed: int = Field(0, ge=0, description='Seed of the scene.')
    split: Literal['train', 'layouts', 'appearance'] = Field(
        'train', description='Scenes as in training, held-out layouts, or held-out looks.')
    camera_rate: float = Field(20.0, ge=1.0, le=50.0, description='Pictures per second.')
    image_noise: float = Field(1.0, ge=0.0, le=50.0, description='Standard deviation of the '
                               "sensor's noise in grey levels; 0 gives identical pictures at "
                               'standstill, which count as a frozen camera.')
    command_timeout: float = Field(0.5, ge=0.05, le=5.0, description='Seconds without a command '
                                   'after which the base stops by itself.',
                                   json_schema_extra={'read_only': True})
    stamped_cmd_vel: bool = Field(False, description='Take cmd_vel as TwistStamped instead of '
                                  'Twist.', json_schema_extra={'read_only': True})
    publish_clock: bool = Field(False, description='Publish /clock and stamp by it.',
                                json_schema_extra={'read_only': True})
    expert: bool = Field(False, description="Drive with the simulator's own planner, in the "
                         "policy's place.", json_schema_extra={'read_only': True})


class SimNode(LifecycleNode):
    """A lifecycle node around one :class:`vla_nav.simulation.session.Session`."""

    def __init__(self) -> None:
        super().__init__('sim')
        self._config = Parameters(self, SimParameters)
        self._session: Any = None
        self._time: Any = None

    # -- lifecycle -----------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Build the world; slow, so done before the node promises anything."""
        settings = self._config.value
        try:
            # Imported only now that a GL back end is known: without one, mujoco does not import.
            from vla_nav.nodes.sim_topics import SimTopics
            from vla_nav.simulation.session import Session
            from vla_nav.simulation.world import World
            self._session = Session(World(), self._scenario(), settings.command_timeout)
        except Exception as error:  # rclpy would swallow it and say nothing
            self.get_logger().error(f'cannot build the simulated world: {error!r}')
            return TransitionCallbackReturn.FAILURE
        self._topics = SimTopics(self, self._session)
        self._clock_topic = (self.create_publisher(Clock, '/clock', 10)
                             if settings.publish_clock else None)
        self._published_ns = 0
        if settings.stamped_cmd_vel:
            self.create_subscription(TwistStamped, 'cmd_vel', self._on_stamped, COMMAND)
        else:
            self.create_subscription(Twist, 'cmd_vel', self._on_command, COMMAND)
        self.create_service(Trigger, '~/reset', self._on_reset)
        Reporter(self, self._report)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let time run."""
        self._begin()
        self._time = steady_timer(self, TICK_S, self._tick)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop time."""
        self.destroy_timer(self._time)
        return super().on_deactivate(state)

    def goodbye(self) -> None:
        """Free the GL context."""
        if self._session is not None:
            self._session.world.close()

    # -- episode -------------------------------------------------------------------------

    def _scenario(self) -> Any:
        from vla_nav.simulation.choice import choose_scene
        settings = self._config.value
        return choose_scene(settings.cell, settings.seed, split=settings.split).sample()

    def _begin(self) -> None:
        if self._config.value.expert:
            from vla_nav.simulation.expert import Expert
            self._expert = Expert(self._session.world)
        self._due = dict.fromkeys(('camera', 'truth', 'top', 'expert'), 0)
        self._topics.scene()
        scenario = self._session.scenario
        self.get_logger().info(f'scene {scenario.cell}, seed {scenario.seed}: '
                               f'{scenario.intent.describe()}')

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Start the episode that the parameters name now."""
        try:
            self._session.reset(self._scenario())
        except ValueError as error:
            response.success, response.message = False, str(error)
            return response
        self._begin()
        response.success, response.message = True, self._session.scenario.cell
        return response

    def _on_command(self, message: Twist) -> None:
        velocity = message.linear.x, message.linear.y, message.angular.z
        try:
            self._session.command(velocity, steady_ns())
        except ValueError as error:
            self.get_logger().error(str(error), throttle_duration_sec=1.0)

    def _on_stamped(self, message: TwistStamped) -> None:
        self._on_command(message.twist)

    # -- time ----------------------------------------------------------------------------

    def _tick(self) -> None:
        settings, steady = self._config.value, steady_ns()
        ended = self._session.tick(steady)
        stamp = self._stamp()
        if self._is_due('camera', steady, round(1e9 / settings.camera_rate)):
            self._topics.camera(stamp, settings.image_noise)
            self._topics.odometry(stamp)
        if self._is_due('truth', steady, TRUTH_PERIOD_NS):
            self._topics.truth()
        if self._is_due('top', steady, TOP_PERIOD_NS):
            self._topics.top(stamp)
        if settings.expert and self._is_due('expert', steady, EXPERT_PERIOD_NS):
            self._topics.expert(stamp, np.zeros(3) if self._session.done else self._expert.act())
        if ended:
            self._topics.outcome()
            self.get_logger().info(f'outcome: {self._session.judge.outcome()}')

    def _is_due(self, what: str, now_ns: int, period_ns: int) -> bool:
        if now_ns < self._due[what]:
            return False
        # From the due time on, so that the rate holds; from now on after a pause.
        late = now_ns - self._due[what] > period_ns
        self._due[what] = (now_ns if late else self._due[what]) + period_ns
        return True

    def _stamp(self) -> Any:
        if self._clock_topic is None:
            return self.get_clock().now().to_msg()
        self._published_ns += round(TICK_S * 1e9)
        stamp = Time(nanoseconds=self._published_ns).to_msg()
        self._clock_topic.publish(Clock(clock=stamp))
        return stamp

    def _report(self) -> Report:
        session = self._session
        state = 'done' if session.done else 'under way' if session.started else 'waiting'
        return Report(OK, f'episode {state}', {
            'cell': session.scenario.cell, 'seed': session.scenario.seed,
            'time_s': round(session.world.time_s, 2),
            'dropped_s': round(session.dropped_ns / 1e9, 2)})


def _make() -> SimNode:
    node = SimNode()
    if not bring_up(node):
        raise ParameterError('the simulated robot did not come up; the reason is logged above')
    return node


def main() -> None:
    """Run the simulated robot."""
    ensure_gl()
    use_profile('large_images')
    run(_make)


if __name__ == '__main__':
    main()
