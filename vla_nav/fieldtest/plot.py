"""Each take over time: who had the robot, and when and why it stood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vla_nav.control.guard import Reason
from vla_nav.evaluation.png import to_png
from vla_nav.fieldtest.take import UNREADABLE

# Colours that are told apart by people who see red and green alike (Okabe and Ito).
_COLOURS = {
    Reason.POLICY: '#56b4e9', Reason.TELEOP: '#cc79a7', Reason.NO_COMMAND: '#e3e8eb',
    Reason.HELD: '#b8c2c9', Reason.E_STOP: '#000000', Reason.CAMERA_LOST: '#d55e00',
    Reason.OBSERVATION_OLD: '#e69f00', Reason.POLICY_STOPPED: '#f0e442',
    Reason.NOT_FINITE: '#7b3294', Reason.STAMP_AHEAD: '#009e73',
    Reason.OBSTACLE: '#0072b2', Reason.OBSTACLES_LOST: '#a6611a'}
_BY_NAME = {reason.value: colour for reason, colour in _COLOURS.items()}
_UNKNOWN = '#a33333'
# More rows than this nobody reads on one page.
MOST = 100


def timeline(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw the guard's states of each take, and its latency beside it; PNG."""
    shown = [row for row in rows if row['kind'] != UNREADABLE][:MOST]
    figure = Figure(figsize=(11, 1.4 + 0.24 * max(1, len(shown))), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    seen: dict[str, str] = {}
    for number, row in enumerate(shown):
        left.barh(number, row['seconds'], color='none', edgecolor='#c8d1d7', lw=0.6)
        for one in row['guard']:
            colour = seen[one['reason']] = _BY_NAME.get(one['reason'], _UNKNOWN)
            left.barh(number, one['seconds'], left=one['at_s'], color=colour, height=0.7)
        latency = row['latency_ms'].get('picture to cmd_vel')
        if latency:
            right.plot([latency['p50'], latency['p99']], [number] * 2, '-', color='#7a8791')
            right.plot(latency['p50'], number, 'o', color='#0072b2', markersize=4)
            right.plot(latency['p99'], number, '|', color='#d55e00', markersize=9)
    left.set_yticks(np.arange(len(shown)), [_label(row) for row in shown], fontsize=7)
    left.set_ylim(len(shown) - 0.4, -0.6)
    left.set_xlabel('s since the take began', fontsize=8)
    right.set_xlabel('picture to cmd_vel, ms: p50, p99', fontsize=8)
    right.set_xlim(left=0)
    for axes in (left, right):
        axes.tick_params(axis='x', labelsize=8)
        axes.grid(axis='x', alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
    right.tick_params(axis='y', labelleft=False)
    figure.legend(handles=[Patch(color=colour, label=reason) for reason, colour in seen.items()],
                  loc='outside upper left', ncols=6, fontsize=8, frameon=False)
    return to_png(figure, 100)


def _label(row: Mapping[str, Any]) -> str:
    return f'{row["take"]}  {row["kind"]}, {row["result"]}'
