"""Weights of an ensemble, fitted on validation drives and reported on test drives."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from vla_nav.contracts import Frame, NotUnderstood, Policy
from vla_nav.episodes.split import split_episodes
from vla_nav.evaluation.bootstrap import bounds_text, mean_error, paired_difference
from vla_nav.evaluation.bundle_facts import known_drives
from vla_nav.runtimes import load_policy
from vla_nav.runtimes.bundle import EnsembleBundle, Member, read_bundle
from vla_nav.training.family.pictures import Pictures
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.recordings import Recording, fingerprints, read_recordings

# Below this a weight is rounding, and its member would be run for nothing.
_LEAST = 0.01


class Drives(NamedTuple):
    """What is fitted on and what is reported on."""

    validation: list[Recording]
    test: list[Recording]


@dataclass(frozen=True)
class Predictions:
    """Velocities driven at once, SI: ``members`` [M, N, A], ``labels`` [N, A].

    ``episode`` int64 [N] tells which drive each belongs to: recordings of the same pictures under
    several instructions are one, since they are not independent. Labels are NaN along axes that a
    drive's robot lacks; these do not count.
    """

    members: NDArray[np.float64]
    labels: NDArray[np.float64]
    episode: NDArray[np.int64]


def fit_ensemble(bundles: Sequence[Path], data: Sequence[Path], out: Path,
                 rate_hz: float | None = None, note: Callable[[], None] = lambda: None,
                 name: str = 'ensemble') -> dict[str, Any]:
    """Write the ensemble of ``bundles`` to ``out`` and return its metrics.

    Drives that a member was trained on are left out. The weights are fitted on the drives that
    members were validated on, or on half of what is left where there are none; the figures are
    of the others. ``note`` is called after each drive. Raises TrainingError or PolicyError.
    """
    if len(bundles) < 2:
        raise TrainingError('an ensemble needs two bundles or more')
    policies = [load_policy(bundle) for bundle in bundles]
    axes = _common_axes(bundles, policies)
    drives = choose_drives(bundles, read_recordings(data, axes, rate_hz))
    weights = fit_weights(predict(policies, drives.validation, note))
    metrics = {'members': [str(bundle) for bundle in bundles], 'weights': weights.tolist(),
               'validation_episodes': len(drives.validation),
               **_figures(predict(policies, drives.test, note), weights, bundles)}
    _write(out, name, bundles, weights, drives, metrics)
    return metrics


def choose_drives(bundles: Sequence[Path], recordings: Sequence[Recording]) -> Drives:
    """Return the drives to fit on and to report on; none that a member was trained on."""
    trained = frozenset[str]().union(*(known_drives(str(b), ('train',)) for b in bundles))
    chosen = frozenset[str]().union(*(known_drives(str(b), ('validation',)) for b in bundles))
    unseen = [r for r in recordings if r.pictures not in trained]
    validation = [r for r in unseen if r.pictures in chosen]
    test = [r for r in unseen if r.pictures not in chosen]
    if unseen and not validation:
        strata = {r.pictures: r.scenario for r in unseen}
        rest, half = split_episodes(strata, 0.5) if len(strata) > 1 else ([*strata], [])
        validation = [r for r in unseen if r.pictures in {*rest}]
        test = [r for r in unseen if r.pictures in {*half}]
    if not validation or not test:
        raise TrainingError(
            f'of {len(recordings)} recordings {len(unseen)} are left that no member was trained '
            f'on, {len(validation)} to fit weights and {len(test)} to report on: give the '
            'folders that the members were trained from, or recordings that none has seen')
    return Drives(validation, test)


def predict(policies: Sequence[Policy], drives: Sequence[Recording],
            note: Callable[[], None] = lambda: None) -> Predictions:
    """Run each policy over each drive as on the robot; an unread text counts as standstill."""
    members: list[list[NDArray[Any]]] = [[] for _ in policies]
    for drive in drives:
        for own, policy in zip(members, policies):
            own.append(np.stack([*_velocities(policy, drive)]))
        note()
    _, drive_of = np.unique([drive.pictures for drive in drives], return_inverse=True)
    return Predictions(
        np.stack([np.concatenate(own) for own in members]).astype(np.float64),
        np.concatenate([np.where(drive.present, drive.actions, np.nan) for drive in drives]
                       ).astype(np.float64),
        np.repeat(drive_of, [len(drive) for drive in drives]))


def fit_weights(found: Predictions) -> NDArray[np.float64]:
    """Return weights [M] of at least 0 that add up to 1 and give the least squared error.

    Stacked regressions (Breiman 1996). The problem is convex; each member alone stands for
    election too, so that the result is never worse than the best member.
    """
    count = len(found.members)
    known = ~np.isnan(found.labels)
    members, labels = found.members[:, known], found.labels[known]
    products = members @ members.T / labels.size
    shared = members @ labels / labels.size

    def error(weights: NDArray[np.float64]) -> float:
        return float(weights @ products @ weights - 2 * weights @ shared)

    solution = minimize(error, np.full(count, 1 / count),
                        jac=lambda w: 2 * (products @ w - shared), method='SLSQP',
                        bounds=[(0, 1)] * count,
                        constraints={'type': 'eq', 'fun': lambda w: w.sum() - 1},
                        options={'ftol': 1e-12, 'maxiter': 300}).x
    solution = np.where(solution < _LEAST, 0.0, solution)
    candidates = [solution / solution.sum(), *np.eye(count)]
    return np.asarray(min(candidates, key=error), np.float64)


def _figures(test: Predictions, weights: NDArray[np.float64],
             bundles: Sequence[Path]) -> dict[str, Any]:
    counts = np.bincount(test.episode, (~np.isnan(test.labels)).sum(1))

    def sums(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(test.episode, np.nansum(np.abs(rows - test.labels), 1)),
                          np.float64)
    each = [sums(member) for member in test.members]
    whole = sums(np.tensordot(weights, test.members, 1))
    best = min(range(len(each)), key=lambda m: each[m].sum())
    return {
        'test_episodes': len(counts), 'samples': len(test.labels),
        'mae': {'ensemble': mean_error(whole, counts)._asdict(), **{
            str(bundle): mean_error(own, counts)._asdict() for bundle, own in zip(bundles, each)}},
        'best_member': str(bundles[best]),
        'ensemble_minus_best': paired_difference(whole, each[best], counts)._asdict()}


def _velocities(policy: Policy, drive: Recording) -> Iterator[NDArray[np.float32]]:
    spec = policy.spec
    try:
        policy.set_instruction(drive.instruction)
    except NotUnderstood:
        yield from np.zeros((len(drive), spec.action_space.size), np.float32)
        return
    policy.reset()
    pictures = Pictures([drive], spec.image_height, spec.image_width)
    for row, stamp in enumerate(drive.stamps_ns.tolist()):
        image = pictures.read(0, np.array([row]))[0]
        yield policy.act(Frame(image, stamp)).velocities[0]
    pictures.close()


def _common_axes(bundles: Sequence[Path], policies: Sequence[Policy]) -> tuple[str, ...]:
    spaces = [policy.spec.action_space for policy in policies]
    for bundle, space in zip(bundles, spaces):
        if space != spaces[0]:
            raise TrainingError(f'{bundle} drives {space}, {bundles[0]} {spaces[0]}: members of '
                                'an ensemble need one action space')
    return spaces[0].names


def _write(out: Path, name: str, bundles: Sequence[Path], weights: NDArray[np.float64],
           drives: Drives, metrics: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / 'metrics.json').write_text(json.dumps(metrics, indent=1) + '\n', 'utf-8')
    (out / 'split.json').write_text(json.dumps(
        {part: fingerprints(members) for part, members in drives._asdict().items()}) + '\n',
        'utf-8')
    lines = [f'# {name}', '', 'Weighted mean of:', '']
    lines += [f'- {weight:.3f} × `{bundle}`, MAE {metrics["mae"][str(bundle)]["value"]:.4f}'
              for bundle, weight in zip(bundles, weights)]
    difference = metrics['ensemble_minus_best']
    lines += ['', f'MAE {metrics["mae"]["ensemble"]["value"]:.4f} on {metrics["test_episodes"]} '
              f'test drives; {difference["value"]:+.4f} against the best member '
              f'(95 %: {bounds_text(difference)}). The weights come from '
              f'{metrics["validation_episodes"]} validation drives.', '']
    (out / 'README.md').write_text('\n'.join(lines), 'utf-8')
    EnsembleBundle(
        name=name, architecture='ensemble',
        max_observation_age_s=max(read_bundle(b).max_observation_age_s for b in bundles),
        members=tuple(Member(path=os.path.relpath(bundle, out), weight=float(weight))
                      for bundle, weight in zip(bundles, weights)),
        training={'weights_fitted_on': metrics['validation_episodes']}).save(out)
