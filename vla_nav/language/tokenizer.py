"""Text to character ids. Hangul is taken apart into its letters, so one vocabulary serves both.

The ids are part of every exported reader: never reorder the vocabulary, only append to it.
"""

from __future__ import annotations

import string
import unicodedata

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import NotUnderstood

LENGTH = 192
PAD, UNKNOWN = 0, 1

# Conjoining jamo as NFD gives them: 19 leading consonants, 21 vowels, 27 final consonants.
_JAMO = ''.join(map(chr, (*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3))))
VOCABULARY = ' ' + string.ascii_lowercase + string.digits + '.,;:!?\'"()-/&' + _JAMO
VOCABULARY_SIZE = 2 + len(VOCABULARY)
_IDS = {character: 2 + index for index, character in enumerate(VOCABULARY)}
_QUOTES = str.maketrans('‘’“”–—', '\'\'""--')


def normalise(text: str) -> str:
    """Return lower-case text, Hangul as jamo, one space for each run of white space.

    NFKC first, so that full-width and compatibility forms (as phones and IMEs give them) become
    the ordinary ones.
    """
    folded = unicodedata.normalize('NFKC', text).translate(_QUOTES)
    return ' '.join(unicodedata.normalize('NFD', folded.lower()).split())


def encode(text: str) -> NDArray[np.int64]:
    """Return character ids int64 [LENGTH], padded at the end.

    Raises :class:`NotUnderstood` for text that is too long: a cut text may say something else.
    """
    characters = normalise(text)
    if len(characters) > LENGTH:
        raise NotUnderstood(f'the instruction has {len(characters)} letters; at most {LENGTH} '
                            f'can be read. Say it shorter: "{text[:40]}..."')
    ids = np.full(LENGTH, PAD, np.int64)
    ids[:len(characters)] = [_IDS.get(character, UNKNOWN) for character in characters]
    return ids
