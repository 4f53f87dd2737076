"""How large a member of the family is, by part, counted on the network itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from vla_nav.policies.config import FamilyConfig
from vla_nav.policies.family import FamilyPolicy

_MODULES: dict[str, str | tuple[str, ...]] = {
    'Kosmos-2 vision': 'backbones.kosmos2.model.vision_model.',
    'Kosmos-2 text': 'backbones.kosmos2.model.text_model.',
    'Kosmos-2 projection': 'backbones.kosmos2.model.image_to_text_projection.',
    'Kosmos-2 query': 'backbones.kosmos2.query',
    'CLIP vision': ('backbones.clip.model.vision_model.',
                    'backbones.clip.model.visual_projection.'),
    'CLIP text': ('backbones.clip.model.text_model.', 'backbones.clip.model.text_projection.',
                  'backbones.clip.model.logit_scale'),
    'small transformer': 'backbones.small_vlm.',
    'small convolutions': 'backbones.small_conv.',
    'resampler': 'fusion.resamplers.',
    'fusion': 'fusion.',
    'head': 'head.',
    'predictor': 'predictor.',
}


@dataclass(frozen=True)
class Counts:
    """Parameters by part, in the order of the data's way; ``learns`` of the ``total``.

    ``bytes`` are those of all weights as they are kept in memory.
    """

    name: str
    parts: dict[str, int]
    total: int
    learns: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return vars(self)


def count(config: FamilyConfig) -> Counts:
    """Count a member at full size, without memory for its weights (PyTorch's meta device)."""
    with torch.device('meta'):
        policy = FamilyPolicy(config, 'random')
    parts = dict.fromkeys(_MODULES, 0)
    for name, parameter in policy.named_parameters():
        part = 'LoRA' if 'lora_' in name else _part(name)
        parts[part] = parts.get(part, 0) + parameter.numel()
    parameters = list(policy.parameters())
    return Counts(
        config.name, {part: size for part, size in parts.items() if size},
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in policy.trainable()),
        sum(p.numel() * p.element_size() for p in parameters))


def markdown(rows: Iterable[tuple[Counts, FamilyConfig]]) -> str:
    """Return a table with a row for each member, in millions of parameters."""
    rows = list(rows)
    used = [part for part in (*_MODULES, 'LoRA') if any(part in c.parts for c, _ in rows)]
    head = ['preset', *used, 'total', 'learns', 'weights']
    lines = ['| ' + ' | '.join(head) + ' |', '|---|' + '---:|' * (len(head) - 1)]
    for counts, config in rows:
        name = f'`{counts.name}`, head {config.head.hidden} × {config.head.layers}'
        cells = [millions(counts.parts[part]) if part in counts.parts else '' for part in used]
        cells += [millions(counts.total), millions(counts.learns), gigabytes(counts.bytes)]
        lines.append('| ' + ' | '.join([name, *cells]) + ' |')
    return '\n'.join(lines) + '\n'


def millions(number: int) -> str:
    """Return a count in millions: '1,664 M', '0.0020 M'."""
    value = number / 1e6
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 4
    return f'{value:,.{digits}f} M'


def gigabytes(number: int) -> str:
    """Return bytes in GiB or MiB."""
    return f'{number / 2**30:.2f} GiB' if number >= 2**30 else f'{number / 2**20:.1f} MiB'


def _part(name: str) -> str:
    return next(part for part, prefix in _MODULES.items() if name.startswith(prefix))
