"""Published checkpoints through ``transformers``: loading, freezing, LoRA, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vla_nav.policies.config import CLIP, KOSMOS2, BackboneConfig, PretrainedConfig, Tune

Weights = Literal['pretrained', 'random']
_CONFIG, _WEIGHTS, _INDEX = 'config.json', 'model.safetensors', 'model.safetensors.index.json'
_TOKENIZER, _PICTURES = 'tokenizer.json', ('preprocessor_config.json', 'processor_config.json')
# Where low-rank additions go; queries and values, as in the paper (Hu et al. 2021,
# arXiv:2106.09685).
_LORA_TARGETS = ['q_proj', 'v_proj']
_LORA = 'lora_'  # how the names of all that peft adds begin
_MAX_TEXTS = 256


class WeightsError(RuntimeError):
    """A published checkpoint is not at hand or not what it should be; says what to place where."""


def load_model(kind: Any, key: str, config: PretrainedConfig, dtype: torch.dtype,
               weights: Weights) -> Any:
    """Return a transformers model of class ``kind``, frozen or tuned as ``config`` says.

    ``key`` is its place in the preset, for errors. ``random`` needs no files for a published
    name. Raises WeightsError.
    """
    if weights == 'random':
        model = kind._from_config(_architecture(kind, key, config.source), dtype=dtype,
                                  attn_implementation='sdpa')
    else:
        model = _read(kind, key, config.source, dtype)
    model.requires_grad_(config.tune == 'full')
    if config.tune == 'lora':
        from peft import LoraConfig, inject_adapter_in_model
        model = inject_adapter_in_model(LoraConfig(
            r=config.lora_rank, lora_alpha=config.lora_rank, target_modules=_LORA_TARGETS), model)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(_LORA in name)
            if _LORA in name:
                # In half precision small steps would be rounded away; peft converts in between.
                parameter.data = parameter.data.float()
    return model.eval()


def set_mode(model: Any, tune: Tune, mode: bool) -> None:
    """Set a model of :func:`load_model` to training or, ``mode`` False, to how the robot runs it.

    What is frozen runs as on the robot in training too: its dropout (Kosmos-2 has 0.1) would only
    add noise, to what is kept of an instruction as well, and another noise after a resume.
    """
    model.train(mode and tune == 'full')
    if mode and tune == 'lora':
        # Dropout of the checkpoint lies in modules around the adapters and would fall upon the
        # frozen weights' part of the sum, which is nearly all of it; so it stays off. What peft
        # puts in belongs to the adapters, and so would a dropout there (by default there is none).
        for name, part in model.named_modules():
            if _LORA in name:
                part.train()


def load_tokenizer(key: str, source: str, weights: Weights) -> Any:
    """Return the checkpoint's tokenizer; for random weights without files, one of bytes."""
    if weights == 'random' and not Path(source).is_dir():
        return ByteTokenizer()
    from transformers import AutoTokenizer
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        # Without its files the library makes a tokenizer that knows no word.
        if set(tokenizer.encode('stop', add_special_tokens=False)) <= {tokenizer.unk_token_id}:
            raise ValueError('it knows no words')
    except Exception as error:  # of many types, one for each format and library behind it
        raise WeightsError(_message(key, source, error, [_TOKENIZER])) from error
    return tokenizer


class ByteTokenizer:
    """Stands in where weights are random anyway: a text's bytes, and a mask of ones."""

    bos_token_id, pad_token_id = 0, 1
    _OFFSET = 4

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """Return the ids of the text's UTF-8 bytes."""
        return [byte + self._OFFSET for byte in text.encode()]

    def convert_tokens_to_ids(self, token: str) -> int:
        """Return an id above all bytes, one for each of the two picture marks."""
        return 256 + self._OFFSET + ('/' in token)

    def __call__(self, text: str, **_: Any) -> dict[str, Tensor]:
        """Return ids int64 [1, L], no more than CLIP reads, and a mask of ones."""
        ids = torch.tensor([[self.bos_token_id, *self.encode(text)]])[:, :77]
        return {'input_ids': ids, 'attention_mask': torch.ones_like(ids)}


class PictureNorm(nn.Module):
    """Pictures uint8 [B, H, W, 3] as a checkpoint wants them: [B, 3, H, W], its mean and scale."""

    def __init__(self, key: str, config: PretrainedConfig, backbone: BackboneConfig, size: int,
                 weights: Weights) -> None:
        super().__init__()
        if (backbone.height, backbone.width) != (size, size):
            raise WeightsError(f'backbone.height={backbone.height}, backbone.width='
                               f'{backbone.width}: {config.source} ({key}) takes pictures of '
                               f'{size} x {size}; set both to {size}')
        mean, std = _picture_statistics(key, config.source, weights)
        self.register_buffer('scale', 1 / (255 * torch.tensor(std)), persistent=False)
        self.register_buffer('shift', torch.tensor(mean) / torch.tensor(std), persistent=False)
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the normalised pictures in ``dtype``."""
        pixels = images.float() * self.scale.float() - self.shift.float()
        return pixels.permute(0, 3, 1, 2).to(dtype)


class TextMemory:
    """What was computed for a text, kept until the weights may have changed."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: dict[str, Any] = {}

    def get(self, text: str, compute: Any) -> Any:
        """Return what ``compute(text)`` gives, from memory where it is known."""
        if text not in self._kept:
            if len(self._kept) >= _MAX_TEXTS:
                self._kept.pop(next(iter(self._kept)))
            # Not in inference mode, whose tensors no later training could use.
            with torch.inference_mode(False), torch.no_grad():
                self._kept[text] = compute(text)
        return self._kept[text]

    def clear(self, *_: Any) -> None:
        """Forget all; takes any arguments so as to serve as a hook."""
        self._kept.clear()


def _architecture(kind: Any, key: str, source: str) -> Any:
    if not Path(source).is_dir() and source in (KOSMOS2, CLIP):
        # The library's defaults are these checkpoints' sizes; no file is needed to know them.
        return kind.config_class()
    try:
        return kind.config_class.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise WeightsError(_message(key, source, error, [_CONFIG])) from error


def _read(kind: Any, key: str, source: str, dtype: torch.dtype) -> Any:
    try:
        model, report = kind.from_pretrained(source, dtype=dtype, use_safetensors=True,
                                             attn_implementation='sdpa',
                                             output_loading_info=True)
    except Exception as error:  # transformers, safetensors and the hub's client each have theirs
        raise WeightsError(_message(key, source, error, [_CONFIG, _WEIGHTS])) from error
    wrong = sorted(report['missing_keys']) + sorted(
        str(entry) for entry in report.get('mismatched_keys', ()))
    if wrong:
        raise WeightsError(f'backbone.{key}.source={source}: {len(wrong)} weights are missing or '
                           f'of another shape, such as {wrong[0]}; they would stay random. Place '
                           f'a complete checkpoint of {kind.__name__} there')
    return model


def _picture_statistics(key: str, source: str, weights: Weights
                        ) -> tuple[list[float], list[float]]:
    if weights == 'random' and not Path(source).is_dir():
        return [0.5] * 3, [0.25] * 3
    from transformers.image_processing_base import ImageProcessingMixin
    try:
        values, _ = ImageProcessingMixin.get_image_processor_dict(source)
        return list(values['image_mean']), list(values['image_std'])
    except (OSError, KeyError, ValueError) as error:
        raise WeightsError(_message(key, source, error, [_PICTURES[0]])) from error


def _message(key: str, source: str, error: Exception, needed: list[str]) -> str:
    names = ', '.join([_CONFIG, f'{_WEIGHTS} (or its shards and {_INDEX})', _TOKENIZER,
                       'tokenizer_config.json', _PICTURES[0]])
    reason = str(error).strip().split('\n', 1)[0][:200]
    folder = Path(source)
    if folder.is_dir():
        there = {path.name for path in folder.iterdir()}
        absent = [name for name in needed if name not in there
                  and not (name == _WEIGHTS and _INDEX in there)]
        what = f'there is no {", ".join(absent)} in it' if absent else \
            f'{" or ".join(needed)} cannot be used ({reason})'
        return (f'backbone.{key}.source={source}: {what}. Place the files of the checkpoint '
                f'there: {names}')
    return (f'backbone.{key}.source={source}: cannot be had from the hub ({reason}), and there is '
            f'no directory of that name. Place {names} in a directory and set '
            f'backbone.{key}.source=DIRECTORY; with a network, `hf download {source} --local-dir '
            'DIRECTORY` does it')
