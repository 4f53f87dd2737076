"""The study: blocked folds of a tub, the policy beside what it must beat, fold by fold."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.evaluation.provenance import made
from vla_nav.training.tub.baselines import HistogramRidge
from vla_nav.training.tub.fit import fit, predict
from vla_nav.training.tub.frames import GAP, Fold, Indices, TubFrames, blocked, chunk_labels
from vla_nav.training.tub.members import Material, Recipe

FOLDS = 5


def run_study(frames: TubFrames, recipe: Recipe, work: Path, only: int = 0,
              say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Return the results of the folds (all, or number ``only`` from 1), in their order.

    A fold's result is kept in ``work``; one that is there for the same recipe and frames is not
    computed again, so that a study that is cut off goes on.
    """
    work.mkdir(parents=True, exist_ok=True)
    folds = blocked(np.arange(len(frames.actions)), FOLDS)
    stamp = {'recipe': asdict(recipe), 'frames': len(frames.actions), 'gap': GAP}
    ridges: dict[str, HistogramRidge] = {}
    material: Material | None = None
    results = []
    for number, fold in enumerate(folds, 1):
        path = work / f'fold-{number}.json'
        if only in (0, number):
            result = _kept(path, stamp)
            if result is None:
                if material is None:
                    say('gradients of all frames and their augmented copies ...')
                    material = Material(frames, recipe)
                    ridges = {'ridge': HistogramRidge(frames.grey, mirrored=False),
                              'ridge_mirrored': HistogramRidge(frames.grey, mirrored=True)}
                computed = _run_fold(frames, fold, material, ridges, recipe)
                path.write_text(json.dumps(
                    {'fold': number, **computed, 'made': made(), 'stamp': stamp}, indent=1)
                    + '\n', 'utf-8')
                result = _kept(path, stamp)
                assert result is not None  # it was just written
            say(f'fold {number}: policy {result["mae"]["policy"]["both"]:.4f}, ridge '
                f'{result["mae"]["ridge"]["both"]:.4f}')
            results.append(result)
    return results


def _kept(path: Path, stamp: dict[str, Any]) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    kept: dict[str, Any] = json.loads(path.read_text('utf-8'))
    # Through JSON, as the kept one went: tuples become lists.
    return kept if kept.pop('stamp') == json.loads(json.dumps(stamp)) else None


def _run_fold(frames: TubFrames, fold: Fold, material: Material,
              ridges: dict[str, HistogramRidge], recipe: Recipe) -> dict[str, Any]:
    train, test = fold.train, fold.test
    policy, tuned = fit(material, train, recipe)
    chunks = predict(policy, material, test)
    driven, chunk = frames.actions, recipe.network.chunk
    labels, known = chunk_labels(frames, test, chunk)
    predictions: dict[str, NDArray[Any]] = {
        'policy': chunks[:, 0],
        **{name: ridge.predict(driven, train, test, recipe.inner)
           for name, ridge in ridges.items()},
        'constant_mean': np.broadcast_to(driven[train].mean(0), driven[test].shape),
        'constant_median': np.broadcast_to(np.median(driven[train], 0), driven[test].shape),
        'previous_action': _previous(driven, test),
    }
    held = np.broadcast_to(labels[:, :1], labels.shape)
    return {
        'test': [int(test[0]), int(test[-1])], 'trained_on': len(train),
        'mae': {name: _errors(value, driven[test]) for name, value in predictions.items()},
        'chunk': {name: _by_step(value, labels, known) for name, value in (
            ('policy', chunks), ('hold', held),
            ('constant_median', np.broadcast_to(np.median(driven[train], 0), labels.shape)))},
        'tuned': asdict(tuned),
        'predicted': np.round(chunks[:, 0], 4).tolist(),
        'driven': np.round(driven[test], 4).tolist(),
    }


def _previous(driven: NDArray[np.float32], test: Indices) -> NDArray[np.float32]:
    """Return each frame's previous action; the very first frame has its own."""
    return np.asarray(driven[(test - 1).clip(0)])


def _errors(predicted: NDArray[Any], driven: NDArray[np.float32]) -> dict[str, float]:
    throttle, steering = np.abs(predicted - driven).mean(0).tolist()
    return {'steering': steering, 'throttle': throttle, 'both': (steering + throttle) / 2}


def _by_step(predicted: NDArray[Any], labels: NDArray[np.float32],
             known: NDArray[np.bool_]) -> list[float]:
    """Return the mean absolute error of both axes at each step of the chunk, first step first."""
    errors = np.abs(predicted - labels).mean(2)
    return [float(errors[known[:, k], k].mean()) for k in range(labels.shape[1])]
