"""A member with random weights at its published widths, cut to a few layers: to try exports on.

Published checkpoints are gigabytes; what an export of them takes and costs can be seen on some of
their layers.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from vla_nav.policies.config import FamilyConfig, load_preset
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.family_steps import canonical_texts
from vla_nav.policies.save import write_family_bundle

_PUNCTUATION = '.,?!-<>/'


def write_sample(preset: str, overrides: Sequence[str], layers: int, reader: Path,
                 out: Path) -> FamilyConfig:
    """Write backbones of ``layers`` layers a tower, and the bundle ``out`` that stands on them.

    The backbones lie in ``out/backbones``. Raises ConfigError.
    """
    config = load_preset(preset, [*overrides])
    sources = []
    for name, write in (('kosmos2', _write_kosmos2), ('clip', _write_clip)):
        if getattr(config.backbone, name) is not None:
            folder = (out / 'backbones' / name).absolute()
            torch.manual_seed(0)
            write(folder, layers)
            sources.append(f'backbone.{name}.source={folder}')
    # Half precision does not go through every exporter on a processor.
    config = load_preset(preset, [*overrides, *sources, 'backbone.dtype=float32'])
    policy = FamilyPolicy(config).eval()
    write_family_bundle(policy, reader, out, training={'sample': f'random weights, {layers} '
                                                       'layers'})
    return config


def _write_kosmos2(folder: Path, layers: int) -> None:
    from transformers import (
        CLIPImageProcessor,
        Kosmos2Config,
        Kosmos2Model,
        Kosmos2Processor,
        XLMRobertaTokenizer,
    )
    config: Any = Kosmos2Config()
    config.text_config.layers = config.vision_config.num_hidden_layers = layers
    Kosmos2Model(config).save_pretrained(folder)
    vocabulary = [(token, 0.0) for token in ('<s>', '<pad>', '</s>', '<unk>')]
    vocabulary += [('▁', -2.0), *((f'▁{word}', -1.0) for word in _words())]
    vocabulary += [(letter, -3.0)
                   for letter in string.ascii_letters + string.digits + _PUNCTUATION]
    tokenizer = XLMRobertaTokenizer(vocab=vocabulary)
    pictures = CLIPImageProcessor()
    # It adds the marks around a picture.
    Kosmos2Processor(pictures, tokenizer, config.latent_query_num).tokenizer.save_pretrained(
        folder)
    pictures.save_pretrained(folder)


def _write_clip(folder: Path, layers: int) -> None:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer
    letters = string.ascii_lowercase + string.digits + _PUNCTUATION
    tokens = ['<|startoftext|>', '<|endoftext|>', *letters, *(f'{c}</w>' for c in letters)]
    tokenizer: Any = CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    config: Any = CLIPConfig()
    for tower in (config.text_config, config.vision_config):
        tower.num_hidden_layers = layers
    config.text_config.bos_token_id = 0
    config.text_config.eos_token_id = config.text_config.pad_token_id = 1
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)


def _words() -> list[str]:
    """Return the words that instructions are put in, before they reach a backbone."""
    said = ' '.join(canonical_texts()).lower()
    return sorted({word.strip(_PUNCTUATION) for word in said.split()} - {''})
