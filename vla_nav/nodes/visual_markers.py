"""Markers for RViz: footprint and reach in the colour of the guard, its words, its zones."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from vla_nav.control.guard import GuardSettings
from vla_nav.control.limits import Velocity
from vla_nav.control.zones import swept, zone_lengths
from vla_nav.monitoring.zones import AMBER, RED, colour

_ON_FLOOR_M, _ABOVE_M, _LETTER_M, _DOT_M = 0.01, 1.0, 0.12, 0.05


def robot_markers(frame: str, guard: str, words: str, radius: float,
                  way: NDArray[np.float64]) -> MarkerArray:
    """Return the markers in the base's ``frame``; ``way`` [N, 2] leads to where it can come."""
    red, green, blue = colour(guard)
    footprint = _marker(frame, 'footprint', Marker.CYLINDER)
    footprint.scale = Vector3(x=2 * radius, y=2 * radius, z=_ON_FLOOR_M)
    footprint.color = ColorRGBA(r=red, g=green, b=blue, a=0.6)
    ahead = _marker(frame, 'reach', Marker.LINE_STRIP)
    ahead.scale.x = 2 * radius
    ahead.color = ColorRGBA(r=red, g=green, b=blue, a=0.25)
    ahead.points = _on_floor(way)
    text = _marker(frame, 'state', Marker.TEXT_VIEW_FACING)
    text.pose.position.z, text.scale.z, text.text = _ABOVE_M, _LETTER_M, words
    text.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
    return MarkerArray(markers=[footprint, ahead, text])


def zone_markers(frame: str, velocity: Velocity, obstacles: NDArray[np.float64],
                 settings: GuardSettings) -> MarkerArray:
    """Return the guard's stop and slow-down zones for ``velocity``, and what counts as obstacle.

    The footprint is swept along the curve; ``obstacles`` [N, 2] are in the base's ``frame``.
    """
    markers = []
    for name, length, tint in zip(
            ('stop', 'slow_down'), zone_lengths(velocity, settings.max_acceleration, settings),
            (RED, AMBER)):
        zone = _marker(frame, name, Marker.LINE_STRIP)
        zone.scale.x = 2 * settings.robot_radius
        zone.color = ColorRGBA(**dict(zip('rgb', tint)), a=0.35)
        zone.points = _on_floor(swept(velocity, length))
        if len(zone.points) < 2:  # at rest there is no strip
            zone.action = Marker.DELETE
        markers.append(zone)
    return MarkerArray(markers=[*markers, obstacle_dots(frame, obstacles)])


def obstacle_dots(frame: str, obstacles: NDArray[np.float64]) -> Marker:
    """Return the obstacles [N, 2] as dots on the ground of ``frame``."""
    dots = _marker(frame, 'obstacles', Marker.SPHERE_LIST)
    dots.scale = Vector3(x=_DOT_M, y=_DOT_M, z=_DOT_M)
    dots.color = ColorRGBA(**dict(zip('rgb', RED)), a=1.0)
    dots.points = _on_floor(obstacles)
    return dots


def _on_floor(points: NDArray[np.float64]) -> list[Point]:
    return [Point(x=float(x), y=float(y), z=_ON_FLOOR_M) for x, y in points]


def _marker(frame: str, namespace: str, kind: int) -> Marker:
    # Stamp 0 is "wherever the frame is now": markers stick to the robot between two updates.
    marker = Marker(ns=namespace, type=kind, action=Marker.ADD)
    marker.header.frame_id, marker.pose.orientation.w = frame, 1.0
    return marker
