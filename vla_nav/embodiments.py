"""Embodiment profiles: what a robot's recorded numbers mean, in names, limits, units and signs.

Recordings differ: metres a second, keys that are 0 or 1.15, a steering wheel that is + to the
right. A profile turns them into SI velocities of REP 103 once; from then on, one model can train
on several robots.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vla_nav.spaces import AXES, ActionSpace


class Channel(BaseModel):
    """One recorded number and the axis that it drives; limits in m/s or rad/s.

    ``full`` is the recorded value that stands for the positive limit: 1.15 for a key held down,
    -1 for a steering that is + to the right (+ is counter-clockwise here). Without it, what was
    recorded is in SI units already.
    """

    model_config = ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)

    axis: str
    low: float = Field(le=0.0)
    high: float = Field(ge=0.0)
    name: str = ''
    full: float | None = None

    @model_validator(mode='after')
    def _scaled_by_something(self) -> Channel:
        if self.full == 0.0:
            raise ValueError(f'{self.axis}: full is 0; give the value recorded at the limit')
        return self

    @property
    def recorded_name(self) -> str:
        """Return the name that recordings use."""
        return self.name or self.axis


class Embodiment(BaseModel):
    """A robot as its recordings know it: the channels in their recorded order."""

    model_config = ConfigDict(extra='forbid', frozen=True)

    name: str = Field(min_length=1)
    channels: tuple[Channel, ...]

    @model_validator(mode='after')
    def _valid_space(self) -> Embodiment:
        self.space()
        if len(set(self.recorded_names)) != len(self.channels):
            raise ValueError(f'recorded names repeat: {self.recorded_names}')
        return self

    def space(self) -> ActionSpace:
        """Return the robot's axes and limits in SI units."""
        return ActionSpace(tuple(c.axis for c in self.channels),
                           tuple(c.low for c in self.channels),
                           tuple(c.high for c in self.channels))

    @property
    def recorded_names(self) -> tuple[str, ...]:
        """Return the names of the recorded numbers, in order."""
        return tuple(c.recorded_name for c in self.channels)

    def to_si(self, recorded: ArrayLike) -> NDArray[np.float32]:
        """Turn recorded numbers [..., C] into SI velocities [..., C] along ``space().names``."""
        values = np.asarray(recorded, np.float32)
        fulls = np.array([c.full or 1.0 for c in self.channels], np.float32)
        in_si = np.array([c.full is None for c in self.channels])
        return np.where(in_si, values, self.space().denormalise(values / fulls))

    def from_si(self, velocities: ArrayLike) -> NDArray[np.float32]:
        """Turn SI velocities [..., C] into what this robot's recordings would hold."""
        values = np.asarray(velocities, np.float32)
        fulls = np.array([c.full or 1.0 for c in self.channels], np.float32)
        in_si = np.array([c.full is None for c in self.channels])
        return np.where(in_si, values, self.space().normalise(values) * fulls).astype(np.float32)


def project(velocities: ArrayLike, names: Sequence[str],
            space: ActionSpace) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bring SI velocities [..., A] along ``names`` into a model's ``space``.

    Returns (normalised [..., space.size], present [space.size]); an axis that the robot lacks is
    0 and not present, so that a loss can leave it out. Raises ValueError where the robot has an
    axis that the model could never drive and that is not always zero.
    """
    values = np.asarray(velocities, np.float32)
    there = dict(zip(names, np.moveaxis(values, -1, 0)))
    lost = [name for name in names if name not in space.names and np.any(there[name])]
    if lost:
        raise ValueError(f'the recording moves along {", ".join(lost)}, the model has only '
                         f'{", ".join(space.names)}: take a model with these axes')
    blank = np.zeros(values.shape[:-1], np.float32)
    stacked = np.stack([there.get(name, blank) for name in space.names], axis=-1)
    return space.normalise(stacked), np.array([name in there for name in space.names])


def robot(name: str, space: ActionSpace) -> Embodiment:
    """Return a profile whose recordings are in SI units already."""
    return Embodiment(name=name, channels=tuple(
        Channel(axis=axis, low=low, high=high)
        for axis, low, high in zip(space.names, space.low, space.high)))


def keyboard(space: ActionSpace) -> Embodiment:
    """Return the older keyboard recordings: a key held down is 1.15, whatever the axis."""
    return Embodiment(name='keyboard', channels=tuple(
        Channel(axis=axis, low=low, high=high, full=1.15)
        for axis, low, high in zip(space.names, space.low, space.high)))


def donkeycar(speed: float, turn: float) -> Embodiment:
    """Return a donkeycar: throttle and steering in [-1, 1], steering + to the right."""
    return Embodiment(name='donkeycar', channels=(
        Channel(axis='linear_x', low=-speed, high=speed, name='throttle', full=1.0),
        Channel(axis='angular_z', low=-turn, high=turn, name='steering', full=-1.0)))


_OMNI = ActionSpace.symmetric(linear_x=0.6, linear_y=0.6, angular_z=1.2)
EMBODIMENTS = {one.name: one for one in (
    robot('omni', _OMNI),
    robot('differential', ActionSpace.symmetric(linear_x=0.6, angular_z=1.2)),
    keyboard(_OMNI),
    donkeycar(0.6, 1.2),
)}


def load_embodiment(name_or_path: str) -> Embodiment:
    """Return a built-in profile, or the one in a YAML file; ValueError names file and key.

    See ``config/embodiments/example.yaml`` for the form.
    """
    if name_or_path in EMBODIMENTS:
        return EMBODIMENTS[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise ValueError(f'embodiment "{name_or_path}": neither one of '
                         f'{", ".join(EMBODIMENTS)} nor a YAML file; see '
                         'config/embodiments/example.yaml')
    try:
        return Embodiment.model_validate(yaml.safe_load(path.read_text('utf-8')))
    except ValidationError as error:
        problems = '; '.join(f'{".".join(map(str, e["loc"])) or "profile"}: {e["msg"]}'
                             for e in error.errors())
        raise ValueError(f'{path}: {problems}; axes are {", ".join(AXES)}') from None
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f'{path}: cannot be read: {error}') from error
