"""What the Twists of a bag are in SI units, for robots whose commands are in others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_nav.embodiments import EMBODIMENTS, Embodiment
from vla_nav.episodes.schema import EpisodeError
from vla_nav.spaces import AXES

# A velocity below that is no motion.
STILL = 1e-3
_SI = EMBODIMENTS['omni']  # a Twist has these axes, and is in m/s and rad/s


@dataclass(frozen=True)
class TwistReader:
    """Reads commands through a profile.

    A channel is the number of the Twist that is called like it: linear_x, linear_y or angular_z.
    ``names`` are the axes of what is read.
    """

    names: tuple[str, ...]
    _profile: Embodiment
    _wanted: tuple[str, ...]
    _source: Path | str

    @classmethod
    def of(cls, wanted: tuple[str, ...], profile: Embodiment | None,
           source: Path | str) -> TwistReader:
        """Read those of the axes ``wanted`` that the robot has; None is a profile in SI units.

        Raises EpisodeError where a channel is no number of a Twist, or no axis is left.
        """
        profile = profile or _SI
        other = [name for name in profile.recorded_names if name not in AXES]
        if other:
            raise EpisodeError(
                source, f'embodiment {profile.name}', f'has the channels {other}, a Twist has '
                f'only {list(AXES)}: name each channel after the number that holds it in the bag '
                '(a YAML file like config/embodiments/example.yaml), or leave --embodiment out '
                'where the commands are in m/s and rad/s')
        there = profile.space().names
        names = tuple(name for name in wanted if name in there)
        if not names:
            raise EpisodeError(
                source, f'embodiment {profile.name}', f'has the axes {list(there)}, none of '
                f'{list(wanted)}: give other --axes, or another profile')
        return cls(names, profile, wanted, source)

    def read(self, twists: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn Twists [N, 3] along ``AXES`` into SI velocities [N, A] along ``names``.

        Raises EpisodeError where the robot was driven along what its profile does not have.
        """
        recorded, there = self._profile.recorded_names, self._profile.space().names
        for column, name in enumerate(AXES):
            most = float(np.abs(twists[:, column]).max(initial=0.0))
            if name in self._wanted and name not in recorded and most > STILL:
                left_out = (f', or --axes {",".join(self.names)} to leave {name} out'
                            if name not in self.names else '')
                raise EpisodeError(
                    self._source, name, f'was driven (up to {most:.2f}), but the embodiment '
                    f'{self._profile.name} has only {list(recorded)}: give the profile of the '
                    f'robot that this is{left_out}')
        si = self._profile.to_si(twists[:, [AXES.index(name) for name in recorded]])
        return si[:, [there.index(name) for name in self.names]]
