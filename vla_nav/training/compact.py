"""The recipe of the compact policy: expert data, imitation, DAgger rounds, memory, bundle."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from vla_nav.policies.compact import CompactPolicy
from vla_nav.simulation.scenario import SCENARIO_VERSION
from vla_nav.training.card import peak_memory_gib, write_card
from vla_nav.training.collect import collect
from vla_nav.training.dataset import Frames
from vla_nav.training.export import export_policy, write_bundle
from vla_nav.training.imitation import (
    ImitationConfig,
    load_checkpoint,
    save_checkpoint,
    train,
    trained_parameters,
)
from vla_nav.training.memory import MemoryConfig, all_states, encode_all, train_memory


@dataclass(frozen=True)
class Round:
    """One round of DAgger: a policy drives, then all that was driven is imitated."""

    episodes: int
    steps: int
    # How long the driver's memory trains first; without, it drives by single pictures.
    memory_steps: int = 0
    # Over so many steps at the end the learning rate falls; the next round begins high again
    # (warm restarts: Loshchilov and Hutter 2017, arXiv:1608.03983).
    decay: int = 0
    # With several frames in a row encoder, memory and head learn together, beginning with the
    # driver's weights; else the encoder alone, by single pictures.
    window: int = 1


@dataclass(frozen=True)
class Recipe:
    """Numbers of the recipe; without ``memory_steps`` the memory changes nothing."""

    expert_episodes: int = 1000
    expert_steps: int = 2000
    rounds: tuple[Round, ...] = (
        Round(400, 1500), Round(400, 1500), Round(500, 2000, 1500), Round(500, 2000, 1500),
        Round(500, 3500, 1500, 3000), Round(3000, 8000, 4000, 4000),
        Round(2000, 8000, 4000, 8000, window=8), Round(2000, 8000, 4000, 8000, window=8))
    memory_steps: int = 8000
    seed: int = 0
    workers: int = 2


SMOKE = Recipe(expert_episodes=4, expert_steps=2, memory_steps=2,
               rounds=(Round(2, 2), Round(2, 2, 2, 2, window=8)))


def train_compact(work: Path, out: Path, instruction: Path, recipe: Recipe = Recipe(),
                  start: Path | None = None) -> None:
    """Train the compact policy and write its bundle to ``out``.

    Everything between (rollouts, checkpoint) lies in ``work``; a run that was cut off goes on
    from there. ``instruction`` is the trained instruction reader (``instruction.onnx``);
    ``start`` a bundle whose weights are the beginning, in place of random ones.
    """
    started = time.time()
    checkpoint = work / 'checkpoint.safetensors'
    if start is not None and not checkpoint.exists():
        begin_from(start, checkpoint)
    data = [work / 'data' / 'expert']
    collect(data[0], 1000, recipe.expert_episodes, workers=recipe.workers)
    step = recipe.expert_steps
    train(data, checkpoint, ImitationConfig(0, step, seed=recipe.seed), recipe.workers)
    for number, one in enumerate(recipe.rounds, 1):
        driver = work / f'round{number}.onnx'
        if not driver.exists():
            model, _ = with_memory(checkpoint, data, one.memory_steps, recipe.seed)
            if one.window > 1:
                _restart(checkpoint, model, step, one.window)
            export_policy(model, driver)
        data.append(work / 'data' / f'round{number}')
        ends = collect(data[-1], number * 10_000, one.episodes, driver, workers=recipe.workers)
        print(f'round {number}: {ends}', flush=True)
        states = _states(work / f'states{number}.npy', checkpoint, data) \
            if one.window > 1 else None
        train(data, checkpoint, ImitationConfig(
            step, step + one.steps, decay=one.decay, seed=recipe.seed, window=one.window,
            states=states), recipe.workers)
        step += one.steps
    model, memory = with_memory(checkpoint, data, recipe.memory_steps, recipe.seed)
    config = write_bundle(model, instruction, out, 'compact', {
        'command': f'vla-nav train compact --seed {recipe.seed} --workers {recipe.workers}',
        'recipe': json.loads(json.dumps(asdict(recipe))), 'scenario_version': SCENARIO_VERSION,
        'frames': len(Frames(data)), 'memory': memory, 'parameters': _count(model),
        'minutes': round((time.time() - started) / 60, 1),
        'peak_memory_gib': peak_memory_gib()})
    write_card(out, config)


def with_memory(checkpoint: Path, data: list[Path], steps: int,
                seed: int) -> tuple[CompactPolicy, dict[str, float]]:
    """Return the averaged weights of a checkpoint, with a memory trained on their features."""
    model = _averaged(checkpoint)
    if not steps:
        return model, {}
    return model, train_memory(model, encode_all(model, Frames(data)),
                               MemoryConfig(steps=steps, seed=seed))


def _states(path: Path, checkpoint: Path, data: list[Path]) -> Path:
    """Write what the memory of a checkpoint holds after each frame, where that is not there."""
    if not path.exists():
        partial = path.with_suffix('.partial')
        with partial.open('wb') as file:
            np.save(file, all_states(_averaged(checkpoint), Frames(data)))
        partial.replace(path)
    return path


def begin_from(bundle: Path, checkpoint: Path) -> None:
    """Write a checkpoint at step 0 that holds a bundle's weights; ValueError if they misfit."""
    path = bundle / 'model.safetensors'
    model = CompactPolicy()
    try:
        model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    except (OSError, RuntimeError) as error:
        raise ValueError(f'{path}: these are no weights of the compact policy as it is here '
                         f'({error}); train from nothing instead') from error
    _restart(checkpoint, model, 0)


def _restart(checkpoint: Path, model: CompactPolicy, step: int, window: int = 1) -> None:
    """Write a checkpoint of these weights with a new optimiser."""
    optimizer = torch.optim.AdamW(trained_parameters(model, window))
    save_checkpoint(checkpoint, model, copy.deepcopy(model), optimizer, step)


def _averaged(checkpoint: Path) -> CompactPolicy:
    model = CompactPolicy()
    average = copy.deepcopy(model)
    if not checkpoint.exists():
        raise FileNotFoundError(f'{checkpoint}: there is no checkpoint to go on from')
    load_checkpoint(checkpoint, model, average)
    return average


def _count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())
