"""What the monitor's page shows where."""

from __future__ import annotations

import rerun.blueprint as rrb

from vla_nav.monitoring.entities import BASE, CAMERA
from vla_nav.spaces import AXES

TIMELINE = 'ros_time'
_PLOTS_S, _TRAIL_S = 30.0, 120.0


def page() -> rrb.Blueprint:
    """Return the layout: the picture and the map, the commands, and why the robot does it."""
    plots = _last(_PLOTS_S)
    seen = rrb.Vertical(
        rrb.Spatial2DView(origin=CAMERA, contents=[f'{CAMERA}/**', f'{BASE}/chunk'],
                          name='Camera, boxes, predicted chunk'),
        # The picture stands in the map only where it is known how the camera is mounted.
        rrb.Spatial3DView(origin='odom', name='Way', contents=['odom/**', f'- {CAMERA}/**'],
                          overrides={'odom/trail': _last(_TRAIL_S)}))
    commands = rrb.Vertical(*(
        rrb.TimeSeriesView(origin=f'commands/{axis}', time_ranges=plots, name=axis)
        for axis in AXES))
    figures = rrb.Tabs(*(
        rrb.TimeSeriesView(origin=origin, time_ranges=plots, name=name) for origin, name in (
            ('ages', 'Ages, ms'), ('latency', 'Latency, ms'), ('rates', 'Rates, Hz'))))
    why = rrb.Vertical(
        rrb.TextDocumentView(origin='task', name='Task'),
        rrb.StateTimelineView(origin='states', name='Task and guard'),
        figures, rrb.TextLogView(origin='log', name='Diagnostics'), row_shares=[2, 2, 3, 2])
    return rrb.Blueprint(rrb.Horizontal(seen, commands, why, column_shares=[4, 3, 4]),
                         rrb.TimePanel(timeline=TIMELINE, state='collapsed',
                                       play_state='following'),
                         collapse_panels=True)


def _last(seconds: float) -> rrb.VisibleTimeRanges:
    return rrb.VisibleTimeRanges(rrb.VisibleTimeRange(
        TIMELINE, start=rrb.TimeRangeBoundary.cursor_relative(seconds=-seconds),
        end=rrb.TimeRangeBoundary.cursor_relative()))
