"""A member that has learned to see drives itself, and the expert says what would have been right.

Its readout decides by single pictures, as the compact policy does in its first rounds: the
memory comes last.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vla_nav.training.collect import collect
from vla_nav.training.family.glimpses import Glimpse
from vla_nav.training.graph import export_graph, random_views

# Neither compact's rounds nor the study's drives nor an evaluation use these seeds.
_FIRST_SEED = 500_000
_SEEDS_A_ROUND = 10_000


class GlimpseDriver(nn.Module):
    """A glimpse with its readout in the form of a policy; its memory of one number is idle."""

    def __init__(self, glimpse: Glimpse) -> None:
        """Share the glimpse's weights."""
        super().__init__()
        self.glimpse = glimpse

    def forward(self, image: Tensor, instruction: Tensor,
                state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run one step: (actions in [-1, 1], arrival probability, next state)."""
        chunk, arrive, _ = self.glimpse.judge(self.glimpse(image, instruction)[0])
        return chunk.clamp(-1.0, 1.0), torch.sigmoid(arrive), state * 1.0


def nth(name: str, number: int) -> str:
    """Return what a round, counted from 0, calls something of its own."""
    return f'{name}_{number + 1}' if number else name


def drive_itself(glimpse: Glimpse, folder: Path, episodes: int, number: int,
                 workers: int) -> Path:
    """Let the glimpse drive scenes of round ``number`` and return the folder of labelled frames.

    What is there is kept.
    """
    sizes = glimpse.sizes
    driver, frames = folder / nth('driver', number), folder / nth('own', number)
    driver = driver.with_suffix('.onnx')
    folder.mkdir(parents=True, exist_ok=True)
    if not driver.exists():
        export_graph(GlimpseDriver(glimpse), driver,
                     random_views(sizes.height, sizes.width), 1)
    collect(frames, _FIRST_SEED + number * _SEEDS_A_ROUND, episodes, driver, workers)
    return frames
