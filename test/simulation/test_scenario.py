"""Scenes: seeded, mirrored fairly, hard enough, and held-out things really held out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_nav.language.intent import HELD_OUT_COLOURS, HELD_OUT_KINDS
from vla_nav.simulation.assets import HELD_OUT_TEXTURES
from vla_nav.simulation.layout import ROBOT_RADIUS_M
from vla_nav.simulation.scenario import (
    ALL_CELLS,
    PLAIN_CELLS,
    family_of,
    retarget,
    sample,
    with_sides,
)


def scenes(count: int, **options) -> list:
    """Return scenes over all plain cells."""
    return [sample(seed, **options) for seed in range(count)]


@pytest.mark.parametrize('cell', ALL_CELLS)
def test_a_seed_gives_the_same_scene_with_the_cells_side(cell: str) -> None:
    scene = sample(5, cell)
    assert scene == sample(5, cell)
    assert scene != sample(6, cell)
    sides = [word for word in cell.split('_') if word in ('left', 'right')]
    assert [gate.side for gate in scene.gates] == sides
    assert scene.intent.first_side == sides[0]
    assert scene.family == family_of(cell)


def test_unknown_cells_and_splits_are_named() -> None:
    with pytest.raises(ValueError, match='3box'):
        sample(0, '3box_hori_left_close')
    with pytest.raises(ValueError, match='nowhere'):
        sample(0, split='nowhere')


def test_the_named_side_is_the_longer_way_in_half_of_the_scenes() -> None:
    share = np.mean([scene.longer_way for scene in scenes(480)])
    assert 0.42 < share < 0.58


def test_goals_are_exchangeable_with_distractors() -> None:
    drawn = scenes(480)
    assert np.mean([scene.confusable for scene in drawn]) >= 0.4
    for scene in drawn:
        assert len(scene.objects) >= 3
        others = [o for i, o in enumerate(scene.objects) if i != scene.goal_index]
        goal = scene.goal
        assert not any((o.kind, o.colour) == (goal.kind, goal.colour) for o in others)
        if scene.confusable:
            assert any(o.kind == goal.kind for o in others)
            assert any(o.colour == goal.colour for o in others)
        if scene.intent.colour is None:
            assert all(o.kind != goal.kind for o in others)
    # The goal is no nearer, and no more to one side, than the other objects are.
    near = np.mean([scene.goal.x - np.mean([o.x for o in scene.objects]) for scene in drawn])
    assert abs(near) < 0.06


def test_passages_are_narrow() -> None:
    for scene in scenes(96):
        boxes = [b for b in scene.blocks if b.role == 'box']
        left, right = (b for b in sorted((b for b in scene.blocks if b.role == 'barrier'),
                                         key=lambda b: -b.y))
        reach = [abs(b.half_x * math.sin(b.yaw)) + b.half_y * math.cos(b.yaw) for b in boxes]
        top = max(b.y + r for b, r in zip(boxes, reach))
        bottom = min(b.y - r for b, r in zip(boxes, reach))
        for gap in (left.y - left.half_y - top, bottom - right.y - right.half_y):
            assert 1.3 - 1e-6 <= gap / (2 * ROBOT_RADIUS_M) <= 2.0 + 1e-6


def test_held_out_looks_never_show_in_training() -> None:
    for scene in scenes(200, tints=True) + scenes(200, split='layouts'):
        textures = {b.texture for b in scene.blocks} | {scene.look.floor_texture,
                                                        scene.look.wall_texture}
        assert not textures & set(HELD_OUT_TEXTURES)
        assert not {o.kind for o in scene.objects} & set(HELD_OUT_KINDS)
        assert not {o.colour for o in scene.objects} & set(HELD_OUT_COLOURS)
    for scene in scenes(100, split='appearance'):
        assert scene.look.floor_texture in HELD_OUT_TEXTURES
        assert scene.goal.kind in HELD_OUT_KINDS or scene.goal.colour in HELD_OUT_COLOURS


def test_another_instruction_changes_only_what_is_asked() -> None:
    scene = sample(3, PLAIN_CELLS[0])
    other = next(i for i in range(len(scene.objects)) if i != scene.goal_index)
    swapped = with_sides(retarget(scene, other), 'right')
    assert swapped.blocks == scene.blocks and swapped.objects == scene.objects
    assert swapped.goal == scene.objects[other]
    assert swapped.intent.kind == swapped.goal.kind
    assert swapped.gates[0].side == swapped.intent.first_side == 'right'
    assert swapped.features == pytest.approx(swapped.intent.features().tolist())
