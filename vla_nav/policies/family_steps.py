"""A member of the family, cut where an export needs it: the instruction, the step, the head."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from vla_nav.language.intent import Intent
from vla_nav.language.slots import SLOTS
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.instructions import Instructions

_READERS = ('kosmos2', 'clip')


class FamilyHead(nn.Module):
    """What is behind the backbones: one frame's features [1, F] and the memory in."""

    def __init__(self, policy: FamilyPolicy) -> None:
        """Share the policy's weights."""
        super().__init__()
        self.policy = policy
        self.eval()

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the chunk [1, K, A], the belief to have arrived [1, 1] and the memory."""
        return self.decide(features, state)

    def decide(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run fusion, head and predictor; a head without a memory leaves ``state`` as it is."""
        size = self.policy.state_size
        chunks, arrived, after = self.policy.act(features[:, None], state[:, :size])
        return chunks[:, 0], torch.sigmoid(arrived), after if size else state * 1.0


class FamilyStep(FamilyHead):
    """One step from a picture, with all that depends on the instruction alone as inputs."""

    def __init__(self, policy: FamilyPolicy, told: list[str], shows: bool) -> None:
        """Take the names of the inputs between picture and state; ``shows`` the features too."""
        super().__init__(policy)
        self.told, self.shows = told, shows

    def forward(self, image: Tensor,  # type: ignore[override]
                *rest: Tensor) -> tuple[Tensor, ...]:
        """Return the chunk, the belief to have arrived, the memory, perhaps the features."""
        told, features = dict(zip(self.told, rest)), []
        for name, part in self.policy.backbones.items():
            if name == 'kosmos2':
                seen = _any(part).see(image, told['kosmos2_prefix'], told['kosmos2_there'] > 0.5)
            elif name == 'clip':
                seen = _any(part).see(image, told['clip_text'])
            else:
                seen = part(image, Instructions(('',), told['instruction']))
            features.append(seen.float())
        all_features = torch.cat(features, 1)
        decided = self.decide(all_features, rest[-1])
        return (*decided, all_features) if self.shows else decided


class TextStep(nn.Module):
    """Token ids in, what the backbones make of the instruction out.

    ``ids`` holds, for every text that a policy can be told, the ids of each backbone's tokenizer,
    int64 [L]: all of one length, so that the graph has fixed sizes.
    """

    def __init__(self, policy: FamilyPolicy, texts: list[str]) -> None:
        """Share the policy's weights, and tokenise ``texts``."""
        super().__init__()
        self.parts = nn.ModuleDict({name: policy.backbones[name] for name in _READERS
                                    if name in policy.backbones})
        tables = {name: _table(name, part, texts) for name, part in self.parts.items()}
        self.ids = {text: {f'{name}_tokens': table[text] for name, table in tables.items()}
                    for text in texts}
        self.eval()

    @property
    def outputs(self) -> list[str]:
        """Return the names of the outputs."""
        return [out for name in self.parts
                for out in (['kosmos2_prefix', 'kosmos2_there'] if name == 'kosmos2'
                            else ['clip_text'])]

    def forward(self, *ids: Tensor) -> tuple[Tensor, ...]:
        """Return :attr:`outputs`, float32, of int64 [1, L] of each backbone."""
        out: list[Tensor] = []
        for part, tokens in zip(self.parts.values(), ids):
            if hasattr(part, 'read'):
                prefix, there = _any(part).read(tokens)
                out += [prefix.float(), there.float()]
            else:
                out.append(_any(part).model.get_text_features(tokens).pooler_output.float())
        return tuple(out)

    def tokens(self, text: str) -> tuple[Tensor, ...]:
        """Return the inputs that stand for a text."""
        return tuple(torch.tensor([ids]) for ids in self.ids[text].values())

    def example(self) -> dict[str, Tensor]:
        """Return the outputs for some text, by name."""
        with torch.no_grad():
            return dict(zip(self.outputs, self(*self.tokens(next(iter(self.ids))))))


def text_step(policy: FamilyPolicy, phrases: tuple[str, ...]) -> TextStep | None:
    """Return what reads texts for backbones that do; None where none does."""
    if not any(name in policy.backbones for name in _READERS):
        return None
    return TextStep(policy, list(phrases) or canonical_texts())


def canonical_texts() -> list[str]:
    """Return every canonical sentence that an instruction can be read as, and the empty one."""
    names = list(SLOTS)
    return ['', *(Intent(**dict(zip(names, values))).describe()  # type: ignore[arg-type]
                  for values in product(*SLOTS.values()))]


def _table(name: str, part: nn.Module, texts: list[str]) -> dict[str, list[int]]:
    tokenizer: Any = part.tokenizer
    if name == 'kosmos2':
        found = {text: _any(part)._ids(text) for text in texts}
        longest = max(map(len, found.values()))
        return {text: [tokenizer.pad_token_id] * (longest - len(ids)) + ids
                for text, ids in found.items()}
    found = {text: list(map(int, torch.as_tensor(
        tokenizer(text, truncation=True)['input_ids']).flatten())) for text in texts}
    longest = max(map(len, found.values()))
    # The first end mark is what is read; attention looks back only, so that more change nothing.
    return {text: ids + ids[-1:] * (longest - len(ids)) for text, ids in found.items()}


def _any(part: nn.Module) -> Any:
    return part
