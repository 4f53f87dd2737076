"""The policy as a node: pictures and an instruction in, proposed velocities out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Path as PathMessage
from pydantic import Field
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.time import Time
from std_msgs.msg import Float32, String
from std_srvs.srv import SetBool, Trigger

from vla_nav.contracts import ActionChunk, Frame, PolicySpec
from vla_nav.control.diagnostics import OnChange, Rate
from vla_nav.control.follower import ChunkFollower
from vla_nav.control.limits import Velocity
from vla_nav.control.pace import too_slow
from vla_nav.control.task import Task, TaskSettings, TaskState
from vla_nav.nodes.chunk_path import chunk_path
from vla_nav.nodes.parameters import Parameters
from vla_nav.nodes.pictures import PictureInput
from vla_nav.nodes.reporting import ERROR, OK, WARN, Report, Reporter, why_not_loaded
from vla_nav.nodes.running import (
    COMMAND,
    LATCHED,
    SENSOR,
    bring_up,
    now_ns,
    run,
    stamp_to_ns,
    steady_ns,
    steady_timer,
)
from vla_nav.nodes.seeing import READ_ONLY, SeeingParameters
from vla_nav.nodes.thinker import Thinker
from vla_nav.observations.messages import choose_decoder, frame_from_message, velocity_of
from vla_nav.runtimes import Runtime, load_policy

# A camera whose clock is further away than this is on another clock.
_CLOCK_OFFSET_NS = 1_000_000_000
# Every start waits a little; a camera that is silent for longer has a reason.
_SILENT_NS = 2_000_000_000


class PolicyParameters(TaskSettings, SeeingParameters):
    """What a policy node can be told."""

    bundle: str = Field('', description='Directory of the policy bundle.',
                        json_schema_extra=READ_ONLY)
    runtime: Runtime = Field('auto', description='What runs the network: onnx, openvino, eager, '
                             "compile or torchscript; auto is the bundle's own.",
                             json_schema_extra=READ_ONLY)
    instruction: str = Field('', description='What to do; empty waits for the topic '
                             '"instruction".')
    instruction_file: str = Field('', description='File that keeps the newest instruction over '
                                  'a respawn; use a new one for each run. Empty keeps nothing.',
                                  json_schema_extra=READ_ONLY)
    model_delay: float = Field(0.0, ge=0.0, le=4.0, description='Seconds that a slow model is '
                               'known to think, as the guard was told; more is reported.',
                               json_schema_extra=READ_ONLY)
    speed_cap: float = Field(10.0, ge=0.0, le=10.0, description='What the guard allows a slow '
                             'model, m/s: with a model_delay, chunks are driven along the same '
                             'way at this speed at most.', json_schema_extra=READ_ONLY)
    stamped_cmd_vel: bool = Field(False, description='cmd_vel, from which a slow model learns '
                                  'what was really driven, is TwistStamped instead of Twist.',
                                  json_schema_extra=READ_ONLY)
    base_frame: str = Field('base_link', description='Frame of the velocities.',
                            json_schema_extra=READ_ONLY)


class PolicyNode(LifecycleNode):
    """Hands pictures to the thinking thread, and sends the task's command when one is due."""

    def __init__(self) -> None:
        """Declare the parameters; the rest comes with the transitions."""
        super().__init__('policy')
        self._config = Parameters(self, PolicyParameters)
        self._config.on_change(self._apply)
        self._thinker: Thinker | None = None
        self._follower: ChunkFollower | None = None
        self._pictures: PictureInput | None = None
        self._timer: Any = None
        self._error = ''
        self._clock_offset_ns = self._activated_ns = self._sent_ns = 0
        self._image_rate = Rate()
        self._state_change, self._instruction_change = OnChange(), OnChange()
        self._command = self.create_publisher(TwistStamped, 'cmd_vel_policy', COMMAND)
        self._uncertainty = self.create_publisher(Float32, 'policy_uncertainty', COMMAND)
        self._chunk = self.create_publisher(PathMessage, '~/action_chunk', COMMAND)
        self._state = self.create_publisher(String, '~/task_state', LATCHED)
        self._active = self.create_publisher(String, '~/active_instruction', LATCHED)
        self.create_subscription(String, 'instruction', self._on_instruction, 10)
        settings = self._config.value
        if settings.model_delay:
            self.create_subscription(TwistStamped if settings.stamped_cmd_vel else Twist,
                                     'cmd_vel', self._on_driven, SENSOR)
        self.create_service(SetBool, '~/enable', self._on_enable)
        self.create_service(Trigger, '~/reset', self._on_reset)
        Reporter(self, self._report)
        if settings.autostart:
            bring_up(self)

    # -- lifecycle -----------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the policy; where that fails, stay unconfigured and say why."""
        settings = self._config.value
        try:
            policy = load_policy(settings.bundle, settings.provider, settings.threads,
                                 settings.runtime)
            self._decoder = choose_decoder(settings.decoder)
        except Exception as error:  # whatever it is, it belongs into the diagnostics
            self._error = why_not_loaded(settings.bundle, error)
            return TransitionCallbackReturn.FAILURE
        self._error = ''
        self._spec: PolicySpec = policy.spec
        self._follower = ChunkFollower(self._spec.action_space, settings.speed_cap,
                                       settings.blend_decay) if settings.model_delay else None
        self._thinker = Thinker(policy, Task.of(self._spec, settings, self._follower),
                                self._decode, self._on_thought)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Look and drive."""
        assert self._thinker is not None
        settings = self._config.value
        self._pictures = PictureInput(self, 'camera/image_raw', settings.image_transport,
                                      self._on_picture)
        self._timer = steady_timer(self, 1.0 / settings.command_rate, self._on_timer)
        self._activated_ns = steady_ns()
        self._thinker.instruct(self._remembered())
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, and look no more."""
        assert self._thinker is not None and self._pictures is not None
        self._thinker.instruct('')
        self._stop()
        self.destroy_timer(self._timer)
        self._pictures.close()
        self._pictures = None
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the policy."""
        self._end_thinking()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop for good."""
        self.goodbye()
        return TransitionCallbackReturn.SUCCESS

    def goodbye(self) -> None:
        """Stop the robot before the process ends."""
        self._end_thinking()
        self._stop()

    # -- inputs --------------------------------------------------------------------------

    def _on_picture(self, message: Any, changed: bool) -> None:
        thinker, settings = self._thinker, self._config.value
        assert thinker is not None
        now, steady = now_ns(self), steady_ns()
        stamp_ns = stamp_to_ns(message.header.stamp)
        self._clock_offset_ns = now - stamp_ns
        if settings.stamp_source == 'arrival':
            stamp_ns = now
        self._image_rate.tick(steady)
        with thinker.lock:
            wanted = thinker.task.see(changed, stamp_ns, steady)
        if wanted:
            thinker.show(message, stamp_ns)

    def _on_instruction(self, message: String) -> None:
        if self._thinker is None or self._pictures is None:
            self.get_logger().warning(f'instruction "{message.data}" ignored: not active')
            return
        self._instruct(message.data)

    def _on_driven(self, message: Any) -> None:
        """Note what the guard made of the commands."""
        if self._thinker is not None and self._follower is not None:
            with self._thinker.lock:
                self._follower.drove(Velocity(*velocity_of(message)), now_ns(self))

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response
                   ) -> SetBool.Response:
        response.success = self._thinker is not None
        response.message = self._error
        if self._thinker is not None:
            with self._thinker.lock:
                self._thinker.task.enable(request.data)
            response.message = 'enabled' if request.data else 'disabled'
            self._publish_command()
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response
                  ) -> Trigger.Response:
        """Begin the active instruction afresh."""
        response.success = self._thinker is not None and self._pictures is not None
        response.message = self._error
        if self._thinker is not None and response.success:
            response.message = self._thinker.task.instruction or 'no instruction'
            self._instruct(self._thinker.task.instruction)
        return response

    def _apply(self, settings: PolicyParameters) -> None:
        if self._thinker is None:
            return
        with self._thinker.lock:
            self._thinker.task.executor.decay = settings.blend_decay
        if settings.instruction != self._config.value.instruction:
            self._instruct(settings.instruction)

    def _instruct(self, text: str) -> None:
        assert self._thinker is not None
        self._remember(text)
        self._thinker.instruct(text)

    def _decode(self, message: Any, stamp_ns: int) -> Frame:
        frame = frame_from_message(message, self._decoder, self._spec.image_height,
                                   self._spec.image_width)
        return replace(frame, stamp_ns=stamp_ns)

    # -- outputs -------------------------------------------------------------------------

    def _on_thought(self, chunk: ActionChunk | None) -> None:
        """Send the news at once; runs in the thinking thread."""
        if chunk is not None and chunk.uncertainty is not None:
            self._uncertainty.publish(Float32(data=chunk.uncertainty))
        self._publish_command()
        if chunk is not None and self._chunk.get_subscription_count():
            self._chunk.publish(chunk_path(chunk, self._spec.action_space,
                                           self._config.value.base_frame))

    def _on_timer(self) -> None:
        """Send what is due now, unless a picture has just made us do so."""
        if steady_ns() - self._sent_ns >= 0.9e9 / self._config.value.command_rate:
            self._publish_command()

    def _publish_command(self) -> None:
        """Send what is due now."""
        thinker = self._thinker
        if thinker is None:
            return
        with thinker.lock:
            task, steady = thinker.task, steady_ns()
            self._sent_ns = steady
            state, _ = task.state(steady)
            command = task.due(now_ns(self), steady)
            if command is not None:
                self._send(self._spec.action_space.to_twist(command.velocity), command.stamp_ns)
            if self._state_change.changed(state):
                self._state.publish(String(data=state.value))
                if state is TaskState.ARRIVED:
                    self._remember('')
            if self._instruction_change.changed(task.instruction):
                self._active.publish(String(data=task.instruction))

    def _stop(self) -> None:
        self._send((0.0, 0.0, 0.0), 0)

    def _send(self, twist: tuple[float, float, float], stamp_ns: int) -> None:
        message = TwistStamped()
        message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        message.header.frame_id = self._config.value.base_frame
        message.twist.linear.x, message.twist.linear.y, message.twist.angular.z = twist
        self._command.publish(message)

    def _end_thinking(self) -> None:
        if self._thinker is not None:
            self._thinker.end()
            self._thinker = self._follower = None

    # -- memory over a respawn -----------------------------------------------------------

    def _remember(self, instruction: str) -> None:
        if self._config.value.instruction_file:
            path = Path(self._config.value.instruction_file)
            fresh = path.with_name(f'{path.name}.new')
            fresh.write_text(instruction, encoding='utf-8')
            fresh.replace(path)

    def _remembered(self) -> str:
        settings = self._config.value
        path = Path(settings.instruction_file or '.')
        return path.read_text(encoding='utf-8') if path.is_file() else settings.instruction

    # -- diagnosis -----------------------------------------------------------------------

    def _report(self) -> Report:
        thinker, pictures = self._thinker, self._pictures
        if thinker is None or pictures is None:
            return (Report(ERROR, self._error) if self._error
                    else Report(WARN, 'not active'))
        steady = steady_ns()
        with thinker.lock:
            state, why = thinker.task.state(steady)
            silence_ns = thinker.task.watch.silence_ns(steady)
            instruction, reading = thinker.task.instruction, thinker.task.reading
        level, message, kind = OK, state.value, ''
        if state in (TaskState.STOPPED, TaskState.NOT_UNDERSTOOD):
            level, message = ERROR, f'{state.value}: {why}'
        waited_ns = steady - self._activated_ns if silence_ns is None else silence_ns
        if waited_ns > _SILENT_NS:
            level, message, kind = ERROR, pictures.why_silent(waited_ns), 'silent'
        elif thinker.trouble:
            level, message = ERROR, thinker.trouble
        elif (abs(self._clock_offset_ns) > _CLOCK_OFFSET_NS
              and self._config.value.stamp_source == 'header'):
            level, kind, message = ERROR, 'clock', (
                f"the camera's stamps are {self._clock_offset_ns / 1e9:.1f} s behind ROS time; "
                'set stamp_source: arrival, or the same use_sim_time everywhere')
        elif state is TaskState.DRIVING and (slow := self._slowness(thinker, steady)):
            level, message, kind = WARN, slow, 'slow'
        elif state is TaskState.DRIVING and self._is_deaf(thinker):
            level, kind, message = WARN, 'deaf', (
                'nothing comes on cmd_vel, so that what the guard changes is not made up for; '
                'check cmd_vel_topic and stamped_cmd_vel')
        return Report(level, message, kind=kind, values={
            'policy': self._spec.name,
            'runtime': self._spec.runtime, 'provider': self._spec.provider,
            'provider_fallback': self._spec.fallback,
            'instruction': instruction, 'understood_as': reading,
            'camera_hz': round(self._image_rate.per_second(steady), 1),
            'inference_hz': round(thinker.rate.per_second(steady), 1),
            'dropped': thinker.dropped, 'undecodable': thinker.undecodable,
            **{f'decode_{k}_ms': v for k, v in thinker.decoding.milliseconds().items()},
            **{f'inference_{k}_ms': v for k, v in thinker.inference.milliseconds().items()},
        })

    def _slowness(self, thinker: Thinker, steady: int) -> str:
        """Return why the robot stops between thoughts; '' where it does not."""
        # One that hangs has not given a figure yet.
        thinking_s = max(thinker.thinking_s(), thinker.busy_ns(steady) * 1e-9)
        rate = self._image_rate.per_second(steady)
        with thinker.lock:
            reach_s = thinker.task.executor.reach_s
        return too_slow(self._spec, thinking_s, 1.0 / rate if rate else 0.0,
                        self._config.value.model_delay, reach_s)

    def _is_deaf(self, thinker: Thinker) -> bool:
        with thinker.lock:
            return self._follower is not None and not self._follower.hears(now_ns(self))


def main() -> None:
    """Run the policy node."""
    run(PolicyNode)


if __name__ == '__main__':
    main()
