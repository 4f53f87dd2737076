"""A batch of instructions as networks take them: canonical English, and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from vla_nav.language.intent import FEATURE_SIZE
from vla_nav.language.reader import Reading


class Reads(Protocol):
    """What turns a sentence of any language into what it means, or refuses it."""

    def read(self, text: str) -> Reading:
        """Read one instruction; raise NotUnderstood rather than guess."""


@dataclass(frozen=True)
class Instructions:
    """B instructions: ``texts`` in canonical English, ``features`` float32 [B, 13] of them.

    Backbones that were trained on English read the texts, those from scratch the features.
    """

    texts: tuple[str, ...]
    features: Tensor

    def __post_init__(self) -> None:
        """Refuse features that do not belong to the texts."""
        if self.features.shape != (len(self.texts), FEATURE_SIZE):
            raise ValueError(f'features are {tuple(self.features.shape)}, expected '
                             f'[{len(self.texts)}, {FEATURE_SIZE}]')

    def __len__(self) -> int:
        """Return B."""
        return len(self.texts)

    @classmethod
    def of(cls, readings: Sequence[Reading]) -> Instructions:
        """Return what was read: Korean and paraphrases arrive here as the same English."""
        return cls(tuple(reading.intent.describe() for reading in readings),
                   torch.from_numpy(np.stack([r.features for r in readings])
                                    .astype(np.float32)).reshape(-1, FEATURE_SIZE))

    @classmethod
    def read(cls, texts: Sequence[str], reader: Reads) -> Instructions:
        """Read sentences, each distinct one once; raise NotUnderstood."""
        known = {text: reader.read(text) for text in dict.fromkeys(texts)}
        return cls.of([known[text] for text in texts])

    def to(self, device: torch.device | str) -> Instructions:
        """Return them on ``device``."""
        return Instructions(self.texts, self.features.to(device))

    def select(self, rows: Sequence[int]) -> Instructions:
        """Return the given rows, which may repeat."""
        index = torch.as_tensor(list(rows), dtype=torch.long, device=self.features.device)
        return Instructions(tuple(self.texts[row] for row in rows), self.features[index])
