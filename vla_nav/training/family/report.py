"""The figures of a trained policy on drives that it has not learned from, beside baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vla_nav.evaluation.metrics import error_table
from vla_nav.training.family.material import Material
from vla_nav.training.family.objective import Imitation
from vla_nav.training.family.steps import Share, Source, whole_drives

_BATCH = 8


def report(model: Imitation, material: Material, source: Source,
           members: Sequence[int]) -> dict[str, Any]:
    """Compare the velocities driven at once with the labels of the recordings ``members``.

    SI units; an axis is of the robots that have it, its errors are None where none has.
    ``constant mean``, ``constant median`` and ``step-index`` (what a clock would know) are of the
    training part. ``vla-nav evaluate offline`` measures more.
    """
    got, wanted, known, steps = _first_rows(model, material, source, members)
    space = model.policy.config.action.space
    trained = material.statistics
    table = np.asarray(trained['by_step'])
    predictors: dict[str, NDArray[Any]] = {
        'policy': space.denormalise(got),
        'constant mean': np.tile(trained['mean'], (len(got), 1)),
        'constant median': np.tile(trained['median'], (len(got), 1)),
        'step-index': table[np.minimum(steps, len(table) - 1)]}
    labels = space.denormalise(wanted)
    return {'episodes': len(members), 'samples': len(got),
            'predictors': {name: error_table(rows, labels, space.names, known=known)
                           for name, rows in predictors.items()}}


def _first_rows(model: Imitation, material: Material, source: Source, members: Sequence[int]
                ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_],
                           NDArray[np.int64]]:
    """Return predicted and labelled first rows, which count (all [N, A]), and their steps [N].

    Both are normalised.
    """
    device = next(model.parameters()).device
    instructions = material.instructions.to(device)
    window = model.policy.config.window
    got, wanted, known, steps = [], [], [], []
    model.eval()
    with torch.inference_mode():
        for drive in whole_drives(source, material.labels, members, _BATCH, Share()):
            state = None
            for number, batch in enumerate(drive):
                words = instructions.select(batch.recording.tolist())
                chunks, _, state = model.predict(batch.inputs.to(device), words, state)
                mask = batch.mask[:, :, 0]
                counts = mask.any(-1)
                got.append(chunks[:, :, 0].cpu()[counts].numpy())
                wanted.append(batch.targets[:, :, 0][counts].numpy())
                known.append(mask[counts].numpy())
                steps.append(np.nonzero(counts.numpy())[1] + number * window)
    return (np.concatenate(got), np.concatenate(wanted), np.concatenate(known),
            np.concatenate(steps))
