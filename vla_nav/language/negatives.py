"""Texts that are no valid instruction: what a reader must refuse rather than guess."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import string
from collections.abc import Callable, Sequence

import numpy as np

from vla_nav.language.grammar import (
    SPLITS,
    dress,
    fillings,
    lexicon,
    phrase,
    templates,
)
from vla_nav.language.intent import COLOURS, KINDS, OTHER_KINDS, SIDES, Intent
from vla_nav.language.lexicon import T, pick, tidy
from vla_nav.language.recombine import draw
from vla_nav.language.tokenizer import normalise
from vla_nav.language.unknown import (
    CHAT,
    CLASHES,
    CONTRADICTIONS,
    FOREIGN,
    INCOMPLETE,
    NEGATED,
    NEGATIONS,
    NO_SIDES,
    OR,
    UNKNOWN_COLOURS,
    UNKNOWN_NOUNS,
)

_HELD_OUT_EVERY = 5
_ONSETS = (*'bcdfghjklmnprstvwz', 'bl', 'br', 'ch', 'cl', 'dr', 'fl', 'gr', 'pl', 'sh', 'st', 'tr')
_CODAS = ('', '', '', *'bdgklmnprst', 'ck', 'll', 'nd', 'nt', 'rk', 'st')
_SYLLABLES = ('가나다라마바사아자차카타파하거너더러머버서어저처커터퍼허고노도로모보소오조초코'
              '토포호구누두루무부수우주추쿠투푸후기니디리미비시이지치키티피히간난단란만반산안잔찬탄판한')
_ANY_SCRIPT = string.printable + 'äöüßéèñçøåабвгдежзийклмнопрстあいうえおかきくけこ的一是不了人我'


def random_intent(rng: np.random.Generator) -> Intent:
    """Return any intent; half have a second gate, three quarters a colour."""
    colour = None if rng.random() < 0.25 else pick(tuple(COLOURS), rng)
    second = None if rng.random() < 0.5 else pick(SIDES, rng)
    return Intent(pick(SIDES, rng), pick(KINDS + OTHER_KINDS, rng), colour, second)


def negative(rng: np.random.Generator, language: str = 'en', split: str = 'train') -> str:
    """Return a text that says no task, or not all of one; '' now and then.

    The held-out split has its own patterns, sentences and unknown words.
    """
    if split not in SPLITS:
        raise ValueError(f'split must be one of {SPLITS}, got {split!r}')
    return NEGATIVES[pick(_DRAWN, rng)](rng, language, split)


def _part(items: Sequence[T], split: str) -> Sequence[T]:
    if split == 'heldout':
        return items[_HELD_OUT_EVERY - 1::_HELD_OUT_EVERY]
    return [item for index, item in enumerate(items)
            if index % _HELD_OUT_EVERY != _HELD_OUT_EVERY - 1]


def _altered(rng: np.random.Generator, language: str, split: str, intent: Intent | None = None,
             **changes: str) -> str:
    """Return a phrase of a (random) intent with some of its slots replaced."""
    intent = intent or random_intent(rng)
    slots = fillings(intent, rng, language) | changes
    pattern = draw(rng, language, split, intent.second_side is not None)
    return dress(lexicon(language).fill(pattern, slots, rng), rng, language)


def _noise(rng: np.random.Generator, language: str, split: str) -> str:
    length = int(rng.integers(0, 60))
    if rng.random() < 0.5:
        return ''.join(pick(_ANY_SCRIPT, rng) for _ in range(length))
    return ' '.join(made_up(rng, language, split) for _ in range(length // 6))


def made_up(rng: np.random.Generator, language: str, split: str = 'train') -> str:
    """Return a word that hardly exists: the halves of two unknown words, or syllables.

    It resembles none of the language's kinds and colours, so it is no typo of one either.
    """
    while True:
        if rng.random() < 0.5:
            one, other = (pick(_part(UNKNOWN_NOUNS[language], split), rng) for _ in range(2))
            word = one[:(len(one) + 1) // 2] + other[len(other) // 2:]
        elif language == 'ko':
            word = ''.join(pick(_SYLLABLES, rng) for _ in range(int(rng.integers(1, 4))))
        else:
            word = ''.join(pick(_ONSETS, rng) + pick('aeiouy', rng) + pick(_CODAS, rng)
                           for _ in range(int(rng.integers(1, 4))))
        if not difflib.get_close_matches(normalise(word), _known(language), 1, cutoff=0.65):
            return word


@functools.cache
def _known(language: str) -> tuple[str, ...]:
    words = lexicon(language)
    tables = (*words.kinds.values(), *words.colours.values(), words.words['cone'])
    boxes = tuple(slots['box'] for slots in words.obstacles)
    return tuple({normalise(part) for names in (*tables, boxes) for name in names
                  for part in name.split()})


def _chat(rng: np.random.Generator, language: str, split: str) -> str:
    return dress(pick(_part(CHAT[language], split), rng), rng, language)


def _foreign(rng: np.random.Generator, language: str, split: str) -> str:
    return pick(_part(FOREIGN, split), rng)


def _incomplete(rng: np.random.Generator, language: str, split: str) -> str:
    pattern = pick(_part(INCOMPLETE[language], split), rng)
    slots = fillings(random_intent(rng), rng, language)
    return dress(lexicon(language).fill(pattern, slots, rng), rng, language)


def _no_goal(rng: np.random.Generator, language: str, split: str) -> str:
    return _altered(rng, language, split, goal='')


def _unknown_noun(rng: np.random.Generator, language: str, split: str) -> str:
    if rng.random() < 0.4:
        return made_up(rng, language, split)
    return pick(_part(UNKNOWN_NOUNS[language], split), rng)


def _goal(rng: np.random.Generator, language: str, colour: str | None = None,
          kind: str | None = None) -> str:
    """Return a goal's words; what is not given is drawn from the known ones."""
    words = lexicon(language)
    if colour is None:
        known = rng.random() < 0.7
        colour = pick(words.colours[pick(tuple(COLOURS), rng)], rng) if known else ''
    kind = kind or pick(words.kinds[pick(KINDS + OTHER_KINDS, rng)], rng)
    return tidy(words.goal.format(colour=colour, kind=kind))


def _unknown_goal(rng: np.random.Generator, language: str, split: str) -> str:
    kind = _unknown_noun(rng, language, split)
    return _altered(rng, language, split, goal=_goal(rng, language, kind=kind))


def _unknown_colour(rng: np.random.Generator, language: str, split: str) -> str:
    colour = (_unknown_noun(rng, language, split) if rng.random() < 0.5
              else pick(_part(UNKNOWN_COLOURS[language], split), rng))
    return _altered(rng, language, split, goal=_goal(rng, language, colour=colour))


def _unknown_gate(rng: np.random.Generator, language: str, split: str) -> str:
    intent = random_intent(rng)
    gate = 'box' if intent.second_side is None else pick(('box', 'cone'), rng)
    noun = _unknown_noun(rng, language, split)
    return _altered(rng, language, split, intent,
                    **{gate: f'the {noun}' if language == 'en' else noun})


def _clash(rng: np.random.Generator, language: str, split: str) -> str:
    """Return a sentence with two goals, or with both sides of the one box."""
    intent = random_intent(rng)
    slots = fillings(intent, rng, language)
    other_goal = _goal(rng, language)
    match int(rng.integers(3)):
        case 0:
            pattern = pick(_part(CLASHES[language], split), rng)
            filled = lexicon(language).fill(pattern, slots | {'goal2': other_goal}, rng)
            return dress(filled, rng, language)
        case 1:
            both = slots['goal'] + pick(OR[language], rng) + other_goal
            return _altered(rng, language, split, intent, goal=both)
        case _:
            opposite = SIDES[1 - SIDES.index(intent.first_side)]
            twice = dataclasses.replace(intent, second_side=opposite)
            obstacle = pick(lexicon(language).obstacles, rng)
            return _altered(rng, language, split, twice, cone=obstacle['box'], **obstacle)


def _side_replaced(rng: np.random.Generator, language: str, split: str,
                   words: Sequence[str]) -> str:
    intent = random_intent(rng)
    number = '' if intent.second_side is None else pick(('', '2'), rng)
    return _altered(rng, language, split, intent,
                    **{name + number: pick(words, rng) for name in ('side', 'other')})


def _contradiction(rng: np.random.Generator, language: str, split: str) -> str:
    return _side_replaced(rng, language, split, CONTRADICTIONS[language])


def _no_side(rng: np.random.Generator, language: str, split: str) -> str:
    return _side_replaced(rng, language, split, NO_SIDES[language])


def _negated(rng: np.random.Generator, language: str, split: str) -> str:
    ban = NEGATED[language]
    intent = random_intent(rng)
    if language == 'en' and rng.random() < 0.3:
        return pick(NEGATIONS, rng) + _altered(rng, language, split, intent)
    patterns = [pattern for pattern in templates(language, split, intent.second_side is not None)
                if any(f'{{{word}}}' in pattern for word in ban)]
    slots = fillings(intent, rng, language) | {word: pick(ban[word], rng) for word in ban}
    return dress(lexicon(language).fill(pick(patterns, rng), slots, rng), rng, language)


def _truncated(rng: np.random.Generator, language: str, split: str) -> str:
    intent = random_intent(rng)
    sides = [side for names in lexicon(language).sides.values() for side in names]
    kinds = lexicon(language).kinds[intent.kind]
    words = phrase(intent, rng, language, split).split()
    while len(words) > 1:
        words = words[:int(rng.integers(1, len(words)))]
        text = ' '.join(words).lower()
        if not (any(side in text for side in sides) and any(kind in text for kind in kinds)):
            break
    return ' '.join(words)


def _scrambled(rng: np.random.Generator, language: str, split: str) -> str:
    # Korean order is free between words, so there the syllables are mixed, too.
    text = phrase(random_intent(rng), rng, language, split)
    if language == 'ko' or rng.random() < 0.2:
        return ''.join(rng.permutation(list(text)).tolist())
    words = text.split()
    for _ in range(50):
        order = rng.permutation(len(words))
        if not np.any(np.diff(order) == 1):
            break
    return ' '.join(words[index] for index in order)


def _salad(rng: np.random.Generator, language: str, split: str) -> str:
    words = [word for _ in range(4)
             for word in phrase(random_intent(rng), rng, language, split).split()]
    return ' '.join(rng.permutation(words)[:int(rng.integers(1, 14))].tolist())


NEGATIVES: dict[str, Callable[[np.random.Generator, str, str], str]] = {
    'noise': _noise, 'chat': _chat, 'foreign': _foreign, 'incomplete': _incomplete,
    'no_goal': _no_goal, 'unknown_goal': _unknown_goal, 'unknown_colour': _unknown_colour,
    'unknown_gate': _unknown_gate, 'contradiction': _contradiction, 'clash': _clash,
    'no_side': _no_side, 'negated': _negated, 'truncated': _truncated, 'scrambled': _scrambled,
    'salad': _salad,
}
# What differs from a valid instruction in one word only is drawn more often.
_OFTEN = ('unknown_goal', 'unknown_colour', 'unknown_gate', 'contradiction', 'clash', 'no_side',
          'negated')
_DRAWN = (*NEGATIVES, *_OFTEN, *_OFTEN)
