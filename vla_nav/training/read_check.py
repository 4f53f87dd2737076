"""How well an instruction reader reads: by language, split and typos, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vla_nav.contracts import NotUnderstood
from vla_nav.language import slots
from vla_nav.language.grammar import LANGUAGES, SPLITS, phrase
from vla_nav.language.negatives import NEGATIVES, random_intent
from vla_nav.language.reader import InstructionReader, accepted
from vla_nav.language.tokenizer import encode
from vla_nav.training.instruction import InstructionEncoder
from vla_nav.training.sentences import with_typos

_BATCH = 250
Run = Callable[[NDArray[np.int64]], tuple[NDArray[np.float32], ...]]


def evaluate_instruction(reader: InstructionReader | InstructionEncoder, n: int = 2000,
                         seed: int = 1_000_000) -> dict[str, Any]:
    """Return rates over ``n`` fresh texts a row.

    For valid texts: ``exact`` (all slots right and taken), ``false_reject``, and ``misread``
    (taken, but wrong: the robot would do something else). For texts that are no instruction:
    ``false_accept``, in all and by type.
    """
    run = reader.run if isinstance(reader, InstructionReader) else _eager(reader)
    rng = np.random.default_rng(seed)
    result: dict[str, Any] = {'n': n, 'seed': seed, 'valid': {}, 'invalid': {}}
    for language in LANGUAGES:
        for split in SPLITS:
            for typos in (0, 1, 2):
                row = f'{language} {split}' + (f' {typos} typos' if typos else '')
                result['valid'][row] = _valid(run, rng, language, split, typos, n)
            result['invalid'][f'{language} {split}'] = _invalid(run, rng, language, split, n)
    return result


def _eager(model: InstructionEncoder) -> Run:
    def run(tokens: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        with torch.inference_mode():
            return tuple(out.numpy() for out in model.eval()(torch.from_numpy(tokens)))
    return run


def _valid(run: Run, rng: np.random.Generator, language: str, split: str, typos: int,
           n: int) -> dict[str, float]:
    intents = [random_intent(rng) for _ in range(n)]
    texts = [with_typos(phrase(intent, rng, language, split), rng, typos) for intent in intents]
    read, taken = _read(run, texts)
    right = (read == np.stack([slots.labels(intent) for intent in intents])).all(-1)
    return {'exact': float((right & taken).mean()), 'false_reject': float((~taken).mean()),
            'misread': float((~right & taken).mean())}


def _invalid(run: Run, rng: np.random.Generator, language: str, split: str,
             n: int) -> dict[str, Any]:
    each = max(1, n // len(NEGATIVES))
    by_type = {name: float(_read(run, [make(rng, language, split) for _ in range(each)])[1].mean())
               for name, make in NEGATIVES.items()}
    return {'false_accept': float(np.mean([*by_type.values()])), 'by_type': by_type}


def _read(run: Run, texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return slot values [N, 4], and which texts are taken [N]; too long is not taken."""
    read = np.zeros((len(texts), len(slots.SLOTS)), np.int64)
    taken = np.zeros(len(texts), bool)
    rows, tokens = [], []
    for row, text in enumerate(texts):
        try:
            tokens.append(encode(text))
        except NotUnderstood:
            continue
        rows.append(row)
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start:start + _BATCH]
        _, understood, logits = run(np.stack(tokens[start:start + _BATCH]))
        read[chosen], taken[chosen] = slots.most_likely(logits), accepted(understood, logits)
    return read, taken
