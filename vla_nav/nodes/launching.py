"""The graph for ROS's launch system; imported by the launch files only."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from vla_nav.bringup.graph import ARGUMENTS, NodeSpec, graph

_RESPAWN_DELAY_S = 1.0


def describe(kind: str) -> LaunchDescription:
    """Return the launch description of a graph: one of its kinds."""
    # Declared at top level, or `ros2 launch --show-args` would not list them.
    declared = [DeclareLaunchArgument(
        argument.name, default_value=argument.default, description=argument.description,
        **({'choices': list(argument.choices)} if argument.choices else {}))
        for argument in ARGUMENTS[kind]]

    def start(context: LaunchContext) -> list[Any]:
        values = {a.name: context.launch_configurations[a.name] for a in ARGUMENTS[kind]}
        respawn = values['use_respawn'] == 'true'
        instruction_file = Path(tempfile.mkdtemp(prefix='vla_nav_')) / 'instruction.txt'
        return [_action(node, respawn) for node in graph(kind, values, str(instruction_file))]

    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def _action(node: NodeSpec, respawn: bool) -> Node:
    parameters: list[Any] = [node.params_file] if node.params_file else []
    if node.parameters:
        parameters.append(dict(node.parameters))
    return Node(
        package=node.package, executable=node.executable, name=node.name,
        namespace=node.namespace, parameters=parameters, remappings=list(node.remappings),
        arguments=[*node.arguments, '--ros-args', '--log-level', node.log_level], output='screen',
        respawn=respawn and not node.may_finish, respawn_delay=_RESPAWN_DELAY_S)
