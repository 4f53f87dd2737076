"""Markers for RViz: the robot's footprint and reach in the colour of the guard, and its words."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, Vector3
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from vla_nav.monitoring.zones import colour

_ON_FLOOR_M, _ABOVE_M, _LETTER_M = 0.01, 1.0, 0.12


def robot_markers(frame: str, guard: str, words: str, radius: float,
                  way: NDArray[np.float64]) -> MarkerArray:
    """Return the markers in the base's ``frame``; ``way`` [N, 2] leads to where it can come."""
    red, green, blue = colour(guard)
    footprint = _marker(frame, 'footprint', Marker.CYLINDER)
    footprint.scale = Vector3(x=2 * radius, y=2 * radius, z=_ON_FLOOR_M)
    footprint.color = ColorRGBA(r=red, g=green, b=blue, a=0.6)
    swept = _marker(frame, 'reach', Marker.LINE_STRIP)
    swept.scale.x = 2 * radius
    swept.color = ColorRGBA(r=red, g=green, b=blue, a=0.25)
    swept.points = [Point(x=float(x), y=float(y), z=_ON_FLOOR_M) for x, y in way]
    text = _marker(frame, 'state', Marker.TEXT_VIEW_FACING)
    text.pose.position.z, text.scale.z, text.text = _ABOVE_M, _LETTER_M, words
    text.color = ColorRGBA(r=red, g=green, b=blue, a=1.0)
    return MarkerArray(markers=[footprint, swept, text])


def _marker(frame: str, namespace: str, kind: int) -> Marker:
    # Stamp 0 is "wherever the frame is now": markers stick to the robot between two updates.
    marker = Marker(ns=namespace, type=kind, action=Marker.ADD)
    marker.header.frame_id, marker.pose.orientation.w = frame, 1.0
    return marker
