"""What is no instruction: incomplete, contradictory, unknown."""

from __future__ import annotations

import numpy as np
import pytest

from vla_nav.language.grammar import LANGUAGES, LEXICONS, SPLITS
from vla_nav.language.negatives import NEGATIVES, made_up, negative

DRAWS = 150


@pytest.mark.parametrize('language', LANGUAGES)
@pytest.mark.parametrize('split', SPLITS)
@pytest.mark.parametrize('kind', [kind for kind in NEGATIVES if kind != 'noise'])
def test_negatives_are_finished_texts(language: str, split: str, kind: str) -> None:
    """No slot or choice is left open."""
    rng = np.random.default_rng(0)
    for _ in range(DRAWS):
        assert not set(NEGATIVES[kind](rng, language, split)) & set('{}[]|')


@pytest.mark.parametrize('language', LANGUAGES)
@pytest.mark.parametrize('split', SPLITS)
def test_no_goal_means_no_known_object(language: str, split: str) -> None:
    """Neither a missing nor an unknown goal leaves a word for a known object, cones apart."""
    kinds = [word for kind, words in LEXICONS[language].kinds.items() if kind != 'cone'
             for word in words if len(word) > 1]
    rng = np.random.default_rng(0)
    for name in ('no_goal', 'unknown_goal'):
        for _ in range(DRAWS):
            words = NEGATIVES[name](rng, language, split).lower().split()
            assert not {*kinds} & {*words}, words


@pytest.mark.parametrize('language', LANGUAGES)
def test_unknown_words_of_the_splits_differ(language: str) -> None:
    """A reader is tested on unknown words that it was not trained on."""
    rng = np.random.default_rng(0)
    texts = {split: {NEGATIVES['foreign'](rng, language, split) for _ in range(DRAWS)}
             for split in SPLITS}
    assert not texts['train'] & texts['heldout']


def test_made_up_words_are_far_from_known_ones() -> None:
    """A made-up word is nobody's typo of a known one."""
    rng = np.random.default_rng(0)
    for language in LANGUAGES:
        known = {word for words in LEXICONS[language].kinds.values() for names in words
                 for word in names.split()}
        assert not known & {made_up(rng, language) for _ in range(DRAWS)}


def test_negatives_are_reproducible_and_varied() -> None:
    """The same generator state gives the same text, and many draws many texts."""
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    texts = [negative(first, 'ko') for _ in range(DRAWS)]
    assert texts == [negative(second, 'ko') for _ in range(DRAWS)]
    assert len({*texts}) > DRAWS // 2
