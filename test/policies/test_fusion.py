"""What becomes one feature of what the backbones give."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from vla_nav.policies.config import FusionConfig, ResamplerConfig
from vla_nav.policies.fusion import Fusion, Piece

PIECES = (Piece('picture', (6,)), Piece('patches', (5, 12)))


def fusion_of(width: int | None) -> Fusion:
    torch.manual_seed(1)
    return Fusion(PIECES, ResamplerConfig(queries=3, depth=2, heads=2, width=width),
                  FusionConfig(size=7)).eval()


@pytest.mark.parametrize('width', [None, 4])
def test_a_resampler_of_any_width_reads_every_token(width: int | None) -> None:
    fusion = fusion_of(width)
    flat = torch.randn(2, 3, 6 + 5 * 12)
    with torch.inference_mode():
        feature = fusion(flat)
        assert feature.shape == (2, 3, 7)
        for token in range(5):
            changed = flat.clone()
            changed[..., 6 + token * 12:6 + (token + 1) * 12] += torch.randn(12)
            assert not torch.allclose(fusion(changed), feature, atol=1e-6)


def test_without_a_width_its_layers_are_as_wide_as_the_tokens() -> None:
    assert fusion_of(None).resamplers['1'].queries.shape == (3, 12)
    narrow = fusion_of(2)
    assert narrow.resamplers['1'].queries.shape == (3, 2)
    # All that the narrow one does at the tokens' width is one map.
    assert [name for name, value in narrow.resamplers['1'].named_parameters()
            if 12 in value.shape] == ['narrow.weight']


def test_heads_that_cannot_share_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match='multiple of heads'):
        ResamplerConfig(heads=8, width=100)
