"""Recordings of a tiny world: a bright spot tells which way to drive, the text how fast."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vla_nav.contracts import NotUnderstood
from vla_nav.episodes.schema import Episode
from vla_nav.episodes.store import EpisodeRef, write_episode
from vla_nav.language.intent import Intent
from vla_nav.language.reader import Reading
from vla_nav.policies.config import FamilyConfig, validate

STEP_NS = 100_000_000
AXES = ('linear_x', 'angular_z')
TEXTS = {'left': 'pass the box on its left and stop at the red cup',
         'right': 'pass the box on its right and stop at the red cup'}


class Reader:
    """Knows the two texts."""

    def read(self, text: str) -> Reading:
        for side, known in TEXTS.items():
            if text == known:
                intent = Intent(side, 'cup', 'red')
                return Reading(intent.features(), intent, 1.0)
        raise NotUnderstood(f'not understood: "{text}"')


def drive(seed: int, frames: int = 12, side: str = 'left', jitter_ns: int = 0,
          drop: tuple[int, ...] = ()) -> Episode:
    """Return an episode of pictures 32x32 whose spot moves as the robot turns."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(-1, 1) + 0.3 * np.sin(np.arange(frames) + seed)
    actions = np.stack([np.full(frames, 0.4 if side == 'left' else 0.2),
                        np.clip(turn, -1.2, 1.2)], 1).astype(np.float32)
    images = rng.integers(0, 40, (frames, 32, 32, 3), np.uint8)
    for image, (_, angle) in zip(images, actions):
        column = int(np.clip(16 - 12 * angle, 2, 29))
        image[12:20, column - 2:column + 2] = 250
    stamps = (np.arange(frames) * STEP_NS + seed * 10**10
              + rng.integers(-jitter_ns, jitter_ns + 1, frames)).astype(np.int64)
    keep = np.setdiff1d(np.arange(frames), drop)
    return Episode(list(images[keep]), actions[keep], stamps[keep], TEXTS[side], AXES,
                   'differential', f'cell_{side}')


def write(folder: Path, episodes: int = 12, frames: int = 12, first: int = 1, **options) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + episodes):
        side = 'left' if seed % 2 else 'right'
        write_episode(EpisodeRef(folder / f'drive_{seed:03d}.h5'),
                      drive(seed, frames + seed % 3, side, **options))
    return folder


def config(**changes) -> FamilyConfig:
    """Return a tiny member of the family; ``section__key=value`` changes it."""
    data = {
        'name': 'tiny', 'about': 'test',
        'backbone': {'height': 32, 'width': 32, 'small_vlm': {'width': 16, 'depth': 1,
                                                              'heads': 2}},
        'fusion': {'size': 16},
        'head': {'kind': 'gru', 'hidden': 16, 'window_s': 0.4, 'predictor': [16]},
        'action': {'limits': {'linear_x': 0.6, 'angular_z': 1.5}, 'chunk': 3},
        'train': {'epochs': 2, 'batch': 4, 'lr': 0.003, 'save_every': 1000,
                  'validation_share': 0.2, 'test_share': 0.2},
    }
    for key, value in changes.items():
        section, _, name = key.partition('__')
        if name:
            data[section][name] = value
        else:
            data[section] = value
    return validate(data, 'test')
