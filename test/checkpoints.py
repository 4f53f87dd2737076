"""Tiny checkpoints in the form of the published ones, for tests through the real loading code.

Sharded safetensors, configuration, tokenizer and processor files; random weights.
"""

from __future__ import annotations

import string
from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizer,
    Kosmos2Config,
    Kosmos2ForConditionalGeneration,
    Kosmos2Processor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    XLMRobertaTokenizer,
)

SIDE = 32  # pixels of the pictures that both take
_MEAN, _STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]


def write_checkpoints(directory: Path) -> dict[str, Path]:
    """Write both checkpoints below ``directory`` and return their folders by name."""
    folders = {'kosmos2': directory / 'kosmos2', 'clip': directory / 'clip'}
    write_kosmos2(folders['kosmos2'])
    write_clip(folders['clip'])
    return folders


def overrides(folders: dict[str, Path]) -> list[str]:
    """Return what turns a preset into its tiny form on these checkpoints."""
    small = [f'backbone.height={SIDE}', f'backbone.width={SIDE}', 'fusion.size=24',
             'head.hidden=16', 'head.layers=2', 'head.predictor=[16, 8]', 'action.chunk=4',
             'backbone.dtype=float32']
    return small + [f'backbone.{name}.source={path}' for name, path in folders.items()]


def write_kosmos2(directory: Path) -> None:
    """Write a Kosmos-2 of two layers, as its whole published class saves itself."""
    letters = [(letter, -3.0) for letter in string.ascii_letters + string.digits + '.,?!-<>/']
    words = [(f'▁{word}', -1.0) for word in ('pass', 'left', 'right', 'of', 'the', 'box', 'stop')]
    special = [(token, 0.0) for token in ('<s>', '<pad>', '</s>', '<unk>')]
    tokenizer = XLMRobertaTokenizer(vocab=[*special, ('▁', -2.0), *words, *letters])
    processor = Kosmos2Processor(_pictures(), tokenizer, 4)
    # Larger than usual at the start, so that each input matters well above rounding.
    spread = 0.3
    config = Kosmos2Config(
        text_config={'vocab_size': len(tokenizer), 'embed_dim': 32, 'layers': 2, 'ffn_dim': 64,
                     'attention_heads': 4, 'max_position_embeddings': 160, 'init_std': spread},
        vision_config={'hidden_size': 24, 'intermediate_size': 48, 'num_hidden_layers': 2,
                       'num_attention_heads': 4, 'image_size': SIDE, 'patch_size': 8,
                       'initializer_range': spread},
        latent_query_num=6)
    torch.manual_seed(0)
    _save(Kosmos2ForConditionalGeneration(config), processor.tokenizer, directory)


def write_clip(directory: Path, seed: int = 0) -> None:
    """Write a CLIP of two layers a tower."""
    letters = string.ascii_lowercase + string.digits + ',.'
    tokens = ['<|startoftext|>', '<|endoftext|>', *letters, *(f'{c}</w>' for c in letters)]
    tokenizer = CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    tower = {'hidden_size': 24, 'intermediate_size': 48, 'num_hidden_layers': 2,
             'num_attention_heads': 4}
    config = CLIPConfig(
        text_config={**tower, 'vocab_size': len(tokenizer), 'max_position_embeddings': 77,
                     'bos_token_id': 0, 'eos_token_id': 1, 'pad_token_id': 1},
        vision_config={**tower, 'image_size': SIDE, 'patch_size': 8}, projection_dim=16)
    torch.manual_seed(seed)
    _save(CLIPModel(config), tokenizer, directory)


def _pictures() -> CLIPImageProcessor:
    return CLIPImageProcessor(size={'shortest_edge': SIDE},
                              crop_size={'height': SIDE, 'width': SIDE},
                              image_mean=_MEAN, image_std=_STD)


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    # Small enough that there are several shards.
    model.save_pretrained(directory, max_shard_size='60KB')
    tokenizer.save_pretrained(directory)
    _pictures().save_pretrained(directory)
