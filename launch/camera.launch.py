"""The graph with the package's own camera node: webcam, video, folder or donkeycar tub."""

from launch import LaunchDescription
from vla_nav.nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    return describe('camera')
