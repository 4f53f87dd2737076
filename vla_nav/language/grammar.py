"""Instructions in many wordings, English and Korean, for training and for testing."""

from __future__ import annotations

import numpy as np

from vla_nav.language.english import ENGLISH
from vla_nav.language.intent import SIDES, Intent
from vla_nav.language.korean import KOREAN
from vla_nav.language.lexicon import Lexicon, pick, tidy
from vla_nav.language.tokenizer import normalise

LEXICONS: dict[str, Lexicon] = {'en': ENGLISH, 'ko': KOREAN}
LANGUAGES = tuple(LEXICONS)
SPLITS = ('train', 'heldout')
# Every fifth pattern of a table is held out: 20 %, fixed by place, so that a table only grows
# at its end.
_HELD_OUT_EVERY = 5

_OPENING, _CLOSING, _CAPITAL, _FULL_STOP = 0.2, 0.15, 0.5, 0.4


def language_of(text: str) -> str:
    """Return the language of an instruction: Korean where it has a letter of Hangul."""
    return 'ko' if any('\u1100' <= letter <= '\u11ff' for letter in normalise(text)) else 'en'


def lexicon(language: str) -> Lexicon:
    """Return the tables of ``'en'`` or ``'ko'``."""
    if language not in LEXICONS:
        raise ValueError(f'language must be one of {LANGUAGES}, got {language!r}')
    return LEXICONS[language]


def templates(language: str, split: str, two_gates: bool) -> tuple[str, ...]:
    """Return the patterns of one language, split and form."""
    if split not in SPLITS:
        raise ValueError(f'split must be one of {SPLITS}, got {split!r}')
    words = lexicon(language)
    table = words.two_gate if two_gates else words.one_gate
    held_out = table[_HELD_OUT_EVERY - 1::_HELD_OUT_EVERY]
    if split == 'heldout':
        return held_out
    return tuple(pattern for pattern in table if pattern not in held_out)


def template_count(language: str, split: str) -> int:
    """Return the number of patterns, one-gate and two-gate together."""
    return sum(len(templates(language, split, two_gates)) for two_gates in (False, True))


def fillings(intent: Intent, rng: np.random.Generator, language: str) -> dict[str, str]:
    """Return wordings for the slots that carry the meaning, each drawn anew."""
    words = lexicon(language)
    slots = dict(pick(words.obstacles, rng))
    for number, side in (('', intent.first_side), ('2', intent.second_side)):
        if side is not None:
            opposite = SIDES[1 - SIDES.index(side)]
            slots[f'side{number}'] = pick(words.sides[side], rng)
            slots[f'other{number}'] = pick(words.sides[opposite], rng)
    colour = '' if intent.colour is None else pick(words.colours[intent.colour], rng)
    kind = pick(words.kinds[intent.kind], rng)
    slots['goal'] = tidy(words.goal.format(colour=colour, kind=kind))
    return slots


def phrase(intent: Intent, rng: np.random.Generator, language: str = 'en',
           split: str = 'train') -> str:
    """Return one wording of the intent, drawn from the patterns of the split."""
    pattern = pick(templates(language, split, intent.second_side is not None), rng)
    text = lexicon(language).fill(pattern, fillings(intent, rng, language), rng)
    return dress(text, rng, language)


def dress(text: str, rng: np.random.Generator, language: str) -> str:
    """Return the sentence with or without address, thanks, capital letter and full stop."""
    words = lexicon(language)
    if rng.random() < _OPENING:
        text = pick(words.openings, rng) + text
    if rng.random() < _CLOSING and text[-1:] not in ('.', '?'):
        text += pick(words.closings, rng)
    if rng.random() < _CAPITAL:
        text = text[:1].upper() + text[1:]
    if rng.random() < _FULL_STOP and text[-1:] not in ('.', '?'):
        text += '.'
    return text
