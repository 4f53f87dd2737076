"""Pictures for the evaluation page: bars with intervals, filmstrips, driven paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon
from numpy.typing import NDArray

from vla_nav.evaluation.png import to_png
from vla_nav.simulation.layout import (
    GOAL_RADIUS_M,
    PERSON_RADIUS_M,
    ROBOT_RADIUS_M,
    Block,
    Scenario,
    rotate,
)

matplotlib.use('Agg')
_DPI = 110
INK, DRIVEN, WANTED = '#24323d', '#0072b2', '#009e73'


def rate_bars(groups: Mapping[str, Mapping[str, Any]], title: str) -> bytes:
    """Draw success by group with Wilson intervals, as :func:`records.rate` gives them; PNG."""
    names = list(groups)
    shares = np.array([groups[name]['rate'] or 0.0 for name in names])
    bounds = np.array([groups[name]['ci95'] for name in names])
    figure = Figure(figsize=(7.2, 0.9 + 0.24 * len(names)), layout='constrained')
    axes = figure.subplots()
    rows = np.arange(len(names))
    axes.barh(rows, shares, color='#9ecae1', edgecolor=INK, linewidth=0.4)
    # Rounding may leave the share a hair outside of its interval; an error bar must not be < 0.
    axes.errorbar(shares, rows, xerr=np.maximum(0, [shares - bounds[:, 0], bounds[:, 1] - shares]),
                  fmt='none', ecolor=INK, elinewidth=1, capsize=2)
    axes.set_yticks(rows, [f'{name} (n={groups[name]["n"]})' for name in names], fontsize=8)
    axes.set(xlim=(0, 1.02), xlabel='success, Wilson 95 % interval')
    axes.set_title(title, loc='left', fontsize=10)
    axes.invert_yaxis()
    axes.spines[['top', 'right']].set_visible(False)
    return to_png(figure, _DPI)


def top_view(scenario: Scenario, poses: NDArray[np.float64], title: str,
             person: NDArray[np.float64] | None = None) -> bytes:
    """Draw the scene from above with the path driven, ``poses`` [T, 3] in the world; PNG.

    ``person`` [T, 2] is where the person walked, if there is one.
    """
    figure = Figure(figsize=(4.6, 3.6), layout='constrained')
    axes = figure.subplots()
    for block in scenario.blocks:
        if block.role != 'wall':
            draw_block(axes, block)
    for index, thing in enumerate(scenario.objects):
        if index == scenario.goal_index:
            axes.add_patch(Circle((thing.x, thing.y), GOAL_RADIUS_M, fill=False, ls='--',
                                  ec=WANTED))
        axes.add_patch(Circle((thing.x, thing.y), 0.09, fc=thing.rgb, ec=INK))
        axes.annotate(thing.kind, (thing.x, thing.y), (0, 8), textcoords='offset points',
                      ha='center', fontsize=7)
    if person is not None and len(person):
        axes.plot(person[:, 0], person[:, 1], ':', color='#cc79a7')
        end = float(person[-1, 0]), float(person[-1, 1])
        axes.add_patch(Circle(end, PERSON_RADIUS_M, fc='#cc79a7', alpha=0.6))
    axes.plot(poses[:, 0], poses[:, 1], color=DRIVEN)
    for x, y, yaw in poses[::10]:
        ahead = rotate(0.12, 0.0, yaw)
        axes.plot([x, x + ahead[0]], [y, y + ahead[1]], color=DRIVEN, lw=0.8)
    last = float(poses[-1, 0]), float(poses[-1, 1])
    axes.add_patch(Circle(last, ROBOT_RADIUS_M, fc=DRIVEN, alpha=0.35, ec=DRIVEN))
    axes.set_title(title, loc='left', fontsize=8)
    axes.set_aspect('equal')
    axes.autoscale_view()
    axes.tick_params(labelsize=7)
    return to_png(figure, _DPI)


def filmstrip(frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float]) -> bytes:
    """Lay camera pictures [H, W, 3] side by side, each with its time; PNG."""
    figure = Figure(figsize=(1.75 * len(frames), 1.6), layout='constrained')
    for axes, frame, time_s in zip(np.atleast_1d(figure.subplots(1, len(frames))), frames,
                                   times_s):
        axes.imshow(frame)
        axes.set_title(f'{time_s:.1f} s', fontsize=7)
        axes.axis('off')
    return to_png(figure, _DPI)


def draw_block(axes: Axes, block: Block) -> None:
    """Draw a box from above."""
    corners = [(sx * block.half_x, sy * block.half_y)
               for sx, sy in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    turned = [rotate(x, y, block.yaw) for x, y in corners]
    axes.add_patch(Polygon([(block.x + x, block.y + y) for x, y in turned], fc=block.rgb,
                           ec=INK, alpha=0.9 if block.role == 'box' else 0.5))
