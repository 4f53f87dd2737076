"""What an instruction asks for, and its numeric form: the features that steer a policy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDES = ('left', 'right')
# Kinds whose look a policy is trained on. Any other noun means "other": a thing of none of these
# kinds, which the policy then recognises by not being one of them and by its colour.
KINDS = ('cup', 'cone', 'ball')
OTHER_KINDS = ('thing', 'bottle')
COLOURS: dict[str, tuple[float, float, float]] = {
    'red': (0.85, 0.10, 0.10),
    'orange': (0.95, 0.50, 0.05),
    'yellow': (0.90, 0.85, 0.10),
    'green': (0.10, 0.65, 0.15),
    'cyan': (0.10, 0.75, 0.80),
    'blue': (0.10, 0.20, 0.85),
    'purple': (0.55, 0.10, 0.75),
}
HELD_OUT_COLOURS = ('purple',)
HELD_OUT_KINDS = ('bottle',)

# Layout of the feature vector: first side (2), second side (none, left, right), goal kind
# (cup, cone, ball, other), goal colour (known, r, g, b).
FEATURE_SIZE = 13


@dataclass(frozen=True)
class Intent:
    """A task: sides to pass on, and the object to stop at.

    ``first_side`` is the side of the box(es) that the robot passes on, as the robot sees it
    ("left" means that the robot goes round on the left and keeps the box on its right);
    ``second_side``, where present, the side of the cone behind it. ``colour`` may be left out.
    """

    first_side: str
    kind: str
    colour: str | None = None
    second_side: str | None = None

    def __post_init__(self) -> None:
        """Refuse words outside the vocabulary."""
        if self.first_side not in SIDES or self.second_side not in (None, *SIDES):
            raise ValueError(f'sides must be one of {SIDES}: {self}')
        if self.kind not in KINDS + OTHER_KINDS:
            raise ValueError(f'kind must be one of {KINDS + OTHER_KINDS}: {self}')
        if self.colour is not None and self.colour not in COLOURS:
            raise ValueError(f'colour must be one of {list(COLOURS)}: {self}')

    def features(self) -> NDArray[np.float32]:
        """Return the feature vector float32 [FEATURE_SIZE] of a perfectly read instruction."""
        out = np.zeros(FEATURE_SIZE, np.float32)
        out[SIDES.index(self.first_side)] = 1.0
        out[2 + (0 if self.second_side is None else 1 + SIDES.index(self.second_side))] = 1.0
        out[5 + (KINDS.index(self.kind) if self.kind in KINDS else len(KINDS))] = 1.0
        if self.colour is not None:
            out[9] = 1.0
            out[10:13] = COLOURS[self.colour]
        return out

    def swapped_side(self) -> Intent:
        """Return the same task round the other side of the box(es)."""
        other = SIDES[1 - SIDES.index(self.first_side)]
        return Intent(other, self.kind, self.colour, self.second_side)

    def describe(self) -> str:
        """Return a short canonical reading, as shown to the operator."""
        goal = f'{self.colour} {self.kind}' if self.colour else self.kind
        then = f', then {self.second_side} of the cone' if self.second_side else ''
        return f'pass {self.first_side} of the box{then}, stop at the {goal}'
