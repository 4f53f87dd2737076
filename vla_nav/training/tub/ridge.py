"""Ridge regression in its dual form: many strengths and many folds from one kernel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_nav.training.tub.frames import Fold, Indices

# Relative to the mean of the kernel's diagonal.
STRENGTHS = np.logspace(-4, 2, 13)

Array = NDArray[np.float64]


class Ridge:
    """Ridge regressions of all :data:`STRENGTHS` on the rows ``train`` of a kernel [T, T].

    ``centred`` gives them an offset; without it the prediction of an average picture is 0.
    """

    def __init__(self, kernel: Array, target: Array, train: Indices,
                 centred: bool = True) -> None:
        """Solve for ``target`` [N, ...], the rows of ``train``."""
        self._kernel, self._train, self._centred = kernel, train, centred
        inside = kernel[np.ix_(train, train)]
        self._means = inside.mean(0) * centred
        self._mean = self._means.mean()
        inside = inside - self._means - self._means[:, None] + self._mean
        self.offset = target.mean(0) * centred
        values, vectors = np.linalg.eigh(inside)
        strengths = STRENGTHS[:, None] * np.trace(inside) / len(train)
        along = vectors.T @ (target - self.offset).reshape(len(train), -1)
        # Dual coefficients [strengths, N, outputs].
        self.dual = vectors @ (along / (values.clip(0) + strengths)[:, :, None])

    def predict(self, test: Indices, strength: int) -> Array:
        """Return predictions [N, outputs] for rows of the kernel; a column is an output."""
        across = self._kernel[np.ix_(test, self._train)]
        across = across - self._means - self._centred * (
            across.mean(1, keepdims=True) - self._mean)
        return np.asarray(across @ self.dual[strength] + self.offset)

    def weights(self, features: Array, strength: int) -> tuple[Array, Array]:
        """Return weights [F, outputs] and offsets [outputs] for the kernel's features [T, F]."""
        rows = features[self._train]
        mean = rows.mean(0) * self._centred
        weights = (rows - mean).T @ self.dual[strength]
        return weights, np.asarray(self.offset - mean @ weights)


def best_strength(kernel: Array, target: Array, folds: list[Fold],
                  centred: bool = True) -> int:
    """Return the index of the strength with the least absolute error on the folds' tests."""
    errors = np.zeros(len(STRENGTHS))
    for fold in folds:
        ridge = Ridge(kernel, target[fold.train, None], fold.train, centred)
        for strength in range(len(STRENGTHS)):
            predicted = ridge.predict(fold.test, strength)[:, 0]
            errors[strength] += np.abs(predicted - target[fold.test]).sum()
    return int(errors.argmin())
