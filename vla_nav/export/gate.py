"""The gate that every export passes before it may be used: that it is what its source is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import Policy
from vla_nav.evaluation.closed_loop import attempt
from vla_nav.evaluation.conditions import Condition, tasks
from vla_nav.runtimes.graph import FEATURES, OUTPUTS, Arrays, Graph
from vla_nav.runtimes.memory import Memory
from vla_nav.simulation.scenario import FIRST_EVALUATION_SEED
from vla_nav.simulation.world import World

RUNS, STEPS = 6, 20  # fresh inputs, each run from the memory of nothing
BOUNDS = {'fp32': 1e-4, 'fp16': 5e-3}
MAE_LOSS = 0.03  # of bf16 and int8, which no bound on single numbers fits
# Seeds of evaluation that no published figure uses.
_SEED = FIRST_EVALUATION_SEED + 800_000

# The inputs of test number n besides the state, for source and export.
Tell = Callable[[int, np.random.Generator], tuple[Arrays, Arrays]]


class NotEqual(RuntimeError):
    """An export differs from its source by more than its precision explains."""


@dataclass(frozen=True)
class Pair:
    """A source and its export."""

    source: Graph
    export: Graph


def parity(pair: Pair, tell: Tell, memory: Memory | None = None,
           seed: int = 0) -> dict[str, float]:
    """Return the largest difference of each output over all inputs; NaN where there is one.

    Each graph is handed the memory that it left itself, so that errors may add up as they will.
    'memory' is how far the export's memory alone is from the next state of its whole.
    """
    rng = np.random.default_rng(seed)
    worst = dict.fromkeys([*OUTPUTS, *(['memory'] if memory else [])], 0.0)
    for number in range(RUNS * STEPS):
        if number % STEPS == 0:
            states = [np.zeros(graph.inputs['state'], np.float32)  # type: ignore[arg-type]
                      for graph in (pair.source, pair.export)]
        fed = tell(number, rng)
        there = [graph.run({**inputs, 'state': state}) for graph, inputs, state in zip(
            (pair.source, pair.export), fed, states)]
        compared = {name: (there[0][name], there[1][name]) for name in OUTPUTS}
        if memory:
            compared['memory'] = (there[1]['next_state'],
                                  memory.after(there[1][FEATURES], states[1]))
        states = [out['next_state'] for out in there]
        for name, (one, other) in compared.items():
            # Unlike Python's max, NumPy's keeps NaN.
            worst[name] = float(np.maximum(worst[name], np.abs(one - other).max()))
    return worst


def picture(number: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a picture uint8 [1, H, W, 3]: noise, soft shapes, and even areas in turn."""
    if number % 2:
        small = rng.integers(0, 256, (6, 8, 3), np.uint8)
        image: NDArray[Any] = np.asarray(cv2.resize(small, (width, height)))
    else:
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
    # Even areas are where gradients vanish and formulas break.
    image[height * (2 + number % 3) // 4:] = number % 256
    return image[None]


def check_bound(precision: str, differences: dict[str, float]) -> None:
    """Raise NotEqual where outputs differ by more than the precision's bound."""
    broken = [name for name, value in differences.items() if not np.isfinite(value)]
    if broken:
        raise NotEqual(f'{broken[0]} is not finite in the source or the export')
    bound = BOUNDS.get(precision)
    worst = max(differences, key=lambda name: differences[name])
    if bound is not None and differences[worst] > bound:
        raise NotEqual(f'{worst} differs from the source by {differences[worst]:.2e}; the bound '
                       f'of {precision} is {bound:.0e}')


def check_mae(precision: str, mae: list[float] | None) -> None:
    """Raise NotEqual where an export errs more than its precision may."""
    if precision in BOUNDS:
        return
    if mae is None:
        raise NotEqual(f'{precision} is judged by its error on labelled drives, and there are '
                       'none: give --calibrate DIR with recordings')
    if not mae[1] <= mae[0] * (1 + MAE_LOSS):
        raise NotEqual(f'the error on validation drives is {mae[1]:.4f}, of the source '
                       f'{mae[0]:.4f}: more than {MAE_LOSS:.0%} worse')


def closed_loop(policies: tuple[Policy, Policy], episodes: int,
                note: Callable[[], None] = lambda: None) -> dict[str, int]:
    """Let source and export drive the same episodes and count successes, and changes of them."""
    wins = list(_drive(policies, episodes, note))
    return {'episodes': episodes, 'source': sum(before for before, _ in wins),
            'export': sum(after for _, after in wins),
            'lost': sum(before and not after for before, after in wins),
            'gained': sum(after and not before for before, after in wins)}


def _drive(policies: tuple[Policy, Policy], episodes: int,
           note: Callable[[], None]) -> Iterator[tuple[bool, bool]]:
    world = World()
    try:
        for task in tasks(Condition(), episodes, _SEED):
            before, after = (attempt(world, policy, task)[1].success for policy in policies)
            yield before, after
            note()
    finally:
        world.close()
