"""``models/tub``: the track policy trained on a whole tub, with its card."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vla_nav.policies.track import TrackPolicy
from vla_nav.runtimes.bundle import BundleConfig
from vla_nav.training.family.problems import named_memory, smaller_batch
from vla_nav.training.tub.export import write_bundle
from vla_nav.training.tub.fit import Tuned, fit
from vla_nav.training.tub.frames import PHRASES, load_frames
from vla_nav.training.tub.members import Material, Recipe

_CARD = """# tub: the track policy of vla_nav

Follows a track as a person drove it in a donkeycar tub, by pictures only, on a differential or
steered base ({axes}). It knows one task and no language: it takes
{phrases}, and refuses any other text.

| file | what it is | bytes |
|---|---|---|
| `policy.onnx` | picture and state to the next {chunk} velocities, 0.05 s apart | {policy:,} |
| `model.safetensors` | the weights | {model:,} |

- Picture: {width} × {height} RGB, shrunk from any 4:3 camera.
- Full throttle is {speed} m/s, full steering {turn} rad/s, + to the left (REP 103; donkeycar has
  + to the right). A tub does not tell its car's true limits.
- {parameters:,} parameters; the graph differs from the PyTorch policy by at most {parity:.1e}.

## How it was made

    {command}

{frames:,} frames. {measured}

## Limits

It knows this track, this camera and this light. It sees no obstacles and never arrives: the guard
and a person must watch it. On a real car begin with a dry run, then with a low speed cap.
"""
_MEASURED = """What the recipe is worth on frames it was not trained on, in blocked folds, is in
`docs/tub.md`: mean absolute error {policy:.3f}, ridge regression on gradient histograms
{ridge:.3f}, constant median {median:.3f} (of both axes, in [-1, 1])."""
_UNMEASURED = 'It was not measured: `vla-nav evaluate tub` does.'


def build_bundle(tub: Path, out: Path, recipe: Recipe, results: Path) -> BundleConfig:
    """Train on all frames of ``tub`` and write the bundle; ``results`` is the study's JSON.

    Raises TrainingError where memory runs out before ``out`` is written.
    """
    with named_memory(lambda: smaller_batch(recipe.batch, 'a tub of fewer frames', out)):
        policy, tuned, frames = _learn(tub, recipe)
    command = f'vla-nav train tub --tub {tub.name} --seed {recipe.seed}'
    if recipe.batch != Recipe().batch:
        command += f' --batch {recipe.batch}'
    training = {'command': command, 'frames': frames, 'recipe': asdict(recipe),
                'tuned': asdict(tuned)}
    config = write_bundle(policy, out, training)
    study: dict[str, Any] = {}
    if results.is_file():
        found = json.loads(results.read_text('utf-8'))
        # Another recipe's figures would say nothing of these weights.
        if found['recipe'] == json.loads(json.dumps(asdict(recipe))):
            study = found['summary']
    (out / 'metrics.json').write_text(json.dumps(
        {'blocked_folds': study, 'inner_mae': tuned.inner_mae}, indent=1) + '\n', 'utf-8')
    _write_card(out, config, study)
    return config


def _learn(tub: Path, recipe: Recipe) -> tuple[TrackPolicy, Tuned, int]:
    frames = load_frames(tub, recipe.network.height, recipe.network.width)
    count = len(frames.actions)
    return *fit(Material(frames, recipe), np.arange(count), recipe), count


def _write_card(out: Path, config: BundleConfig, study: dict[str, Any]) -> None:
    mae = study.get('mae')
    measured = _UNMEASURED if mae is None else _MEASURED.format(
        policy=mae['policy']['both'], ridge=mae['ridge']['both'],
        median=mae['constant_median']['both'])
    training, space = config.training, config.action_space
    (out / 'README.md').write_text(_CARD.format(
        axes=', '.join(space.names), phrases=', '.join(f'"{phrase}"' for phrase in PHRASES),
        chunk=config.chunk, policy=(out / 'policy.onnx').stat().st_size,
        model=(out / 'model.safetensors').stat().st_size, width=config.image.width,
        height=config.image.height, speed=space.high[0], turn=space.high[1],
        parameters=training['parameters'], parity=training['parity'],
        command=training['command'], frames=training['frames'], measured=measured), 'utf-8')
