"""Drives judged episodes through the real graph: simulated robot, policy, guard, over DDS."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_nav.bringup.graph import command_line, graph
from vla_nav.nodes.running import LATCHED
from vla_nav.nodes.trial_graph import TrialGraph

_EVERY = QoSProfile(depth=50)
# A robot that has not moved by then does not mean to.
START_WITHIN_S = 10.0
# Real time beyond the scenario's own limit, for a machine under load.
_EXTRA_S = 30.0


@dataclass
class Drive:
    """One episode: the judge's outcome (None where the robot never moved), and the way.

    ``velocities`` are (vx, vy, wz) as measured, every 0.1 s; ``task_state`` the policy's last.
    """

    outcome: dict[str, Any] | None = None
    velocities: list[tuple[float, ...]] = field(default_factory=list)
    task_state: str = ''


class EpisodeClient:
    """One graph for all episodes; a context manager that leaves nothing behind."""

    def __init__(self, policy: str, log_dir: Path) -> None:
        """Prepare a graph with a bundle's policy, or with the expert in its place."""
        self._expert = policy == 'expert'
        given = {'driver': 'expert'} if self._expert else {'policy': policy}
        self._trial = TrialGraph(
            {node.name: ['-m', f'vla_nav.nodes.{node.executable}', *command_line(node)]
             for node in graph('sim', given)}, log_dir)
        self._drive = Drive()
        self._started = False

    def __enter__(self) -> EpisodeClient:
        """Start the graph and wait until it is up."""
        trial = self._trial.__enter__()
        try:
            trial.listen(String, 'sim/outcome', self._on_outcome, _EVERY)
            trial.listen(String, 'sim/ground_truth', self._on_truth, _EVERY)
            trial.listen(String, 'policy/task_state', self._on_state, LATCHED)
            self._instruction = trial.node.create_publisher(String, 'instruction', 10)
            self._set = trial.node.create_client(SetParameters, 'sim/set_parameters')
            self._reset = trial.node.create_client(Trigger, 'sim/reset')
            trial.wait(lambda: self._reset.service_is_ready() and self._set.service_is_ready()
                       and bool(self._drive.velocities), 'the simulated robot is up')
            trial.wait(lambda: self._expert or bool(
                self._drive.task_state and self._instruction.get_subscription_count()),
                'the policy is up')
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End the graph."""
        self._trial.__exit__(*error)

    def drive(self, scene: Mapping[str, str | int], instruction: str,
              time_limit_s: float) -> Drive:
        """Drive one episode; ``scene`` holds the parameters cell, seed and split."""
        if not self._expert:
            self._instruction.publish(String(data=''))
            self._trial.wait(lambda: self._drive.task_state == 'idle', 'the policy is idle')
        wanted = [Parameter(name, value=value).to_parameter_msg()
                  for name, value in scene.items()]
        self._call(self._set, SetParameters.Request(parameters=wanted))
        with self._trial.lock:
            self._drive, self._started = Drive(), False
        answer = self._call(self._reset, Trigger.Request())
        if not answer.success:
            raise RuntimeError(f'the simulated robot refuses {dict(scene)}: {answer.message}')
        if not self._expert:
            self._instruction.publish(String(data=instruction))
        begun = time.monotonic()
        with self._trial.lock:
            while self._drive.outcome is None:
                waited = time.monotonic() - begun
                if waited > time_limit_s + _EXTRA_S or (
                        not self._started and waited > START_WITHIN_S):
                    break
                self._trial.lock.wait(0.1)
            return self._drive

    def _call(self, client: Any, request: Any) -> Any:
        future = client.call_async(request)
        self._trial.wait(future.done, f'{client.srv_name} answers')
        return future.result()

    def _on_outcome(self, message: String, at: int) -> None:
        self._drive.outcome = json.loads(message.data)

    def _on_truth(self, message: String, at: int) -> None:
        truth = json.loads(message.data)
        self._started = truth['started']
        self._drive.velocities.append(tuple(truth['velocity']))

    def _on_state(self, message: String, at: int) -> None:
        self._drive.task_state = message.data
