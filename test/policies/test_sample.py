"""A cut-down member: a bundle that loads through the real loading code, at published widths."""

from __future__ import annotations

import bundles
import numpy as np
import pytest
import transformers

from vla_nav.contracts import Frame
from vla_nav.policies.sample import write_sample
from vla_nav.runtimes import load_policy

SMALL = ['head.hidden=16', 'head.layers=1', 'fusion.size=24', 'head.predictor=[8]',
         'action.chunk=4']


@pytest.fixture
def narrow_kosmos(monkeypatch):
    """Shrink what is hundreds of megabytes at its published width."""
    whole = transformers.Kosmos2Config

    def small():
        return whole(
            text_config={'vocab_size': 500, 'embed_dim': 32, 'ffn_dim': 64, 'attention_heads': 4},
            vision_config={'hidden_size': 24, 'intermediate_size': 48, 'num_attention_heads': 4})
    monkeypatch.setattr(transformers, 'Kosmos2Config', small)


def test_a_sample_is_a_bundle_that_drives(tmp_path, narrow_kosmos):
    reader = bundles.write_bundle(tmp_path / 'other') / 'instruction.onnx'
    config = write_sample('kosmos2_clip_hybrid', [*SMALL, 'backbone.clip=null',
                                                  'backbone.resampler=null'], 1, reader,
                          tmp_path / 'out')
    assert config.backbone.dtype == 'float32'
    assert not list((tmp_path / 'out' / 'backbones').glob('clip'))
    policy = load_policy(tmp_path / 'out', 'cpu')
    policy.set_instruction('go')
    chunk = policy.act(Frame(np.full((224, 224, 3), 90, np.uint8), 1))
    assert chunk.velocities.shape == (4, 3)


def test_clip_keeps_its_published_width(tmp_path):
    write_sample('clip_lstm', SMALL, 1, bundles.write_bundle(tmp_path / 'o') / 'instruction.onnx',
                 tmp_path / 'out')
    model = transformers.CLIPModel.from_pretrained(tmp_path / 'out' / 'backbones' / 'clip')
    assert model.config.vision_config.hidden_size == 768
    assert len(model.vision_model.encoder.layers) == 1
