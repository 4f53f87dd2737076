"""Driving by keyboard: a person goes before the policy."""

from __future__ import annotations

import sys

from geometry_msgs.msg import Twist
from pydantic import BaseModel, ConfigDict, Field
from rclpy.node import Node
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from vla_nav.control.keyboard import HELP, Keyboard, Wish
from vla_nav.nodes.parameters import Parameters
from vla_nav.nodes.running import COMMAND, LATCHED, run, steady_ns, steady_timer
from vla_nav.nodes.terminal import Keys

_PERIOD_S = 0.05


class TeleopParameters(BaseModel):
    """How fast the keys drive."""

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    speed: float = Field(0.3, ge=0.01, le=5.0, description='Linear speed at the start, m/s.')
    turn: float = Field(0.8, ge=0.01, le=10.0, description='Turning speed at the start, rad/s.')


class TeleopNode(Node):
    """Reads keys from the terminal and publishes while it has control."""

    def __init__(self) -> None:
        """Take the terminal over; :meth:`goodbye` gives it back."""
        super().__init__('teleop')
        settings = Parameters(self, TeleopParameters).value
        self._keyboard = Keyboard(settings.speed, settings.turn)
        self._reason = 'no guard yet'
        self._velocity = self.create_publisher(Twist, 'cmd_vel_teleop', COMMAND)
        self._e_stop = self.create_publisher(Bool, 'e_stop', 10)
        self._release = self.create_client(Trigger, 'guard/release')
        self.create_subscription(String, 'guard/state', self._on_guard, LATCHED)
        steady_timer(self, _PERIOD_S, self._tick)
        self.finished = False
        self._keys = Keys()
        self._keys.take()
        print(HELP)

    def goodbye(self) -> None:
        """Stop what the keys have set in motion, and restore the terminal."""
        self._keys.close()
        if self._keyboard.has_control:
            self._velocity.publish(Twist())
        print()

    def _on_guard(self, message: String) -> None:
        self._reason = message.data

    def _tick(self) -> None:
        pressed = self._keys.pressed()
        if pressed is None:
            self.finished = True  # the terminal has gone
            return
        for key in pressed:
            self._obey(self._keyboard.press(key, steady_ns()))
        velocity = self._keyboard.velocity(steady_ns())
        if velocity is not None:
            twist = Twist()
            twist.linear.x, twist.linear.y, twist.angular.z = velocity
            self._velocity.publish(twist)
        control = 'you drive' if self._keyboard.has_control else 'the policy drives'
        print(f'\r\033[K{control} · {self._keyboard.speed:.2f} m/s · '
              f'{self._keyboard.turn:.2f} rad/s · guard: {self._reason}', end='', flush=True)

    def _obey(self, wish: Wish) -> None:
        if wish is Wish.E_STOP:
            # A key is a button pressed and let go; the guard latches.
            self._e_stop.publish(Bool(data=True))
            self._e_stop.publish(Bool(data=False))
        elif wish is Wish.RELEASE:
            self._release.call_async(Trigger.Request())


def main(arguments: list[str] | None = None) -> None:
    """Run the teleop node in a terminal."""
    if not sys.stdin.isatty():
        sys.exit('error: teleop reads keys, so it needs a terminal of its own')
    run(TeleopNode, arguments)


if __name__ == '__main__':
    main()
