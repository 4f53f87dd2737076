"""What the training episodes' actions are like; kept in the bundle, and what baselines know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.episodes.timing import nearest
from vla_nav.spaces import ActionSpace
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.recordings import Recording, limits_for

# Labels beyond the limits are clipped. A few may be outliers; more means other units.
_BEYOND = 1.02
_BEYOND_SHARE = 0.05
_LONGEST_STEPS = 600
_FIGURES: dict[str, Callable[[NDArray[np.float32]], Any]] = {
    'mean': np.mean, 'median': np.median, 'std': np.std, 'min': np.min, 'max': np.max,
    'q01': partial(np.quantile, q=0.01), 'q99': partial(np.quantile, q=0.99)}


def action_statistics(train: Sequence[Recording], space: ActionSpace,
                      step_ns: int) -> dict[str, Any]:
    """Return statistics of the training recordings' actions, SI units, one value an axis.

    Each axis is of the robots that have it. ``by_step`` is the mean action of each step after the
    start, a finished drive counting as standstill: all that a clock could know.
    """
    axes = [_values(train, axis) for axis in range(space.size)]
    figures: dict[str, Any] = {name: [figure(values) for values in axes]
                               for name, figure in _FIGURES.items()}
    return {'axes': list(space.names), 'step_ns': step_ns, 'episodes': len(train),
            'frames': sum(map(len, train)),
            **{name: np.round(value, 5).tolist()
               for name, value in {**figures, 'by_step': _by_step(train, step_ns)}.items()}}


def check_axes(train: Sequence[Recording], space: ActionSpace) -> None:
    """Raise TrainingError where no training recording is of a robot that has an axis."""
    present = np.any([recording.present for recording in train], axis=0)
    names = [name for name, there in zip(space.names, present) if there]
    if len(names) < space.size:
        lacking = [name for name in space.names if name not in names]
        raise TrainingError(
            f'{train[0].name} and the other {len(train) - 1} training recordings: action_names: '
            f'none has {lacking}, which the policy would drive without having learned to: set '
            f'action.limits={limits_for(names)}, or add recordings of a robot that has it')


def check_limits(train: Sequence[Recording], space: ActionSpace) -> None:
    """Raise TrainingError where many labels lie beyond the action space's limits."""
    for axis, name in enumerate(space.names):
        values = _values(train, axis)
        beyond = (values > _BEYOND * space.high[axis]) | (values < _BEYOND * space.low[axis])
        if beyond.mean() > _BEYOND_SHARE:
            raise TrainingError(
                f'{name}: {beyond.mean():.0%} of the training labels are beyond the limits '
                f'{space.low[axis]:g} to {space.high[axis]:g}, they go from {values.min():.2f} to '
                f'{values.max():.2f}: set action.limits.{name}={np.abs(values).max():.2f} (SI '
                'units; recordings in other units must be converted first)')


def _values(train: Sequence[Recording], axis: int) -> NDArray[np.float32]:
    """Return what was driven along an axis by the robots that have it."""
    return np.concatenate([r.actions[:, axis] for r in train if r.present[axis]])


def _by_step(train: Sequence[Recording], step_ns: int) -> NDArray[np.float64]:
    steps = [min(1 + int((r.stamps_ns[-1] - r.stamps_ns[0]) // step_ns), _LONGEST_STEPS)
             for r in train]
    total = np.zeros((max(steps), train[0].actions.shape[1]))
    for recording, count in zip(train, steps):
        wanted = recording.stamps_ns[0] + step_ns * np.arange(count)
        total[:count] += recording.actions[nearest(recording.stamps_ns, wanted, np.inf)[0]]
    return total / np.sum([recording.present for recording in train], axis=0)
