import pytest

from vla_nav.language.intent import Intent
from vla_nav.simulation.choice import cells_matching, choose_scene
from vla_nav.simulation.scenario import HARD_CELLS, PLAIN_CELLS


def test_names_match_from_their_beginning():
    assert cells_matching('') == cells_matching('plain') == PLAIN_CELLS
    assert cells_matching('2box_vert_left') == tuple(
        f'2box_vert_left_{distance}' for distance in ('close', 'medium', 'far'))
    assert cells_matching('1box_hori_right_far') == ('1box_hori_right_far',)
    assert cells_matching('person') == HARD_CELLS['person']


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match=r'"3box".*two_step.*2box_vert_left_close'):
        cells_matching('3box')


def test_the_same_words_and_seed_give_the_same_scene():
    assert choose_scene('2box_vert_left', 7) == choose_scene('2box_vert_left', 7)
    assert choose_scene('2box_vert_left', 7).sample().gates[0].side == 'left'


@pytest.mark.parametrize('intent', [
    Intent('left', 'cup', 'red'), Intent('right', 'ball'), Intent('right', 'thing', 'blue'),
    Intent('left', 'cup', 'purple'), Intent('left', 'bottle'),
    Intent('right', 'cup', 'green', second_side='left')])
def test_the_scene_has_the_task_of_the_instruction(intent):
    scenario = choose_scene('', 11, intent).sample()
    goal = scenario.goal
    assert [gate.side for gate in scenario.gates] == [
        side for side in (intent.first_side, intent.second_side) if side]
    assert intent.colour in (None, goal.colour)
    described = [o for o in scenario.objects
                 if o.kind == goal.kind and intent.colour in (None, o.colour)]
    assert described == [goal]


def test_a_task_that_the_scene_cannot_have_is_refused():
    with pytest.raises(ValueError, match='no scene of "1box_hori_left" has the task'):
        choose_scene('1box_hori_left', 0, Intent('right', 'cup', 'red'))
