"""The graph with the simulated robot."""

from launch import LaunchDescription
from vla_nav.nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    return describe('sim')
