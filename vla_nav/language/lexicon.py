"""The words and sentence patterns of one language, and how a pattern becomes a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar('T')

_CHOICE = re.compile(r'\[([^\[\]]*)\]')
_SLOT = re.compile(r'\{(\w+)\}')
# Korean particles are written as the pair of their forms, as in Korean forms: 을/를 is 을
# behind a syllable with a final consonant, else 를.
_PARTICLE = re.compile(r'(.?)(을/를|이/가|은/는|과/와|으로/로)')
_SYLLABLE_BASE, _SYLLABLE_LAST, _FINALS, _FINAL_RIEUL = 0xAC00, 0xD7A3, 28, 8


@dataclass(frozen=True)
class Lexicon:
    """One language.

    A pattern holds choices ``[a|b]`` and slots ``{name}``. The slots ``side``, ``other`` (the
    opposite side), ``side2``, ``other2`` and ``goal`` come from the intent, those of
    ``obstacles`` (at least ``box``) are drawn together so that they agree in number, and
    ``words`` has everything else. Every fifth pattern of each table is held out.
    """

    one_gate: tuple[str, ...]
    two_gate: tuple[str, ...]
    sides: Mapping[str, tuple[str, ...]]
    goal: str
    kinds: Mapping[str, tuple[str, ...]]
    colours: Mapping[str, tuple[str, ...]]
    obstacles: tuple[Mapping[str, str], ...]
    words: Mapping[str, tuple[str, ...]]
    openings: tuple[str, ...]
    closings: tuple[str, ...]

    def fill(self, pattern: str, slots: Mapping[str, str], rng: np.random.Generator) -> str:
        """Return the sentence of a pattern; ``slots`` take precedence over ``words``."""
        def slot(match: re.Match[str]) -> str:
            name = match[1]
            return slots[name] if name in slots else pick(self.words[name], rng)
        text = _CHOICE.sub(lambda match: pick(match[1].split('|'), rng), pattern)
        return tidy(_PARTICLE.sub(_particle, _SLOT.sub(slot, text)))


def pick(options: Sequence[T], rng: np.random.Generator) -> T:
    """Return one of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def tidy(text: str) -> str:
    """Return the text with single spaces, and none before a comma or a full stop."""
    return re.sub(r' +([,.;:])', r'\1', ' '.join(text.split()))


def _particle(match: re.Match[str]) -> str:
    before, (closed, open_) = match[1], match[2].split('/')
    final = 0
    if before and _SYLLABLE_BASE <= ord(before) <= _SYLLABLE_LAST:
        final = (ord(before) - _SYLLABLE_BASE) % _FINALS
    # 으로 alone also drops its 으 behind ㄹ: 볼로, but 컵으로.
    use_open = final == 0 or (closed == '으로' and final == _FINAL_RIEUL)
    return before + (open_ if use_open else closed)
