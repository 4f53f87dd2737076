"""The graph on a robot that has a camera driver and a base of its own."""

from launch import LaunchDescription
from vla_nav.nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    return describe('robot')
