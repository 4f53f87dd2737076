"""What the training episodes' actions are like; kept in the bundle, and what baselines know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.episodes.timing import nearest
from vla_nav.spaces import ActionSpace
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.recordings import Recording

# Labels beyond the limits are clipped. A few may be outliers; more means other units.
_BEYOND = 1.02
_BEYOND_SHARE = 0.05
_LONGEST_STEPS = 600


def action_statistics(train: Sequence[Recording], space: ActionSpace,
                      step_ns: int) -> dict[str, Any]:
    """Return statistics of the training recordings' actions, SI units, one value an axis.

    ``by_step`` is the mean action of each step after the start, a finished drive counting as
    standstill: all that a clock could know.
    """
    actions = np.concatenate([recording.actions for recording in train])
    low, high = np.quantile(actions, (0.01, 0.99), axis=0)
    figures = {'mean': actions.mean(0), 'median': np.median(actions, 0), 'std': actions.std(0),
               'min': actions.min(0), 'max': actions.max(0), 'q01': low, 'q99': high,
               'by_step': _by_step(train, step_ns)}
    return {'axes': list(space.names), 'step_ns': step_ns, 'episodes': len(train),
            'frames': len(actions),
            **{name: np.round(value, 5).tolist() for name, value in figures.items()}}


def check_limits(train: Sequence[Recording], space: ActionSpace) -> None:
    """Raise TrainingError where many labels lie beyond the action space's limits."""
    actions = np.concatenate([recording.actions for recording in train])
    for axis, name in enumerate(space.names):
        values = actions[:, axis]
        beyond = (values > _BEYOND * space.high[axis]) | (values < _BEYOND * space.low[axis])
        if beyond.mean() > _BEYOND_SHARE:
            raise TrainingError(
                f'{name}: {beyond.mean():.0%} of the training labels are beyond the limits '
                f'{space.low[axis]:g} to {space.high[axis]:g}, they go from {values.min():.2f} to '
                f'{values.max():.2f}: set action.limits.{name}={np.abs(values).max():.2f} (SI '
                'units; recordings in other units must be converted first)')


def _by_step(train: Sequence[Recording], step_ns: int) -> NDArray[np.float64]:
    steps = [min(1 + int((r.stamps_ns[-1] - r.stamps_ns[0]) // step_ns), _LONGEST_STEPS)
             for r in train]
    total = np.zeros((max(steps), train[0].actions.shape[1]))
    for recording, count in zip(train, steps):
        wanted = recording.stamps_ns[0] + step_ns * np.arange(count)
        total[:count] += recording.actions[nearest(recording.stamps_ns, wanted, np.inf)[0]]
    return total / len(train)
