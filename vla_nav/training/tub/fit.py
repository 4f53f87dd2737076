"""Fitting the track policy: tuned on blocks inside the training frames, then trained on all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_nav.policies.track import TrackNetwork, TrackPolicy, blend
from vla_nav.training.tub.frames import Indices, blocked, chunk_labels
from vla_nav.training.tub.members import Form, Material, Recipe, Target, train_member
from vla_nav.training.tub.ridge import Ridge, best_strength

# The networks and the linear map count the same: a weight fitted to so few frames is noise.
_SHARE = 0.5
_SMOOTHINGS = (0.0, 0.5, 0.7)
_GAINS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Tuned:
    """What the inner blocks chose.

    The networks' ``form``, and ``steps`` updates of each; for each axis which of the ridge's
    ``strengths``; the ``smoothing`` over time; and ``gains``, how far each axis leaves the median
    of the training frames: an axis that pictures do not tell stays near it. ``inner_mae`` is the
    error that this choice had, too good for being the least of many.
    """

    form: Form
    steps: int
    smoothing: float
    gains: tuple[float, ...]
    strengths: tuple[int, ...]
    inner_mae: float


class LinearMap:
    """One ridge regression for each axis, for all steps of the chunk at once."""

    def __init__(self, material: Material, train: Indices, chunk: int,
                 strengths: tuple[int, ...]) -> None:
        """Solve on the frames whose whole chunk counts."""
        labels, known = chunk_labels(material.frames, train, chunk)
        whole = known.all(1)
        self._strengths = strengths
        self._ridges = [
            Ridge(material.kernel, labels[whole, :, axis].astype(np.float64), train[whole])
            for axis in range(len(strengths))]

    def predict(self, test: Indices) -> Tensor:
        """Return chunks [N, K, axes]."""
        return torch.from_numpy(np.stack([
            ridge.predict(test, strength) for ridge, strength
            in zip(self._ridges, self._strengths)], axis=-1)).float()

    def weights(self, material: Material) -> tuple[Tensor, Tensor]:
        """Return weights [K, axes, F] and offsets [K, axes]."""
        weights, offsets = zip(*(ridge.weights(material.flat, strength) for ridge, strength
                                 in zip(self._ridges, self._strengths)))
        return (torch.from_numpy(np.stack(weights, -1)).permute(1, 2, 0).float(),
                torch.from_numpy(np.stack(offsets, -1)).float())


def fit(material: Material, train: Indices, recipe: Recipe) -> tuple[TrackPolicy, Tuned]:
    """Tune inside ``train``, then train all members on the whole of it."""
    tuned = tune(material, train, recipe)
    policy = TrackPolicy(replace(tuned.form.of(recipe.network), smoothing=tuned.smoothing))
    for number in range(recipe.network.members):
        policy.members[number] = train_member(material, train, recipe, tuned.form,
                                              recipe.seed + recipe.inner + number, tuned.steps)
    target = Target.of(material.frames, train, recipe.network.chunk)
    weights, offsets = LinearMap(material, train, recipe.network.chunk,
                                 tuned.strengths).weights(material)
    # median + gain * (prediction - median), the gain folded into what makes the prediction.
    gains = torch.tensor(tuned.gains)
    middle = _SHARE * target.mean + (1 - _SHARE) * offsets
    with torch.no_grad():
        policy.scale.copy_(gains * _SHARE * target.scale)
        policy.linear.weight.copy_((gains[:, None] * (1 - _SHARE) * weights).flatten(0, 1))
        policy.linear.bias.copy_((target.median + gains * (middle - target.median)).flatten())
    return policy.eval(), tuned


def tune(material: Material, train: Indices, recipe: Recipe) -> Tuned:
    """Choose by blocks inside ``train``: the least joint MAE of the action that is due."""
    frames, folds = material.frames, blocked(train, recipe.inner)
    chunk = recipe.network.chunk
    strengths = tuple(best_strength(material.kernel, column, folds)
                      for column in frames.actions.T.astype(np.float64))
    due: dict[tuple[Form, int], list[Tensor]] = {}
    medians = []
    for number, fold in enumerate(folds):
        target = Target.of(frames, fold.train, chunk)
        linear = LinearMap(material, fold.train, chunk, strengths).predict(fold.test)
        medians.append(target.median.expand(len(fold.test), -1))
        for form in recipe.forms():

            def watch(step: int, network: TrackNetwork, test: Indices = fold.test,
                      target: Target = target, linear: Tensor = linear, form: Form = form
                      ) -> None:
                with torch.inference_mode():
                    chunks = material.both_ways(network, test) * target.scale + target.mean
                mixed = _SHARE * chunks + (1 - _SHARE) * linear
                due.setdefault((form, step), []).append(torch.stack([
                    smooth(mixed, test, smoothing)[:, 0] for smoothing in _SMOOTHINGS]))

            train_member(material, fold.train, recipe, form, recipe.seed + number, recipe.steps,
                         watch)
    actions = torch.from_numpy(frames.actions[np.concatenate([fold.test for fold in folds])])
    centre = torch.cat(medians)
    best: Tuned | None = None
    for (form, step), parts in due.items():
        for smoothing, predicted in zip(_SMOOTHINGS, torch.cat(parts, 1)):
            errors = torch.stack([
                (centre + gain * (predicted - centre) - actions).abs().mean(0)
                for gain in _GAINS])
            least = errors.min(0)
            mae = float(least.values.mean())
            if best is None or mae < best.inner_mae:
                gains = tuple(_GAINS[i] for i in least.indices)
                best = Tuned(form, step, smoothing, gains, strengths, mae)
    assert best is not None  # there is always a first candidate
    return best


def predict(policy: TrackPolicy, material: Material, test: Indices) -> NDArray[np.float32]:
    """Return the policy's chunks [N, K, A] for frames in their order, from an empty memory."""
    with torch.inference_mode():
        chunks = policy.predict(material.features[test])
        return np.asarray(smooth(chunks, test, policy.config.smoothing).numpy())


def smooth(chunks: Tensor, indices: Indices, smoothing: float) -> Tensor:
    """Blend chunks [T, K, A] of frames in their order, afresh where frames are missing."""
    out = []
    memory = torch.zeros(1, chunks.shape[1], chunks.shape[2] + 1)
    for number in range(len(chunks)):
        if number and indices[number] != indices[number - 1] + 1:
            memory = torch.zeros_like(memory)
        blended, memory = blend(chunks[number:number + 1], memory, smoothing)
        out.append(blended)
    return torch.cat(out)
