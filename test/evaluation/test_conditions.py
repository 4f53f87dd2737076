"""What an evaluation varies, on real scenes."""

from __future__ import annotations

from collections import Counter

import pytest

from vla_nav.evaluation.conditions import Condition, draw, make_task, plan
from vla_nav.language.intent import SIDES
from vla_nav.simulation.scenario import FAMILIES, PLAIN_CELLS, sample

SEED = 1_000_000


@pytest.mark.parametrize('bad, told', [
    ({'text': 'loud'}, 'text'), ({'image': 'red'}, 'image'), ({'heldout': 'all'}, 'heldout'),
    ({'language': 'fr'}, 'language'), ({'families': ('plane',)}, 'families'),
    ({'cells': ('3box',)}, 'cells')])
def test_unknown_words_are_refused(bad, told):
    with pytest.raises(ValueError, match=f'{told} must be one of'):
        Condition(**bad)


def test_cells_are_balanced_and_meet_both_languages():
    condition = Condition()
    jobs = plan(condition, 96, SEED)
    assert Counter(cell for _, cell in jobs) == dict.fromkeys(PLAIN_CELLS, 4)
    assert len({seed for seed, _ in jobs}) == 96
    met = {(cell, make_task(draw(condition, seed, cell), condition, i).language)
           for i, (seed, cell) in enumerate(jobs)}
    assert len(met) == 2 * len(PLAIN_CELLS)


def test_one_cell_alone_meets_both_languages():
    condition = Condition(cells=(PLAIN_CELLS[0],))
    tasks = [make_task(draw(condition, seed, cell), condition, i)
             for i, (seed, cell) in enumerate(plan(condition, 4, SEED))]
    assert {task.language for task in tasks} == {'en', 'ko'}


def test_only_distractor_keeps_only_such_scenes():
    condition = Condition(only_distractor=True)
    jobs = plan(condition, 48, SEED)
    assert all(draw(condition, seed, cell).confusable for seed, cell in jobs)
    assert [cell for _, cell in jobs] == list(PLAIN_CELLS) * 2


@pytest.mark.parametrize('family', FAMILIES)
def test_swaps_change_what_is_judged_and_nothing_else(family):
    true = Condition(families=(family,))
    for index, (seed, cell) in enumerate(plan(true, 8, SEED)):
        scene = draw(true, seed, cell)
        side = make_task(scene, Condition(text='swapped-side', families=(family,)), index).scenario
        assert {side.gates[0].side, scene.gates[0].side} == {*SIDES}
        assert side.intent.first_side == side.gates[0].side
        assert (side.goal, side.gates[1:]) == (scene.goal, scene.gates[1:])
        goal = make_task(scene, Condition(text='swapped-goal', families=(family,)), index).scenario
        assert goal.goal != scene.goal and goal.gates == scene.gates
        assert (goal.intent.kind, goal.intent.colour) == (goal.goal.kind, goal.goal.colour)
        alike = [o for o in goal.objects if (o.kind, o.colour) == (goal.goal.kind,
                                                                   goal.goal.colour)]
        assert len(alike) == 1, 'the swapped text must name one object only'
        assert (side.blocks, side.objects) == (goal.blocks, goal.objects) == (
            scene.blocks, scene.objects)


def test_words_are_repeatable_and_come_from_the_split():
    scene = sample(SEED, PLAIN_CELLS[5])
    seen = make_task(scene, Condition(), 3)
    assert seen == make_task(scene, Condition(), 3)
    assert seen.instruction != make_task(scene, Condition(heldout='phrasings'), 3).instruction
    assert make_task(scene, Condition(text='blind'), 3).instruction == ''


def test_held_out_scenes_come_from_their_split():
    assert draw(Condition(heldout='layouts'), SEED, PLAIN_CELLS[0]).split == 'layouts'
    assert draw(Condition(heldout='phrasings'), SEED, PLAIN_CELLS[0]).split == 'train'
