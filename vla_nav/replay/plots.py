"""Pictures of a replay: commands over time with the guard's stops, and single moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vla_nav.contracts import ActionChunk, PolicySpec
from vla_nav.control.chunk_poses import chunk_poses
from vla_nav.evaluation.png import to_png
from vla_nav.replay.figures import Compared
from vla_nav.replay.run import Replayed

_DRIVEN, _POLICY, _EXECUTED, _STOP = '#7a8791', '#0072b2', '#e69f00', '#d55e00'
# More points than a page has pixels only make it slow.
_POINTS = 2400
_UNITS = {'linear_x': 'm/s ahead', 'linear_y': 'm/s left', 'angular_z': 'rad/s left'}


def over_time(found: Replayed, compared: Compared, spec: PolicySpec,
              stops: Sequence[dict[str, Any]]) -> bytes:
    """Draw each axis as driven, as proposed and as the guard lets it through; ages below; PNG."""
    names = spec.action_space.names
    figure = Figure(figsize=(11, 1.9 * (len(names) + 1)), layout='constrained')
    plots = figure.subplots(len(names) + 1, 1, sharex=True)
    rows = compared.rows[_thinned(len(compared.rows))]
    wanted = compared.wanted[_thinned(len(compared.rows))]
    seconds = (rows['arrival'] - found.began_ns) / 1e9
    for axis, (axes, name) in enumerate(zip(plots, names)):
        for values, colour, label, width in (
                (wanted[:, axis], _DRIVEN, 'driven', 1.8),
                (rows['chunk'][:, 0, axis], _POLICY, 'policy', 0.8),
                (rows['executed'][:, axis], _EXECUTED, 'executed and guarded', 0.8)):
            axes.plot(seconds, values, color=colour, lw=width, label=label)
        axes.set_ylabel(_UNITS[name], fontsize=8)
    plots[0].legend(fontsize=8, ncols=3, loc='upper right')
    pictures = found.pictures.read()
    pictures = pictures[_thinned(len(pictures))]
    plots[-1].plot((pictures['arrival'] - found.began_ns) / 1e9,
                   (pictures['arrival'] - pictures['stamp']) / 1e6, color=_DRIVEN, lw=0.8)
    plots[-1].set_ylabel('picture age on arrival, ms', fontsize=8)
    plots[-1].set_xlabel('s since the start of the recording; red: the guard would have stopped',
                         fontsize=8)
    for axes in plots:
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=8)
        for stop in stops[:200]:
            axes.axvspan(stop['at_s'], stop['at_s'] + max(stop['seconds'], 0.02), color=_STOP,
                         alpha=0.18, lw=0)
    return to_png(figure, 80)


def error_bars(errors: dict[str, Any]) -> bytes:
    """Draw the joint mean absolute errors of all predictors with their intervals; PNG."""
    names = list(errors['mae'])
    figure = Figure(figsize=(7.2, 0.9 + 0.28 * len(names)), layout='constrained')
    axes = figure.subplots()
    values = np.array([errors['mae'][name]['value'] for name in names])
    bounds = np.array([[value if (bound := errors['mae'][name][side]) is None else bound
                        for name, value in zip(names, values)] for side in ('low', 'high')])
    axes.barh(range(len(names)), values, color=[_POLICY if name.startswith('policy') else '#c8d1d7'
                                                for name in names])
    axes.errorbar(values, range(len(names)), fmt='none', ecolor='#24323d', capsize=2,
                  xerr=np.maximum(0, [values - bounds[0], bounds[1] - values]))
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel('mean absolute error over all axes, m/s and rad/s', fontsize=8)
    axes.spines[['top', 'right']].set_visible(False)
    return to_png(figure, 90)


def moment(image: NDArray[np.uint8], row: Any, driven: NDArray[np.float32],
           spec: PolicySpec) -> bytes:
    """Draw a picture beside where the policy's chunk and what was driven lead from there; PNG.

    ``driven`` [K, A] are the commands at the times of the chunk's rows, as far as there are any.
    """
    figure = Figure(figsize=(7.4, 2.6), layout='constrained')
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    left.imshow(image)
    left.axis('off')
    for velocities, colour, label in ((driven, _DRIVEN, 'driven'), (row['chunk'], _POLICY,
                                                                    'policy')):
        _draw_path(right, velocities, colour, label, spec)
    right.set_aspect('equal', adjustable='datalim')
    right.set(xlabel='m to the left', ylabel='m ahead')
    right.xaxis.set_inverted(True)
    right.grid(alpha=0.25)
    right.legend(fontsize=7)
    right.tick_params(labelsize=7)
    return to_png(figure, 80)


def _draw_path(axes: Axes, velocities: NDArray[np.float32], colour: str, label: str,
               spec: PolicySpec) -> None:
    chunk = ActionChunk(velocities, spec.step_ns, 0)
    poses = [(0.0, 0.0, 0.0), *chunk_poses(chunk, spec.action_space)]
    axes.plot([y for _, y, _ in poses], [x for x, _, _ in poses], 'o-', markersize=3,
              color=colour, label=label)


def _thinned(count: int) -> slice:
    return slice(None, None, max(1, -(-count // _POINTS)))
