"""Action spaces: names, units, limits, and the map between SI and normalised actions.

Axes follow REP 103: +x forward, +y left, +z counter-clockwise, in m/s and rad/s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

AXES = ('linear_x', 'linear_y', 'angular_z')


@dataclass(frozen=True)
class ActionSpace:
    """Ordered velocity axes with their limits in SI units.

    ``low`` and ``high`` need not be symmetric; zero velocity is always inside them and always
    the normalised zero, so that a policy which outputs 0 stands still.
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse unknown or repeated axes and limits that exclude standstill."""
        if not self.names or len({*self.names}) != len(self.names):
            raise ValueError(f'action names must be non-empty and unique, got {self.names}')
        unknown = [name for name in self.names if name not in AXES]
        if unknown:
            raise ValueError(f'unknown action names {unknown}; known are {list(AXES)}')
        if not len(self.names) == len(self.low) == len(self.high):
            raise ValueError('names, low and high must have the same length')
        for name, low, high in zip(self.names, self.low, self.high):
            if not (np.isfinite([low, high]).all() and low <= 0.0 <= high and low < high):
                raise ValueError(f'{name}: limits [{low}, {high}] must be finite and contain 0')

    @classmethod
    def symmetric(cls, **limits: float) -> ActionSpace:
        """Build a space from ``axis=limit`` pairs: ``symmetric(linear_x=0.5, angular_z=1.0)``."""
        names = tuple(limits)
        high = tuple(float(v) for v in limits.values())
        return cls(names, tuple(-v for v in high), high)

    @property
    def size(self) -> int:
        """Return the number of axes A."""
        return len(self.names)

    def clip(self, velocities: ArrayLike) -> NDArray[np.float32]:
        """Clip SI velocities [..., A] to the limits, each axis on its own."""
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        return np.clip(np.asarray(velocities, np.float32), low, high)

    def normalise(self, velocities: ArrayLike) -> NDArray[np.float32]:
        """Map SI velocities [..., A] to [-1, 1]; each sign is scaled by its own limit."""
        array = self.clip(velocities)
        limits = self._limits(array)
        # A one-sided axis (no reverse, say) has one zero limit; 1 keeps the division defined.
        return (array / np.where(limits > 0, limits, 1.0)).astype(np.float32)

    def denormalise(self, actions: ArrayLike) -> NDArray[np.float32]:
        """Map normalised actions [..., A] to SI velocities inside the limits."""
        array = np.clip(np.asarray(actions, np.float32), -1.0, 1.0)
        return (array * self._limits(array)).astype(np.float32)

    def to_twist(self, velocities: ArrayLike) -> tuple[float, float, float]:
        """Expand one SI velocity [A] to (linear_x, linear_y, angular_z); absent axes are 0."""
        values = dict(zip(self.names, np.asarray(velocities, np.float64).tolist()))
        return tuple(values.get(axis, 0.0) for axis in AXES)  # type: ignore[return-value]

    def to_dict(self) -> dict[str, Any]:
        """Return the form stored in a bundle's ``config.json``."""
        return {'names': list(self.names), 'low': list(self.low), 'high': list(self.high)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ActionSpace:
        """Read :meth:`to_dict`'s form."""
        return cls(tuple(data['names']), tuple(map(float, data['low'])),
                   tuple(map(float, data['high'])))

    def _limits(self, sign_of: NDArray[np.float32]) -> NDArray[np.float32]:
        low, high = np.asarray(self.low, np.float32), np.asarray(self.high, np.float32)
        return np.where(sign_of < 0, -low, high)


OMNI_3D = ActionSpace.symmetric(linear_x=0.6, linear_y=0.6, angular_z=1.2)
OMNI_2D = ActionSpace.symmetric(linear_x=0.6, linear_y=0.6)
DIFFERENTIAL_2D = ActionSpace.symmetric(linear_x=0.6, angular_z=1.2)
