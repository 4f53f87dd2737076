"""The graph on a recorded bag, with its time; nothing moves."""

from launch import LaunchDescription
from vla_nav.nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    return describe('replay')
