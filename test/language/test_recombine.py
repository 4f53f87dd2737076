"""Recombined training patterns mean what their parts mean and leave the held-out ones out."""

from __future__ import annotations

import re

import pytest

from vla_nav.language.grammar import LANGUAGES, LEXICONS, templates
from vla_nav.language.recombine import recombined, routes


@pytest.mark.parametrize('language', LANGUAGES)
@pytest.mark.parametrize('two_gates', [False, True])
def test_no_held_out_pattern_is_made(language: str, two_gates: bool) -> None:
    """What is held out stays unseen, whatever is put together."""
    held_out = {*templates(language, 'heldout', False), *templates(language, 'heldout', True)}
    made = recombined(language, two_gates)
    assert len(made) > 300 and not held_out & {*made}


@pytest.mark.parametrize('language', LANGUAGES)
@pytest.mark.parametrize('two_gates', [False, True])
def test_each_gate_and_the_goal_are_named_once(language: str, two_gates: bool) -> None:
    """Sides keep their meaning: only the keeping routes name the opposite side."""
    for pattern in recombined(language, two_gates)[::7]:
        for number in ('', '2') if two_gates else ('',):
            assert len(re.findall(rf'\{{(?:side|other){number}\}}', pattern)) == 1, pattern
        assert pattern.count('{goal}') == 1, pattern
        names = {*re.findall(r'\{(\w+)\}', pattern)}
        known = {*LEXICONS[language].words, *LEXICONS[language].obstacles[0], 'goal', 'side',
                 'other', 'side2', 'other2'}
        assert names <= known, pattern


@pytest.mark.parametrize('language', LANGUAGES)
def test_routes_come_from_training_patterns(language: str) -> None:
    """A route is a piece of a training pattern, and there are many."""
    train = templates(language, 'train', False)
    assert len(routes(language)) >= 20
    for route in routes(language):
        assert any(pattern.startswith(route) for pattern in train)
