"""The grammar says what the intent means, in both languages and on both sides of the split."""

from __future__ import annotations

import re

import numpy as np
import pytest

from vla_nav.language.grammar import (
    LANGUAGES,
    LEXICONS,
    SPLITS,
    fillings,
    phrase,
    template_count,
    templates,
)
from vla_nav.language.intent import COLOURS, KINDS, OTHER_KINDS, SIDES, Intent

LEFT_CUP = Intent('left', 'cup', 'red')


def say(language: str, pattern: str, intent: Intent, seed: int = 0) -> str:
    """Return the sentence of one pattern with the first wording of every word."""
    rng = np.random.default_rng(seed)
    slots = fillings(intent, rng, language) | dict(LEXICONS[language].obstacles[0])
    return LEXICONS[language].fill(pattern, slots, rng)


@pytest.mark.parametrize(('pattern', 'expected'), [
    ('pass {box} on {its} {side}', 'pass the box on its left'),
    ('keep {box} on your {other}', 'keep the box on your right'),
    ('with {box} on your {other}', 'with the box on your right'),
])
def test_english_sides_are_the_robots(pattern: str, expected: str) -> None:
    """Going round on the left keeps the box on the robot's right."""
    assert say('en', pattern, LEFT_CUP) == expected


def test_korean_box_kept_on_the_right_means_left() -> None:
    """상자를 오른쪽에 두고 (keeping the box on the right) is the left way round."""
    text = say('ko', '{box}을/를 {other}에 두고', LEFT_CUP)
    assert text in ('상자를 오른쪽에 두고', '상자를 우측에 두고', '상자를 오른편에 두고')


@pytest.mark.parametrize(('language', 'box_is_there'), [
    ('en', r'your \{SLOT\}|the \{SLOT\} of you'),
    ('ko', r'\{SLOT\}에 |\{SLOT\}에,'),
])
def test_where_the_box_is_names_the_opposite_side(language: str, box_is_there: str) -> None:
    """Patterns that say where the box is, seen from the robot, name the side opposite to the
    robot's way; all others never do."""
    for pattern in LEXICONS[language].one_gate + LEXICONS[language].two_gate:
        for number in ('', '2'):
            kept = len(re.findall(box_is_there.replace('SLOT', f'other{number}'), pattern))
            wrong = re.findall(box_is_there.replace('SLOT', f'side{number}'), pattern)
            assert kept == pattern.count(f'{{other{number}}}') and not wrong, pattern


@pytest.mark.parametrize('language', LANGUAGES)
def test_every_pattern_names_each_gate_once_and_one_goal(language: str) -> None:
    """A sentence says neither less nor more than the intent."""
    words = LEXICONS[language]
    for pattern in words.one_gate + words.two_gate:
        assert pattern.count('{goal}') == 1, pattern
        assert pattern.count('{side}') + pattern.count('{other}') == 1, pattern
    for pattern in words.two_gate:
        assert pattern.count('{side2}') + pattern.count('{other2}') == 1, pattern
        assert pattern.index('{box}') < pattern.index('{cone}'), pattern


@pytest.mark.parametrize('language', LANGUAGES)
def test_a_fifth_is_held_out_and_disjoint(language: str) -> None:
    """The held-out patterns are exactly 20 %, of both forms, and none occurs in training."""
    for two_gates in (False, True):
        train = templates(language, 'train', two_gates)
        held_out = templates(language, 'heldout', two_gates)
        assert not {*train} & {*held_out}
        assert 4 * len(held_out) == len(train)
    assert template_count(language, 'train') + template_count(language, 'heldout') >= 60


@pytest.mark.parametrize('language', LANGUAGES)
@pytest.mark.parametrize('split', SPLITS)
def test_phrases_are_complete_and_reproducible(language: str, split: str) -> None:
    """Every intent can be said; nothing of the pattern language is left in the text."""
    for first in SIDES:
        for second in (None, *SIDES):
            for kind in KINDS + OTHER_KINDS:
                for colour in (None, *COLOURS):
                    intent = Intent(first, kind, colour, second)
                    text = phrase(intent, np.random.default_rng(5), language, split)
                    assert text == phrase(intent, np.random.default_rng(5), language, split)
                    assert not set(text) & set('{}[]|/'), text
                    assert any(word.lower() in text.lower()
                               for word in LEXICONS[language].kinds[kind]), text


def test_without_colour_no_colour_is_said() -> None:
    """An intent without colour gives a sentence without a colour word."""
    rng = np.random.default_rng(0)
    for language in LANGUAGES:
        colours = [c for names in LEXICONS[language].colours.values() for c in names]
        for _ in range(200):
            text = phrase(Intent('right', 'ball'), rng, language).lower()
            assert not any(f' {colour} ' in text for colour in colours), text


@pytest.mark.parametrize(('goal', 'expected'), [
    ('컵', '컵을 컵으로 컵이'), ('고깔', '고깔을 고깔로 고깔이'), ('상자', '상자를 상자로 상자가'),
])
def test_korean_particles_follow_the_last_syllable(goal: str, expected: str) -> None:
    """을/를, 으로/로 and 이/가 depend on a final consonant; 으로 also on ㄹ."""
    rng = np.random.default_rng(0)
    pattern = '{goal}을/를 {goal}으로/로 {goal}이/가'
    assert LEXICONS['ko'].fill(pattern, {'goal': goal}, rng) == expected


def test_unknown_language_and_split_are_refused() -> None:
    """The error names what there is."""
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="'en', 'ko'"):
        phrase(LEFT_CUP, rng, 'fr')
    with pytest.raises(ValueError, match="'train', 'heldout'"):
        phrase(LEFT_CUP, rng, 'en', 'validation')
