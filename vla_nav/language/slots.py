"""The slots that a reader fills, and their linear map to the features that steer a policy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_nav.language.intent import (
    COLOURS,
    FEATURE_SIZE,
    KINDS,
    OTHER_KINDS,
    SIDES,
    Intent,
)

SLOTS: dict[str, tuple[str | None, ...]] = {
    'first_side': SIDES,
    'second_side': (None, *SIDES),
    'kind': KINDS + OTHER_KINDS,
    'colour': (None, *COLOURS),
}
SIZES = tuple(len(values) for values in SLOTS.values())
TOTAL = sum(SIZES)
_BOUNDS = np.cumsum(SIZES)[:-1]


def split(values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Split [..., TOTAL] into one array a slot."""
    return np.split(values, _BOUNDS, axis=-1)


def labels(intent: Intent) -> NDArray[np.int64]:
    """Return the index of each slot's value, int64 [4]."""
    return np.array([values.index(getattr(intent, name)) for name, values in SLOTS.items()])


def intent_of(indices: ArrayLike) -> Intent:
    """Return the intent of one index a slot, [4]: the inverse of :func:`labels`."""
    chosen = np.asarray(indices, np.int64).tolist()
    return Intent(**{name: values[index]  # type: ignore[arg-type]
                     for (name, values), index in zip(SLOTS.items(), chosen)})


def most_likely(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the best index of each slot, int64 [..., 4], of logits [..., TOTAL]."""
    return np.stack([part.argmax(-1) for part in split(logits)], -1)


def confidence(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of each slot's best value, float32 [..., 4]."""
    return np.stack([1.0 / np.exp(part - part.max(-1, keepdims=True)).sum(-1)
                     for part in split(logits)], -1)


def _feature_matrix() -> NDArray[np.float32]:
    # Each feature is an expectation over one slot, so a matrix says it all; each row is the
    # difference that one value makes to an intent's features.
    base = Intent('left', KINDS[0])
    rows = []
    for name, values in SLOTS.items():
        blank = {'first_side': slice(0, 2), 'second_side': slice(2, 5), 'kind': slice(5, 9),
                 'colour': slice(9, FEATURE_SIZE)}[name]
        for value in values:
            row = np.zeros(FEATURE_SIZE, np.float32)
            intent = Intent(**{**vars(base), name: value})
            row[blank] = intent.features()[blank]
            rows.append(row)
    return np.stack(rows)


FEATURE_MATRIX = _feature_matrix()


def features(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return features float32 [..., FEATURE_SIZE] of slot probabilities [..., TOTAL].

    With certain slots these are :meth:`Intent.features`; otherwise their expectation.
    """
    return (probabilities @ FEATURE_MATRIX).astype(np.float32)
