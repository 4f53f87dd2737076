"""Text becomes ids without loss of meaning: Hangul as jamo, never cut."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.contracts import NotUnderstood
from vla_nav.language.grammar import LANGUAGES, SPLITS, phrase
from vla_nav.language.negatives import random_intent
from vla_nav.language.tokenizer import (
    LENGTH,
    PAD,
    UNKNOWN,
    VOCABULARY,
    VOCABULARY_SIZE,
    encode,
)


def test_vocabulary_has_no_character_twice() -> None:
    """Each id has one character, and every syllable's jamo are known."""
    assert len(set(VOCABULARY)) == len(VOCABULARY) == VOCABULARY_SIZE - 2
    syllables = ''.join(map(chr, range(0xAC00, 0xD7A4)))
    assert set(unicodedata.normalize('NFD', syllables)) <= set(VOCABULARY)


@pytest.mark.parametrize(('text', 'same'), [
    ('Stop at the RED cup', '  stop at  the red\tcup\n'),
    ('don’t', "don't"),
    ('ｌｅｆｔ', 'left'),
    ('컵', unicodedata.normalize('NFD', '컵')),
])
def test_ways_of_writing_the_same_give_the_same_ids(text: str, same: str) -> None:
    """Case, white space, width, quotes and Unicode forms do not matter."""
    np.testing.assert_array_equal(encode(text), encode(same))


@given(st.text(max_size=60))
def test_any_short_text_has_ids(text: str) -> None:
    """Whatever is typed gets ids of the fixed length, with padding only at the end."""
    try:
        ids = encode(text)
    except NotUnderstood:
        return
    assert ids.shape == (LENGTH,) and ids.dtype == np.int64
    assert ids.min() >= 0 and ids.max() < VOCABULARY_SIZE
    used = ids != PAD
    assert not np.any(~used[:-1] & used[1:])


def test_long_text_is_refused_not_cut() -> None:
    """The last letter may be the one that matters."""
    assert np.all(encode('a' * LENGTH) != PAD)
    with pytest.raises(NotUnderstood, match=f'at most {LENGTH}'):
        encode('a' * (LENGTH + 1))


def test_the_grammars_sentences_fit_and_are_known() -> None:
    """No sentence of the grammar is too long or has a character without an id."""
    rng = np.random.default_rng(0)
    for language in LANGUAGES:
        for split in SPLITS:
            for _ in range(300):
                assert UNKNOWN not in encode(phrase(random_intent(rng), rng, language, split))
