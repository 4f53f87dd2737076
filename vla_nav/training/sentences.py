"""Labelled sentences for the instruction reader, made on the fly from the grammar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_nav.language import slots
from vla_nav.language.grammar import LANGUAGES, dress, fillings, lexicon
from vla_nav.language.intent import Intent
from vla_nav.language.lexicon import pick
from vla_nav.language.negatives import negative, random_intent
from vla_nav.language.recombine import draw
from vla_nav.language.tokenizer import LENGTH, VOCABULARY, encode, normalise

# One edit turns cup into cap and 콘 into 곤: words up to this length keep their spelling.
_SPELT_RIGHT = 3
_LETTERS = 'abcdefghijklmnopqrstuvwxyz'
_JAMO = VOCABULARY[VOCABULARY.index('ᄀ'):]
_FILLERS = {
    'en': ('just', 'carefully', 'slowly', 'simply', 'well', 'um', 'gently', 'safely', 'quickly',
           'quietly', 'please', 'robot', 'kindly', 'so', 'now', 'and', 'always'),
    'ko': ('조심해서', '천천히', '그냥', '살짝', '안전하게', '좀', '바로', '음', '빨리', '조용히',
           '잘', '로봇아', '제발', '그러면', '이제', '항상'),
}


@dataclass(frozen=True)
class Batch:
    """``tokens`` int64 [B, LENGTH], ``labels`` int64 [B, 4], ``understood`` float32 [B].

    Labels mean something only where ``understood`` is 1.
    """

    tokens: NDArray[np.int64]
    labels: NDArray[np.int64]
    understood: NDArray[np.float32]


def with_typos(text: str, rng: np.random.Generator, edits: int) -> str:
    """Return the normalised text with letters swapped, lost, doubled or replaced."""
    letters = list(normalise(text))
    for _ in range(edits):
        places = _editable(''.join(letters))
        if not places:
            break
        place = pick(places, rng)
        alphabet = _LETTERS if letters[place] in _LETTERS else _JAMO
        match int(rng.integers(4)):
            case 0:
                letters[place - 1:place + 1] = letters[place - 1:place + 1][::-1]
            case 1:
                del letters[place]
            case 2:
                letters.insert(place, letters[place])
            case _:
                letters[place] = pick(alphabet, rng)
    return ''.join(letters)


def _editable(text: str) -> list[int]:
    """Return the places of letters that are not the first of a long enough word."""
    places, start = [], 0
    for word in text.split(' '):
        if len(word.strip('.,;:!?')) > _SPELT_RIGHT:
            places += [start + k for k, letter in enumerate(word) if k and letter.isalpha()]
        start += len(word) + 1
    return places


def with_noise(text: str, rng: np.random.Generator, language: str) -> str:
    """Return the text in careless writing: fillers, punctuation, missing words and spaces."""
    if rng.random() < 0.1:
        words = text.split(' ')
        for _ in range(int(rng.integers(1, 3))):
            words.insert(int(rng.integers(0, len(words) + 1)), pick(_FILLERS[language], rng))
        text = ' '.join(words)
    if language == 'en' and rng.random() < 0.1:
        text = text.replace('the ', '')
    if rng.random() < 0.2:
        text = ''.join(letter for letter in text if letter not in '.,;:')
    if rng.random() < 0.15:
        text += pick(('!', '!!', ' .', '..', '?', ' ', ' ok', ';'), rng)
    if rng.random() < 0.1 and ' ' in text:
        words = text.split(' ')
        place = int(rng.integers(1, len(words)))
        text = ' '.join(words[:place]) + words[place] + ' '.join(['', *words[place + 1:]])
    return text


def wording(intent: Intent, rng: np.random.Generator, language: str) -> str:
    """Return the intent in words: a training pattern, or one recombined of their routes."""
    pattern = draw(rng, language, 'train', intent.second_side is not None)
    return dress(lexicon(language).fill(pattern, fillings(intent, rng, language), rng), rng,
                 language)


def sample(size: int, rng: np.random.Generator, negatives: float = 0.45,
           typos: float = 0.35) -> Batch:
    """Return a training batch of both languages from the training patterns only."""
    tokens = np.empty((size, LENGTH), np.int64)
    labels = np.zeros((size, len(slots.SLOTS)), np.int64)
    understood = np.zeros(size, np.float32)
    row = 0
    while row < size:
        language = LANGUAGES[row % len(LANGUAGES)]
        intent = random_intent(rng)
        good = rng.random() >= negatives
        text = wording(intent, rng, language) if good else negative(rng, language)
        text = with_noise(text, rng, language)
        if rng.random() < typos:
            text = with_typos(text, rng, int(rng.integers(1, 3)))
        if len(normalise(text)) > LENGTH:
            continue
        tokens[row] = encode(text)
        understood[row] = good
        if good:
            labels[row] = slots.labels(intent)
        row += 1
    return Batch(tokens, labels, understood)
