"""What is known of a run while it goes on: plain values, without ROS."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from vla_nav.monitoring.boxes import Box

Velocity = tuple[float, float, float]


@dataclass
class RunState:
    """The newest of everything, and what has to be counted.

    ``camera`` and ``top`` hold encoded pictures; ``path`` the robot's (x, y, yaw) in the world
    frame; ``nodes`` each node's newest diagnostics; ``boxes`` what the detector sees in the
    camera's picture, ``obstacles`` where that is in the base frame.
    """

    task_state: str = ''
    instruction: str = ''
    reading: str = ''
    velocity: Velocity = (0.0, 0.0, 0.0)
    guard: str = ''
    camera: bytes = b''
    top: bytes = b''
    scene: dict[str, Any] = field(default_factory=dict)
    path: list[Velocity] = field(default_factory=list)
    outcome: dict[str, Any] | None = None
    nodes: dict[str, dict[str, str]] = field(default_factory=dict)
    boxes: list[Box] = field(default_factory=list)
    obstacles: list[tuple[float, float]] = field(default_factory=list)
    messages: Counter[str] = field(default_factory=Counter)
    commands: int = 0
    moving_commands: int = 0
    driven_m: float = 0.0

    @property
    def ready(self) -> bool:
        """Tell whether pictures come and the guard is there."""
        return bool(self.guard and self.camera)

    def take_velocity(self, velocity: Velocity) -> None:
        """Note a command that the guard has sent."""
        self.velocity = velocity
        self.commands += 1
        self.moving_commands += any(velocity)

    @property
    def detector(self) -> str:
        """Return the detector's figures in a line; '' where none runs."""
        if 'detector' not in self.nodes:
            return ''
        if self.figure('detector', 'level') != 'ok':
            return self.figure('detector', 'message')
        return (f'{self.figure("detector", "detector_hz")} Hz  '
                f'{self.figure("detector", "boxes")} boxes  '
                f'{self.figure("detector", "look_p50_ms") or "-"} ms')

    def take_pose(self, pose: Velocity) -> None:
        """Append a pose to the path, if the robot has moved or turned visibly."""
        if self.path:
            moved = math.dist(pose[:2], self.path[-1][:2])
            if moved < 0.01 and abs(pose[2] - self.path[-1][2]) < 0.02:
                return
            self.driven_m += moved
        self.path.append(pose)

    def figure(self, node: str, key: str) -> str:
        """Return one figure of a node's diagnostics, '' if it has none."""
        return self.nodes.get(node, {}).get(key, '')
