"""Scenario families: what is sampled, how it is stratified, and what training never sees."""

from __future__ import annotations

import colorsys
from dataclasses import replace
from typing import Any

import numpy as np

from vla_nav.language.intent import (
    COLOURS,
    HELD_OUT_COLOURS,
    HELD_OUT_KINDS,
    KINDS,
    OTHER_KINDS,
    SIDES,
    Intent,
)
from vla_nav.simulation.assets import HELD_OUT_TEXTURES, THING_SHAPES, TRAIN_TEXTURES
from vla_nav.simulation.layout import (
    ROBOT_RADIUS_M,
    Block,
    Gate,
    Look,
    Person,
    Scenario,
    Thing,
    rotate,
)

# Every result prints this; raise it whenever a seed would give another scene or another verdict.
SCENARIO_VERSION = '1.0'

SPLITS = ('train', 'layouts', 'appearance')
PLAIN_CELLS = tuple(
    f'{n}box_{layout}_{side}_{distance}' for n in (1, 2) for layout in ('hori', 'vert')
    for side in SIDES for distance in ('close', 'medium', 'far'))
HARD_CELLS = {
    'hidden': tuple(f'hidden_{how}_{side}' for how in ('behind', 'away') for side in SIDES),
    'two_step': tuple(f'two_step_{a}_{b}' for a in SIDES for b in SIDES),
    'person': tuple(f'person_{side}' for side in SIDES),
}
FAMILIES = ('plain', *HARD_CELLS)
ALL_CELLS = PLAIN_CELLS + tuple(c for cells in HARD_CELLS.values() for c in cells)

# Training draws its seeds below this, evaluation at or above it.
FIRST_EVALUATION_SEED = 1_000_000

_DISTANCE_M = {'close': (1.1, 1.4), 'medium': (1.5, 1.8), 'far': (1.9, 2.3)}
_TRAIN_COLOURS = tuple(c for c in COLOURS if c not in HELD_OUT_COLOURS)
_TRAIN_KINDS = (*KINDS, 'thing')


def family_of(cell: str) -> str:
    """Return the family that a cell belongs to."""
    if cell in PLAIN_CELLS:
        return 'plain'
    for family, cells in HARD_CELLS.items():
        if cell in cells:
            return family
    raise ValueError(f'unknown cell {cell!r}; known are {", ".join(ALL_CELLS)}')


def sample(seed: int, cell: str | None = None, split: str = 'train',
           tints: bool = False) -> Scenario:
    """Return the scene of this seed: the same one on every machine.

    Without ``cell`` the seed also picks one of the plain cells. ``split`` is "train" (seen
    layouts and looks), "layouts" (held-out layout variants) or "appearance" (held-out textures,
    and a goal of a held-out colour or kind). With ``tints`` a third of the scenes have goal
    colours without a name, for training: the features then hold the tint itself.
    """
    if split not in SPLITS:
        raise ValueError(f'unknown split {split!r}; known are {", ".join(SPLITS)}')
    cell = cell or PLAIN_CELLS[seed % len(PLAIN_CELLS)]
    family_of(cell)  # names an unknown cell
    rng = np.random.default_rng([SPLITS.index(split), ALL_CELLS.index(cell), seed])
    return _Sampler(rng, seed, cell, split, tints).scene()


def retarget(scenario: Scenario, goal_index: int) -> Scenario:
    """Return the same scene with another object named."""
    goal = scenario.objects[goal_index]
    intent = replace(scenario.intent, kind=goal.kind, colour=goal.colour)
    return replace(scenario, goal_index=goal_index, intent=intent,
                   features=_features(intent, goal))


def with_sides(scenario: Scenario, *sides: str) -> Scenario:
    """Return the same scene with other named sides, one for each gate."""
    gates = tuple(replace(g, side=s) for g, s in zip(scenario.gates, sides, strict=True))
    intent = replace(scenario.intent, first_side=sides[0],
                     second_side=sides[1] if len(sides) > 1 else None)
    return replace(scenario, gates=gates, intent=intent,
                   features=_features(intent, scenario.goal))


def _features(intent: Intent, goal: Thing) -> tuple[float, ...]:
    features = intent.features()
    if goal.colour is None:
        features[9], features[10:13] = 1.0, goal.rgb
    return tuple(features.tolist())


class _Sampler:
    """Draws one scene; each method draws one part of it."""

    def __init__(self, rng: np.random.Generator, seed: int, cell: str, split: str,
                 tints: bool) -> None:
        self.rng, self.seed, self.cell, self.split = rng, seed, cell, split
        self.family = family_of(cell)
        self.tints = tints and rng.random() < 0.33

    def scene(self) -> Scenario:
        rng, words = self.rng, self.cell.split('_')
        plain = self.family == 'plain'
        boxes = int(words[0][0]) if plain else 1
        layout = words[1] if plain else str(rng.choice(['hori', 'vert']))
        near, far = _DISTANCE_M[words[3] if plain else
                                'close' if self.family == 'person' else
                                str(rng.choice(['close', 'medium']))]
        side = {'plain': words[-2], 'hidden': words[-1], 'two_step': words[-2],
                'person': words[-1]}[self.family]
        behind, away = 'behind' in words, 'away' in words
        tall = rng.uniform(0.85, 1.1) if behind else rng.uniform(0.25, 0.40)

        blocks = self._boxes(boxes, layout, rng.uniform(near, far), tall)
        corners = [(b.x + dx, b.y + dy) for b in blocks
                   for sx in (-1, 1) for sy in (-1, 1)
                   for dx, dy in [rotate(sx * b.half_x, sy * b.half_y, b.yaw)]]
        x0, x1 = min(c[0] for c in corners), max(c[0] for c in corners)
        y0, y1 = min(c[1] for c in corners), max(c[1] for c in corners)
        shift = rng.uniform(-1, 1) * ((y1 - y0) / 2 - 0.08) - (y0 + y1) / 2
        blocks = [replace(b, y=b.y + shift) for b in blocks]
        y0, y1 = y0 + shift, y1 + shift
        gap_left, gap_right = rng.uniform(1.3, 2.0, 2) * 2 * ROBOT_RADIUS_M
        left = max(rng.uniform(1.7, 2.1), y1 + gap_left + 0.15)
        right = max(rng.uniform(1.7, 2.1), -y0 + gap_right + 0.15)
        barrier = rng.uniform(0.08, 0.15)
        barrier_x = rng.uniform(min(x0 + barrier, (x0 + x1) / 2), max(x1 - barrier, (x0 + x1) / 2))
        rgb, texture = self._pale(), self._texture()
        height = tall if behind else rng.uniform(0.25, 0.40)
        for low, high in ((y1 + gap_left, left), (-right, y0 - gap_right)):
            blocks.append(Block(barrier_x, (low + high) / 2, barrier, (high - low) / 2, height,
                                0.0, 'barrier', rgb, texture))

        gates = [Gate((x0 + x1) / 2, (y0 + y1) / 2, 'left', max(x1, barrier_x + barrier) + 0.2,
                      (y1 - y0) / 2)]
        first_x, landmark, person = x1 + 0.95, None, None
        if self.family == 'two_step':
            landmark = (x1 + rng.uniform(1.05, 1.35), rng.uniform(-0.5, 0.5))
            gates.append(Gate(landmark[0], landmark[1], words[-1], landmark[0] + 0.3, 0.2))
            first_x = landmark[0] + 0.75
        if self.family == 'person':
            person_x = x1 + rng.uniform(1.2, 1.5)
            sign = float(rng.choice([-1, 1]))
            starts, leaves = (left - 0.3, -right - 0.5) if sign > 0 else (0.3 - right, left + 0.5)
            person = Person(person_x, starts, leaves, rng.uniform(0.5, 0.9),
                            person_x - rng.uniform(1.6, 2.4))
            first_x = person_x + 0.75
        spots = self._spots(first_x, left, right)
        objects, goal, confusable = self._objects(spots)

        sides = self._lengths(x0, x1, y0 - gap_right / 2, y1 + gap_left / 2, objects[goal])
        longer = bool(rng.random() < 0.5)
        named = 'left' if (sides[0] > sides[1]) == longer else 'right'
        gates[0] = replace(gates[0], side=named)
        yaw = rng.uniform(-0.2, 0.2)
        if away:
            yaw = rng.choice([-1, 1]) * rng.uniform(1.0, 2.4)
        scenario = Scenario(
            self.seed, self.split, self.family, self.cell,
            self._intent(gates, objects[goal], confusable), (),
            (rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12), float(yaw)), tuple(blocks),
            tuple(objects), goal, tuple(gates), self._look(),
            (-0.9, max(o.x for o in objects) + rng.uniform(0.6, 1.0), -right, left),
            confusable, longer, landmark, person)
        if named != side:
            scenario = _mirror(scenario)
        if self.family == 'two_step':
            scenario = with_sides(scenario, side, words[-1])
        return replace(scenario, features=_features(scenario.intent, scenario.goal))

    def _boxes(self, count: int, layout: str, front: float, height: float) -> list[Block]:
        rng, held_out = self.rng, self.split == 'layouts'
        rgb, texture = self._pale(), self._texture()
        u = rng.uniform
        wide = layout == 'hori'
        made: list[Block] = []
        half_x: Any  # one number, or one for each box
        half_y: Any

        def add(x: float, y: float, half_x: float, half_y: float, yaw: float) -> None:
            made.append(Block(x, y, half_x, half_y, height, yaw, 'box', rgb, texture))

        if count == 1:
            a, b = u(0.12, 0.22), u(0.35, 0.6)
            half_x, half_y = (a, b) if wide else (b, u(0.18, 0.3))
            yaw = rng.choice([-1, 1]) * u(0.45, 0.9) if held_out else u(-0.1, 0.1)
            add(front + half_x, 0.0, half_x, half_y, float(yaw))
        elif held_out:  # diagonal: set off from each other both ways
            half, step = u(0.2, 0.28, 2), float(rng.choice([-1, 1]))
            dx, dy = (u(0.35, 0.45), u(0.5, 0.62)) if wide else (u(0.5, 0.62), u(0.35, 0.45))
            add(front + half[0], -step * dy / 2, half[0], half[0], u(-0.1, 0.1))
            add(front + half[0] + dx, step * dy / 2, half[1], half[1], u(-0.1, 0.1))
        elif wide:
            half_x, half_y, gap = u(0.15, 0.25), u(0.2, 0.32, 2), u(0.03, 0.2)
            add(front + half_x, half_y[0] + gap / 2, half_x, half_y[0], u(-0.1, 0.1))
            add(front + half_x, -half_y[1] - gap / 2, half_x, half_y[1], u(-0.1, 0.1))
        else:
            half_x, half_y, gap = u(0.2, 0.3, 2), u(0.2, 0.35), u(0.05, 0.2)
            stagger = u(-0.12, 0.12)
            add(front + half_x[0], 0.0, half_x[0], half_y, u(-0.1, 0.1))
            add(front + 2 * half_x[0] + gap + half_x[1], stagger, half_x[1], half_y,
                u(-0.1, 0.1))
        return made

    def _spots(self, first_x: float, left: float, right: float) -> list[tuple[float, float]]:
        """Return 3 or 4 places for objects, at least 1.05 m apart, none special."""
        rng, wanted = self.rng, int(self.rng.integers(3, 5))
        last_x = first_x + 1.25
        for _ in range(100):
            spots: list[tuple[float, float]] = []
            for _ in range(60):
                spot = (rng.uniform(first_x, last_x), rng.uniform(0.35 - right, left - 0.35))
                if all((spot[0] - x) ** 2 + (spot[1] - y) ** 2 > 1.05 ** 2 for x, y in spots):
                    spots.append(spot)
                if len(spots) == wanted:
                    return spots
        raise RuntimeError('no room for the objects; the room is always wide enough for three')

    def _objects(self, spots: list[tuple[float, float]]) -> tuple[list[Thing], int, bool]:
        rng = self.rng
        kinds = [k for k in _TRAIN_KINDS if not (self.family == 'two_step' and k == 'cone')]
        colours = list(_TRAIN_COLOURS)
        kind, colour = str(rng.choice(kinds)), str(rng.choice(colours))
        if self.split == 'appearance':
            if rng.random() < 0.5:
                kind = HELD_OUT_KINDS[0]
            else:
                colour = HELD_OUT_COLOURS[0]
        confusable = bool(rng.random() < 0.55)
        pairs = [(kind, colour)]
        other_kinds = [k for k in kinds if k != kind and
                       not (k in OTHER_KINDS and kind in OTHER_KINDS)]
        other_colours = [c for c in colours if c != colour]
        if confusable:
            pairs += [(kind, str(rng.choice(other_colours))),
                      (str(rng.choice(other_kinds)), colour)]
        while len(pairs) < len(spots):
            pair = (str(rng.choice(other_kinds)), str(rng.choice(other_colours)))
            if pair not in pairs:
                pairs.append(pair)
        tints = self._tints(sorted({c for _, c in pairs}))
        order = rng.permutation(len(spots))
        objects = [self._thing(kind, colour, tints[colour], spot)
                   for (kind, colour), spot in zip((pairs[i] for i in order), spots)]
        return objects, int(np.flatnonzero(order == 0)[0]), confusable

    def _tints(self, colours: list[str]) -> dict[str, tuple[float, float, float]]:
        """Return the rgb of each colour in this scene; without names, a random hue each."""
        rng = self.rng
        if not self.tints:
            return {c: COLOURS[c] for c in colours}
        # Hues in [0, 0.7], spaced; the band around purple stays unseen in training.
        hues = (rng.random() * 0.7 + np.arange(len(colours)) * 0.7 / len(colours)) % 0.7
        return {c: colorsys.hsv_to_rgb(h, rng.uniform(0.75, 0.95), rng.uniform(0.65, 0.95))
                for c, h in zip(colours, rng.permutation(hues).tolist())}

    def _thing(self, kind: str, colour: str, rgb: tuple[float, float, float],
               spot: tuple[float, float]) -> Thing:
        shape = str(self.rng.choice(THING_SHAPES)) if kind == 'thing' else kind
        jittered = np.clip(np.array(rgb) * self.rng.uniform(0.88, 1.08)
                           + self.rng.normal(0, 0.03, 3), 0, 1)
        shown = rgb if self.tints else tuple(jittered.tolist())
        return Thing(kind, shape, None if self.tints else colour, shown, *spot)  # type: ignore

    def _intent(self, gates: list[Gate], goal: Thing, confusable: bool) -> Intent:
        unnamed = not confusable and self.rng.random() < 0.25 and not self.tints
        return Intent(gates[0].side, goal.kind, None if unnamed else goal.colour,
                      gates[1].side if len(gates) > 1 else None)

    @staticmethod
    def _lengths(x0: float, x1: float, y_right: float, y_left: float,
                 goal: Thing) -> tuple[float, float]:
        """Return the rough lengths of the ways round on the left and on the right."""
        return tuple(float(np.hypot(x0, y) + x1 - x0 + np.hypot(goal.x - x1, goal.y - y))
                     for y in (y_left, y_right))  # type: ignore[return-value]

    def _texture(self) -> str:
        pool = HELD_OUT_TEXTURES if self.split == 'appearance' else TRAIN_TEXTURES
        return str(self.rng.choice(pool))

    def _pale(self) -> tuple[float, float, float]:
        """Return a colour too pale to be taken for an object's."""
        u = self.rng.uniform
        return colorsys.hsv_to_rgb(u(0, 1), u(0, 0.3), u(0.35, 0.95))

    def _look(self) -> Look:
        u = self.rng.uniform
        return Look(self._texture(), self._pale(), self._texture(), self._pale(),
                    u(0.35, 0.6), u(0.25, 0.6), u(-1, 4), u(-1.5, 1.5),
                    u(0.56, 0.64), u(0.30, 0.40), u(78, 83))


def _mirror(s: Scenario) -> Scenario:
    """Return the scene mirrored in y: left becomes right."""
    def flip(side: str) -> str:
        return 'right' if side == 'left' else 'left'

    gates = tuple(replace(g, y=-g.y, side=flip(g.side)) for g in s.gates)
    person = s.person and replace(s.person, start_y=-s.person.start_y, end_y=-s.person.end_y)
    return replace(
        s, start=(s.start[0], -s.start[1], -s.start[2]),
        blocks=tuple(replace(b, y=-b.y, yaw=-b.yaw) for b in s.blocks),
        objects=tuple(replace(o, y=-o.y) for o in s.objects), gates=gates, person=person,
        landmark=s.landmark and (s.landmark[0], -s.landmark[1]),
        room=(s.room[0], s.room[1], -s.room[3], -s.room[2]),
        intent=replace(s.intent, first_side=gates[0].side,
                       second_side=gates[1].side if len(gates) > 1 else None))
