"""Rooms full of things near and far, so that every class is seen often and in every look."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vla_nav.simulation.assets import (
    BLOCK_SLOTS,
    OBJECT_SLOTS,
    THING_SHAPES,
    TRAIN_TEXTURES,
)
from vla_nav.simulation.layout import PERSON_RADIUS_M, Block, Look, Person, Scenario, Thing

# Bottles are rare in the tasks' scenes; so are persons and the landmark, of which a scene has one.
_KINDS = {'cup': 0.16, 'bottle': 0.35, 'cone': 0.16, 'ball': 0.15, 'thing': 0.18}
_RARE = 0.9
_MOST_BLOCKS = 5
_GAP_M = 0.1
_TRIES = 40
# The band of hues around purple stays unseen in training, as in the tasks' scenes.
_HUES = 0.7

Spot = tuple[float, float]
Place = Callable[[float], Spot | None]


def clutter(base: Scenario, rng: np.random.Generator) -> Scenario:
    """Return a scene of random things in the room of ``base``; its gates and goal mean nothing."""
    x0, x1, y0, y1 = base.room
    taken = [(*base.start[:2], 0.3)]

    def place(radius: float) -> Spot | None:
        """Return a free spot for a thing of this radius, or None where none is found."""
        for _ in range(_TRIES):
            x = float(rng.uniform(x0 + radius, x1 - radius))
            y = float(rng.uniform(y0 + radius, y1 - radius))
            if all(math.hypot(x - a, y - b) > radius + other + _GAP_M for a, b, other in taken):
                taken.append((x, y, radius))
                return x, y
        return None

    person = landmark = None
    if rng.random() < _RARE and (spot := place(PERSON_RADIUS_M)):
        person = Person(spot[0], spot[1], spot[1] + 1.0, 0.5, math.inf)
    if rng.random() < _RARE:
        landmark = place(0.2)
    objects = [thing for _ in range(OBJECT_SLOTS) if (thing := _thing(rng, place))]
    count = min(_MOST_BLOCKS, BLOCK_SLOTS)
    blocks = [block for _ in range(int(rng.integers(0, count + 1)))
              if (block := _block(rng, place))]
    return replace(base, objects=tuple(objects), blocks=tuple(blocks), landmark=landmark,
                   person=person, gates=(), goal_index=0, look=_look(base.look, rng))


def _thing(rng: np.random.Generator, place: Place) -> Thing | None:
    kind = str(rng.choice(list(_KINDS), p=list(_KINDS.values())))
    shape = str(rng.choice(THING_SHAPES)) if kind == 'thing' else kind
    spot = place(0.15)
    if spot is None:
        return None
    # A mesh does not scale with the rest of its body.
    size = 1.0 if shape == 'cone' else float(rng.uniform(0.8, 1.25))
    rgb = colorsys.hsv_to_rgb(rng.uniform(0, _HUES), rng.uniform(0.6, 1), rng.uniform(0.4, 1))
    return Thing(kind, shape, None, rgb, *spot, size)


def _block(rng: np.random.Generator, place: Place) -> Block | None:
    role = 'barrier' if rng.random() < 0.4 else 'box'
    if role == 'barrier':  # long and thin
        half_x, half_y = rng.uniform(0.06, 0.12), rng.uniform(0.45, 0.9)
    else:
        half_x, half_y = rng.uniform(0.12, 0.35, 2)
    spot = place(math.hypot(half_x, half_y))
    if spot is None:
        return None
    return Block(*spot, float(half_x), float(half_y), float(rng.uniform(0.2, 0.9)),
                 float(rng.uniform(-math.pi, math.pi)), role, _any_colour(rng), _texture(rng))


def _look(look: Look, rng: np.random.Generator) -> Look:
    """Return another look and another mount: robots differ, and so do rooms."""
    return replace(
        look, floor_texture=_texture(rng), floor_rgb=_any_colour(rng), wall_texture=_texture(rng),
        wall_rgb=_any_colour(rng), ambient=float(rng.uniform(0.3, 0.7)),
        light=float(rng.uniform(0.15, 0.7)), camera_height=float(rng.uniform(0.35, 0.8)),
        camera_pitch=float(rng.uniform(0.1, 0.5)))


def _texture(rng: np.random.Generator) -> str:
    return str(rng.choice(TRAIN_TEXTURES))


def _any_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, 0.7), rng.uniform(0.3, 1))
