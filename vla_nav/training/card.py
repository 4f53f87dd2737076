"""The model card: what a bundle holds, how it was made, how to make it again."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

from vla_nav.runtimes.bundle import BundleConfig

_CARD = """# {name}: the compact policy of vla_nav

Follows instructions such as "Pass the box on its left and stop at the red cup", English or
Korean, from one forward camera, on an omnidirectional base ({axes}).

| file | what it is | bytes |
|---|---|---|
| `policy.onnx` | picture, instruction, state to the next {chunk} velocities | {policy} |
| `instruction.onnx` | sentence to instruction features, or a refusal | {instruction} |
| `model.safetensors` | the policy's weights in half precision, to fine-tune from | {model} |

- Picture: {width} × {height} RGB, shrunk from any 4:3 camera; 10 pictures a second are what the
  memory was trained on, other rates work.
- `policy.onnx` has {parameters:,} parameters and differs from the PyTorch model by at most
  {parity:.1e} over 100 inputs with state.

## How it was made

    {command}

{frames:,} frames of {episodes:,} simulated episodes (scenario version {version}), seeds
{seeds}; evaluation uses seeds from 1,000,000 on. {steps:,} steps of imitation at batch
{batch}, with DAgger rounds in between{windows}{memory}.
{minutes} minutes on {workers} CPU threads, {memory_gib} GiB at most a process. Seed {seed}.
{history}

## What it can do

`docs/results.md` has every figure with its command. It was trained and measured in simulation
only: on a real robot begin with a dry run, then with a low speed cap.

## Limits

It knows the objects of its simulator (cup, cone, ball; anything else is "the other thing" that it
tells by colour), flat floors, and one camera mount (about 0.6 m high, tilted down by 20°).
"""


def write_card(directory: Path, config: BundleConfig) -> None:
    """Write ``README.md`` and ``metrics.json`` of a bundle from its configuration."""
    training: dict[str, Any] = config.training
    recipe = training['recipe']
    ranges = [f'1000–{999 + recipe["expert_episodes"]:,} (expert)']
    ranges += [f'{i * 10_000:,}–{i * 10_000 + one["episodes"] - 1:,} (policy)'
               for i, one in enumerate(recipe['rounds'], 1)]
    sizes = {key: f'{(directory / file.name).stat().st_size:,}'
             for key, file in config.files if file is not None}
    rounds = recipe['rounds']
    together = sum(one['steps'] for one in rounds if one['window'] > 1)
    (directory / 'README.md').write_text(_CARD.format(
        name=config.name, axes=', '.join(config.action_space.names), chunk=config.chunk,
        **sizes, width=config.image.width, height=config.image.height,
        parameters=training['parameters'], parity=training['parity'],
        command=training['command'], frames=training['frames'],
        episodes=recipe['expert_episodes'] + sum(one['episodes'] for one in rounds),
        version=training['scenario_version'], seeds=', '.join(ranges),
        steps=recipe['expert_steps'] + sum(one['steps'] for one in rounds),
        batch=128 * recipe['workers'], windows=(
            f', {together:,} of them on windows of pictures, memory and all' if together else ''),
        memory=(
            f', then {recipe["memory_steps"]:,} steps for the memory' if recipe['memory_steps']
            else '; the memory is there but not trained, so that it decides by single pictures'),
        minutes=training['minutes'], workers=recipe['workers'],
        memory_gib=training['peak_memory_gib'], seed=recipe['seed'],
        history=training.get('history', '')), encoding='utf-8')
    (directory / 'metrics.json').write_text(json.dumps(
        {k: training[k] for k in ('parity', 'parameters', 'frames', 'memory', 'minutes')},
        indent=1) + '\n', encoding='utf-8')


def peak_memory_gib() -> float:
    """Return the most memory that this process or one of its children has used, in GiB."""
    kib = max(resource.getrusage(who).ru_maxrss
              for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(kib / 2 ** 20, 1)
