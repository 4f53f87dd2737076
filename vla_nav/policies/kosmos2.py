"""Kosmos-2 (Peng et al. 2023, arXiv:2306.14824) as a backbone: instruction, picture, query.

The sequence is ``<s> instruction <image> 64 picture tokens </image> query``. Attention is causal,
so that the instruction's keys and values are the same for every frame and are computed once, and
nothing before the query depends on it: training the query alone needs no gradient elsewhere, and
the picture tokens, what the vision tower gives, are the same in every epoch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vla_nav.policies.backbone import Backbone
from vla_nav.policies.config import BackboneConfig, Kosmos2Config
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

KEY = 'kosmos2'
# One layer's keys and values, [1, heads, L, D] each; for all layers.
Prefix = list[tuple[Tensor, Tensor]]


class Kosmos2Backbone(Backbone):
    """Gives the last hidden state of a learned query, or of the picture's last token."""

    def __init__(self, config: Kosmos2Config, backbone: BackboneConfig, weights: Weights) -> None:
        """Load the checkpoint; raise WeightsError with the remedy."""
        super().__init__()
        from transformers import Kosmos2Model
        self.dtype = getattr(torch, backbone.dtype)
        self.model: Any = load_model(Kosmos2Model, KEY, config, self.dtype, weights)
        self.tune = config.tune
        vision = self.model.config.vision_config
        self.norm = PictureNorm(KEY, config, backbone, vision.image_size, weights)
        self.tokenizer = load_tokenizer(KEY, config.source, weights)
        width = self.model.config.text_config.embed_dim
        # At the scale of the embeddings of words.
        self.query = nn.Parameter(torch.randn(width) * self.model.config.text_config.init_std) \
            if config.readout == 'query' else None
        self.pieces = (Piece(f'{KEY}.{config.readout}', (width,)),)
        self._prefixes = TextMemory()
        self.register_load_state_dict_post_hook(self._prefixes.clear)

    def forward(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return [B, width] of pictures uint8 [B, H, W, 3] and their instructions."""
        if self.tune != 'frozen' and torch.is_grad_enabled():
            self._prefixes.clear()  # what trains makes them stale
            return self.full(images, instructions)
        with torch.no_grad():
            tokens = self.tokens(images)
        return self.read_out(tokens, instructions)

    @property
    def kept_size(self) -> int | None:
        """Return the size of the picture tokens where a query learns behind them."""
        if self.tune == 'frozen' and not self.frozen:
            config = self.model.config
            return int(config.latent_query_num * config.text_config.embed_dim)
        return super().kept_size

    def precompute(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return the picture tokens, flat, where a query learns, else the feature itself."""
        return super().precompute(images, instructions) if self.frozen \
            else self.tokens(images).flatten(1)

    def complete(self, kept: Tensor, instructions: Instructions) -> Tensor:
        """Run the text model, which the query is part of, over kept picture tokens."""
        if self.frozen:
            return super().complete(kept, instructions)
        tokens = kept.unflatten(1, (self.model.config.latent_query_num, -1))
        return self.read_out(tokens.to(self.dtype), instructions)

    def read_out(self, tokens: Tensor, instructions: Instructions) -> Tensor:
        """Return [B, width] of frozen weights and picture tokens [B, 64, width]."""
        with torch.no_grad():
            pictures = self._between_marks(tokens)
            cache, length = self._gather(instructions.texts)
        if self.query is None:
            with torch.no_grad():
                return self._continue(pictures, cache, length, 0)[:, -1]
        query = self.query.to(self.dtype).expand(len(tokens), 1, -1)
        if torch.is_grad_enabled() and self.query.requires_grad:
            with torch.no_grad():
                self._continue(pictures, cache, length, 0)
            return self._continue(query, cache, length, pictures.shape[1])[:, -1]
        return self._continue(torch.cat([pictures, query], 1), cache, length, 0)[:, -1]

    def full(self, images: Tensor, instructions: Instructions) -> Tensor:
        """Return the same from the whole sequence at once, as training of the backbone needs."""
        pictures = self.pictures(images)
        if self.query is not None:
            query = self.query.to(self.dtype).expand(len(images), 1, -1)
            pictures = torch.cat([pictures, query], 1)
        ids = [self._ids(text) for text in instructions.texts]
        longest = max(map(len, ids))
        pad = self.tokenizer.pad_token_id
        padded = torch.tensor([[pad] * (longest - len(row)) + row for row in ids],
                              device=images.device)
        embeds = torch.cat([self._embed(padded), pictures], 1)
        there = (torch.arange(embeds.shape[1], device=images.device)
                 >= torch.tensor([longest - len(row) for row in ids],
                                 device=images.device)[:, None])
        return self._run(embeds, there, None)[:, -1]

    def pictures(self, images: Tensor) -> Tensor:
        """Return [B, 1 + 64 + 1, width]: the picture's tokens between their marks."""
        return self._between_marks(self.tokens(images))

    def tokens(self, images: Tensor) -> Tensor:
        """Return [B, 64, width]: what the vision tower and the projection behind it give."""
        seen = self.model.get_image_features(self.norm(images, self.dtype)).pooler_output
        return seen.to(self.dtype)  # type: ignore[no-any-return]

    def read(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values [layers, 2, B, heads, L, D] of instructions, and which exist.

        ``ids`` int64 [B, L], padded on the left; the second result is bool [B, L].
        """
        from transformers import DynamicCache
        cache: Any = DynamicCache()
        there = ids != self.tokenizer.pad_token_id
        self._run(self._embed(ids), there, cache)
        kept = torch.stack([torch.stack([layer.keys, layer.values]) for layer in cache.layers])
        # What stands for padding attends to nothing, which not every runtime takes as zero.
        return torch.where(there[None, None, :, None, :, None], kept, 0.0), there

    def see(self, images: Tensor, prefix: Tensor, there: Tensor) -> Tensor:
        """Return [B, width] of pictures behind instructions that :meth:`read` has read."""
        from transformers import DynamicCache
        embeds = self.pictures(images)
        if self.query is not None:
            query = self.query.to(self.dtype).expand(len(images), 1, -1)
            embeds = torch.cat([embeds, query], 1)
        cache: Any = DynamicCache()
        for layer, (keys, values) in enumerate(prefix):
            cache.update(keys, values, layer)
        new = torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)
        return self._run(embeds, torch.cat([there, new], 1), cache)[:, -1]

    def train(self, mode: bool = True) -> Kosmos2Backbone:
        """Set the mode of what learns; training may change the weights behind what is kept."""
        self._prefixes.clear()
        super().train(mode)
        set_mode(self.model, self.tune, mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._prefixes.clear()  # they stay behind on another device or in another precision
        return super()._apply(fn, recurse)

    def _ids(self, text: str) -> list[int]:
        return [self.tokenizer.bos_token_id,
                *self.tokenizer.encode(text, add_special_tokens=False)]

    def _between_marks(self, tokens: Tensor) -> Tensor:
        marks = self._embed(torch.tensor(
            [[self.tokenizer.convert_tokens_to_ids(mark) for mark in ('<image>', '</image>')]],
            device=tokens.device)).expand(len(tokens), -1, -1)
        return torch.cat([marks[:, :1], tokens, marks[:, 1:]], 1)

    def _embed(self, ids: Tensor) -> Tensor:
        return self.model.text_model.model.embed_tokens(ids)

    def _prefix(self, text: str) -> Prefix:
        from transformers import DynamicCache
        ids = torch.tensor([self._ids(text)], device=self.model.device)
        cache: Any = DynamicCache()
        self._run(self._embed(ids), torch.ones_like(ids, dtype=torch.bool), cache)
        return [(layer.keys, layer.values) for layer in cache.layers]

    def _gather(self, texts: tuple[str, ...]) -> tuple[Any, list[int]]:
        """Return a fresh cache of the texts' prefixes, padded on the left, and their lengths."""
        from transformers import DynamicCache
        prefixes = [self._prefixes.get(text, self._prefix) for text in texts]
        lengths = [prefix[0][0].shape[2] for prefix in prefixes]
        longest = max(lengths)
        cache: Any = DynamicCache()
        for layer in range(len(prefixes[0])):
            parts = [torch.cat([nn.functional.pad(
                prefix[layer][kind], (0, 0, longest - length, 0))
                for prefix, length in zip(prefixes, lengths)]) for kind in (0, 1)]
            cache.update(*parts, layer)
        return cache, lengths

    def _continue(self, embeds: Tensor, cache: Any, lengths: list[int], after: int) -> Tensor:
        """Run ``embeds`` behind the prefixes and ``after`` tokens that are in the cache too."""
        longest = max(lengths)
        where = torch.arange(longest + after + embeds.shape[1], device=embeds.device)
        there = where >= torch.tensor([longest - length for length in lengths],
                                      device=embeds.device)[:, None]
        return self._run(embeds, there, cache)

    def _run(self, embeds: Tensor, there: Tensor, cache: Any) -> Tensor:
        """Return hidden states of ``embeds``; ``there`` [B, past + T] is False where padded."""
        decoder = self.model.text_model.model
        # Positions count what is there: padding must not move the picture.
        positions = there.long().cumsum(1) * there + decoder.embed_positions.padding_idx
        return decoder(inputs_embeds=embeds, attention_mask=there.to(torch.long),
                       position_ids=positions[:, -embeds.shape[1]:].contiguous(),
                       past_key_values=cache,
                       use_cache=cache is not None).last_hidden_state
