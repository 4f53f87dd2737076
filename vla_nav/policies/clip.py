"""CLIP (Radford et al. 2021, arXiv:2103.00020) as a backbone: picture and instruction apart."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vla_nav.policies.backbone import Backbone
from vla_nav.policies.config import BackboneConfig, ClipConfig
from vla_nav.policies.fusion import Piece
from vla_nav.policies.instructions import Instructions
from vla_nav.policies.pretrained import (
    PictureNorm,
    TextMemory,
    Weights,
    load_model,
    load_tokenizer,
    set_mode,
)

KEY = 'clip'


class ClipBackbone(Backbone):
    """Gives the picture's and the instruction's embedding, and with a resampler the patches."""

    def __init__(self, config: ClipConfig, backbone: BackboneConfig, weights: Weights) -> None:
        """Load the checkpoint; raise WeightsError with the remedy."""
        super().__init__()
        from transformers import CLIPModel
        self.dtype = getattr(torch, backbone.dtype)
        self.model: Any = load_model(CLIPModel, KEY, config, self.dtype, weights)
        self.tune, self.normalise = config.tune, config.normalise
        vision = self.model.config.vision_config
        self.norm = PictureNorm(KEY, config, backbone, vision.image_size, weights)
        self.tokenizer = load_tokenizer(KEY, config.source, weights)
        joint = self.model.config.projection_dim
        self.pieces = (Piece(f'{KEY}.picture', (joint,)), Piece(f'{KEY}.text', (joint,)))
        if backbone.resampler:
            patches = (vision.image_size // vision.patch_size) ** 2
            self.pieces += (Piece(f'{KEY}.patches', (1 + patches, vision.hidden_size)),)
        self._texts = TextMemory()
        self.register_load_state_dict_post_hook(self._texts.clear)

    def forward(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return the pieces, flat [B, F], of pictures uint8 [B, H, W, 3]."""
        return self.see(images, self._read(instructions.texts))

    def see(self, images: Tensor, read: Tensor) -> Tensor:
        """Return the pieces where the instructions' embeddings [B, D] are known."""
        seen = self.model.get_image_features(self.norm(images, self.dtype))
        values = [seen.pooler_output, read]
        if len(self.pieces) == 3:
            values.append(self.model.vision_model.post_layernorm(seen.last_hidden_state))
        if self.normalise:
            # To length 1, as CLIP compares them, times √D: as large as other backbones' features.
            values = [nn.functional.normalize(value.float(), dim=-1) * value.shape[-1] ** 0.5
                      for value in values]
        return torch.cat([value.flatten(1).float() for value in values], 1)

    def train(self, mode: bool = True) -> ClipBackbone:
        """Set the mode of what learns; training may change the weights behind what is kept."""
        self._texts.clear()
        super().train(mode)
        set_mode(self.model, self.tune, mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._texts.clear()
        return super()._apply(fn, recurse)

    def _read(self, texts: tuple[str, ...]) -> Tensor:
        if self.tune != 'frozen' and torch.is_grad_enabled():
            self._texts.clear()
            once = {text: self._embed(text) for text in dict.fromkeys(texts)}
            return torch.cat([once[text] for text in texts])
        return torch.cat([self._texts.get(text, self._embed) for text in texts])

    def _embed(self, text: str) -> Tensor:
        tokens = {name: value.to(self.model.device) for name, value in
                  self.tokenizer(text, truncation=True, return_tensors='pt').items()}
        return self.model.get_text_features(**tokens).pooler_output
