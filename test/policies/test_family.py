"""The family in its tiny and small forms, through the real loading code."""

from __future__ import annotations

from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from torch import Tensor

from vla_nav.language.intent import Intent
from vla_nav.language.reader import Reading
from vla_nav.policies.config import load_preset, presets
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.instructions import Instructions

TINY = [name for name in presets() if not name.endswith('_small')]
PRETRAINED = ('clip_lstm', 'kosmos2_clip_hybrid', 'robovlms_3d', 'simple_lstm_extended')
SMALL = ['head.hidden=16', 'head.layers=2', 'fusion.size=24', 'action.chunk=4']
SPACES = {'2D': '{linear_x: 0.6, angular_z: 1.2}',
          '3D': '{linear_x: 0.6, linear_y: 0.6, angular_z: 1.2}'}
INTENTS = (Intent('left', 'cup', 'red'), Intent('right', 'ball', 'blue', 'left'),
           Intent('left', 'cone'))


def instructions(rows: tuple[int, ...] = (0, 1, 2)) -> Instructions:
    return Instructions.of([Reading(INTENTS[r].features(), INTENTS[r], 1.0) for r in rows])


def pictures(policy: FamilyPolicy, batch: int, seed: int = 0) -> Tensor:
    b = policy.config.backbone
    return torch.randint(0, 256, (batch, b.height, b.width, 3), dtype=torch.uint8,
                         generator=torch.Generator().manual_seed(seed))


def build(name: str, folders: dict[str, Path], *more: str) -> FamilyPolicy:
    torch.manual_seed(0)
    config = load_preset(name)
    present = {key: path for key, path in folders.items() if getattr(config.backbone, key)}
    forms = SMALL if name.endswith('_small') else checkpoints.overrides(present)
    return FamilyPolicy(load_preset(name, [*forms, *more])).eval()


@pytest.mark.parametrize('space', SPACES)
@pytest.mark.parametrize('name', presets())
def test_a_row_of_a_batch_equals_a_batch_of_one(name: str, space: str,
                                                tiny_checkpoints: dict[str, Path]) -> None:
    policy = build(name, tiny_checkpoints, f'action.limits={SPACES[space]}')
    images, texts = pictures(policy, 3), instructions()
    with torch.inference_mode():
        features = policy.encode(images, texts)
        chunks, arrived, state = policy.act(features[:, None].expand(-1, 2, -1),
                                            policy.initial_state(3))
        assert features.shape == (3, policy.feature_size)
        assert chunks.shape == (3, 2, 4, int(space[0]))
        assert state.shape == (3, policy.state_size)
        alone = policy.encode(images[1:2], texts.select([1]))
        torch.testing.assert_close(features[1:2], alone, atol=2e-5, rtol=1e-4)
        chunk, belief, one = policy(images[1:2], texts.select([1]), policy.initial_state(1))
        torch.testing.assert_close(chunks[1:2, 0], chunk, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(arrived[1:2, :1].sigmoid(), belief, atol=2e-5, rtol=1e-4)
        assert (policy.act(alone[:, None], one)[0] - chunk[:, None]).abs().max() > 0  # remembers


@pytest.mark.parametrize('name', presets())
def test_picture_and_instruction_both_matter(name: str,
                                             tiny_checkpoints: dict[str, Path]) -> None:
    policy = build(name, tiny_checkpoints)
    images, texts = pictures(policy, 2), instructions((0, 1))
    with torch.inference_mode():
        base = policy.encode(images[:1], texts.select([0]))
        assert (policy.encode(images[1:], texts.select([0])) - base).abs().max() > 1e-4
        assert (policy.encode(images[:1], texts.select([1])) - base).abs().max() > 1e-4


@pytest.mark.parametrize('name', presets())
def test_gradients_reach_all_that_learns_and_nothing_else(
        name: str, tiny_checkpoints: dict[str, Path]) -> None:
    policy = build(name, tiny_checkpoints).train()
    features = policy.encode(pictures(policy, 3), instructions())
    chunks, arrived, _ = policy.act(features.view(1, 3, -1), policy.initial_state(1))
    weights = torch.randn(chunks.shape, generator=torch.Generator().manual_seed(1))
    ((chunks * weights).sum() + arrived.sum()).backward()
    taught = {n for n, p in policy.named_parameters() if p.grad is not None and p.grad.any()}
    learning = set(policy.learned())
    guesses = {n for n in learning if '.context_query.' in n or '.context.' in n
               or '.film.' in n or '.absent.' in n}
    assert taught <= learning
    assert learning - taught <= guesses  # what begins at zero hides what lies behind it
    pretrained = [n for n in learning if n.startswith(('backbones.kosmos2.', 'backbones.clip.'))]
    assert all(n == 'backbones.kosmos2.query' for n in pretrained)


@pytest.mark.parametrize(('tune', 'learns'), [('lora', 'lora_'), ('full', 'model.')])
@pytest.mark.parametrize('part', ['kosmos2', 'clip'])
def test_backbones_learn_where_they_are_told_to(part: str, tune: str, learns: str,
                                                tiny_checkpoints: dict[str, Path]) -> None:
    policy = build('robovlms_3d', tiny_checkpoints, f'backbone.{part}.tune={tune}').train()
    features = policy.encode(pictures(policy, 2), instructions((0, 1)))
    policy.act(features[:, None], policy.initial_state(2))[0].square().sum().backward()
    taught = {n for n, p in policy.named_parameters() if p.grad is not None
              and n.startswith(f'backbones.{part}.model.')}
    assert taught and all(learns in name for name in taught)
    assert taught <= set(policy.learned())
    other = 'clip' if part == 'kosmos2' else 'kosmos2'
    assert not any(p.requires_grad for n, p in policy.named_parameters()
                   if n.startswith(f'backbones.{other}.model.'))


@pytest.mark.parametrize('readout', ['query', 'last'])
def test_a_kept_prefix_gives_what_the_whole_sequence_gives(
        readout: str, tiny_checkpoints: dict[str, Path]) -> None:
    policy = build('simple_lstm_extended', tiny_checkpoints, f'backbone.kosmos2.readout={readout}')
    kosmos = policy.backbones['kosmos2']
    texts = instructions()
    assert len({len(kosmos._ids(text)) for text in texts.texts}) > 1  # padding takes part
    with torch.inference_mode():
        for seed in (0, 1):  # the second time from what was kept
            images = pictures(policy, 3, seed)
            torch.testing.assert_close(kosmos(images, texts), kosmos.full(images, texts),
                                       atol=1e-5, rtol=1e-4)


def test_the_whole_sequence_is_what_kosmos_itself_computes(
        tiny_checkpoints: dict[str, Path]) -> None:
    policy = build('simple_lstm_extended', tiny_checkpoints, 'backbone.kosmos2.readout=last')
    kosmos, images, texts = policy.backbones['kosmos2'], pictures(policy, 1), instructions((1,))
    tokenizer, model = kosmos.tokenizer, kosmos.model
    ids = kosmos._ids(texts.texts[0])
    marks = tokenizer.convert_tokens_to_ids(['<image>', '</image>'])
    slots = model.config.latent_query_num
    row = torch.tensor([[*ids, marks[0], *[tokenizer.unk_token_id + 1] * slots, marks[1]]])
    mask = torch.zeros_like(row)
    mask[0, len(ids) + 1:-1] = 1
    with torch.inference_mode():
        theirs = model(pixel_values=kosmos.norm(images, torch.float32), input_ids=row,
                       image_embeds_position_mask=mask).last_hidden_state[:, -1]
        torch.testing.assert_close(kosmos.full(images, texts), theirs, atol=1e-5, rtol=1e-4)


def test_the_query_learns_the_same_through_a_kept_prefix(
        tiny_checkpoints: dict[str, Path]) -> None:
    policy = build('simple_lstm_extended', tiny_checkpoints)
    kosmos, images, texts = policy.backbones['kosmos2'], pictures(policy, 3), instructions()
    gradients = []
    for run in (kosmos, kosmos.full):
        out = run(images, texts)
        (gradient,) = torch.autograd.grad((out * out.detach().sign()).sum(), kosmos.query)
        gradients.append(gradient)
    assert gradients[0].abs().max() > 1e-4
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-3)


def test_what_was_kept_is_forgotten_when_weights_change(
        tiny_checkpoints: dict[str, Path]) -> None:
    policy = build('robovlms_3d', tiny_checkpoints, 'backbone.kosmos2.tune=full',
                   'backbone.clip.tune=full')
    images, texts = pictures(policy, 1), instructions((0,))
    with torch.no_grad():
        before = policy.encode(images, texts)
        state = {n: v + 0.05 * torch.randn(v.shape) for n, v in policy.state_dict().items()}
        policy.load_state_dict(state)
        after = policy.encode(images, texts)
    fresh = build('robovlms_3d', tiny_checkpoints, 'backbone.kosmos2.tune=full',
                  'backbone.clip.tune=full')
    fresh.load_state_dict(state)
    with torch.no_grad():
        assert (before - after).abs().max() > 1e-3
        torch.testing.assert_close(after, fresh.encode(images, texts))


@pytest.mark.parametrize('name', ['robovlms_3d', 'hybrid_small'])
def test_what_was_learned_goes_into_another_policy(name: str,
                                                   tiny_checkpoints: dict[str, Path]) -> None:
    policy = build(name, tiny_checkpoints)
    with torch.no_grad():
        for parameter in policy.trainable():
            parameter.add_(0.1)
    other = build(name, tiny_checkpoints)
    other.load_learned(policy.learned(), 'here')
    images, texts = pictures(policy, 2), instructions((0, 1))
    with torch.inference_mode():
        torch.testing.assert_close(*(p(images, texts, p.initial_state(2))[0]
                                     for p in (policy, other)))
    assert policy.fingerprint() == other.fingerprint()


def test_frozen_backbones_neither_drop_out_nor_need_encoding_twice(
        tiny_checkpoints: dict[str, Path]) -> None:
    policy = build('robovlms_3d', tiny_checkpoints, 'backbone.kosmos2.readout=last').train()
    images, texts = pictures(policy, 2), instructions((0, 1))
    assert policy.cacheable and not policy.encode(images, texts).requires_grad
    torch.testing.assert_close(policy.encode(images, texts), policy.encode(images, texts))
    asked = build('robovlms_3d', tiny_checkpoints).train()
    assert not asked.cacheable  # its query learns
    torch.testing.assert_close(asked.encode(images, texts), asked.eval().encode(images, texts))
    assert not build('hybrid_small', tiny_checkpoints).cacheable


def modules_in_training(policy: FamilyPolicy) -> set[str]:
    return {name for part in ('kosmos2', 'clip')
            for name, module in policy.backbones[part].model.named_modules() if module.training}


def test_training_the_query_leaves_the_frozen_part_as_it_drives(
        tiny_checkpoints: dict[str, Path]) -> None:
    policy = build('robovlms_3d', tiny_checkpoints).train()
    kosmos, images, texts = policy.backbones['kosmos2'], pictures(policy, 3), instructions()
    assert kosmos.model.config.text_config.dropout > 0  # there is something to switch off
    assert kosmos.query.requires_grad and policy.head.training
    assert not modules_in_training(policy)
    learned = policy.encode(images, texts)
    assert learned.requires_grad
    assert torch.equal(learned, policy.encode(images, texts))
    kept = kosmos._prefix(texts.texts[0])
    policy.eval()
    torch.testing.assert_close(learned, policy.encode(images, texts))
    for ours, theirs in zip(kept, kosmos._prefix(texts.texts[0]), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs))
    assert not policy.head.training


def test_of_a_backbone_with_lora_the_additions_alone_are_in_training(
        tiny_checkpoints: dict[str, Path]) -> None:
    tuned = ['backbone.kosmos2.tune=lora', 'backbone.clip.tune=lora']
    policy = build('robovlms_3d', tiny_checkpoints, *tuned).train()
    images, texts = pictures(policy, 2), instructions((0, 1))
    assert modules_in_training(policy) and all(
        'lora_' in name for name in modules_in_training(policy))
    assert torch.equal(policy.encode(images, texts), policy.encode(images, texts))
    assert not modules_in_training(policy.eval())


def test_a_backbone_that_trains_as_a_whole_drops_out(tiny_checkpoints: dict[str, Path]) -> None:
    policy = build('simple_lstm_extended', tiny_checkpoints, 'backbone.kosmos2.tune=full').train()
    images, texts = pictures(policy, 1), instructions((0,))
    assert not torch.equal(policy.encode(images, texts), policy.encode(images, texts))


@pytest.mark.parametrize('name', PRETRAINED)
def test_what_is_kept_of_a_picture_gives_its_feature_and_is_not_what_learns(
        name: str, tiny_checkpoints: dict[str, Path]) -> None:
    policy = build(name, tiny_checkpoints).train()
    assert policy.precomputable
    images, texts = pictures(policy, 3), instructions()
    for _ in range(2):
        with torch.inference_mode():
            kept = policy.precompute(images, texts)
        kept, feature = kept.clone(), policy.encode(images, texts)
        again = policy.complete(kept, texts)
        torch.testing.assert_close(again, feature, atol=1e-5, rtol=1e-4)
        if feature.requires_grad:  # a query in the backbone gets the same gradient
            weights = torch.randn(feature.shape, generator=torch.Generator().manual_seed(1))
            query = policy.backbones['kosmos2'].query
            torch.testing.assert_close(*(torch.autograd.grad((out * weights).sum(), query)[0]
                                         for out in (again, feature)), atol=1e-4, rtol=1e-3)
        with torch.no_grad():
            for parameter in policy.trainable():
                parameter.add_(torch.randn_like(parameter))
            assert torch.equal(policy.precompute(images, texts), kept)


def test_what_learns_up_to_the_picture_is_not_kept(tiny_checkpoints: dict[str, Path]) -> None:
    for tuned in ('backbone.kosmos2.tune=lora', 'backbone.clip.tune=full'):
        assert not build('robovlms_3d', tiny_checkpoints, tuned).precomputable
    assert not build('hybrid_small', tiny_checkpoints).precomputable


def test_normalised_clip_features_have_unit_scale(tiny_checkpoints: dict[str, Path]) -> None:
    for normalise in ('true', 'false'):
        policy = build('clip_lstm', tiny_checkpoints, f'backbone.clip.normalise={normalise}')
        with torch.inference_mode():
            features = policy.encode(pictures(policy, 2), instructions((0, 1)))
        size = policy.pieces[0].size
        unit = torch.allclose(features[:, :size].norm(dim=1), torch.tensor(size ** 0.5))
        assert unit == (normalise == 'true')


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_backbones_in_half_precision_give_nearly_the_same(
        dtype: str, tiny_checkpoints: dict[str, Path]) -> None:
    features = []
    for form in (dtype, 'float32'):
        policy = build('robovlms_3d', tiny_checkpoints, f'backbone.dtype={form}').train()
        out = policy.encode(pictures(policy, 2), instructions((0, 1)))
        assert out.dtype == torch.float32
        out.sum().backward()  # the query is kept in full precision
        assert policy.backbones['kosmos2'].query.grad.dtype == torch.float32
        features.append(out.detach())
    assert (features[0] - features[1]).abs().mean() < 0.1 * features[1].abs().mean()


def test_random_weights_in_half_precision_run_too(tiny_checkpoints: dict[str, Path]) -> None:
    policy = FamilyPolicy(load_preset('robovlms_3d', [
        *checkpoints.overrides(tiny_checkpoints), 'backbone.dtype=bfloat16']), 'random').eval()
    with torch.inference_mode():
        chunk, *_ = policy(pictures(policy, 1), instructions((0,)), policy.initial_state(1))
    assert chunk.isfinite().all()


def test_wrong_pictures_are_refused(tiny_checkpoints: dict[str, Path]) -> None:
    policy = build('hybrid_small', tiny_checkpoints)
    with pytest.raises(ValueError, match='uint8 pictures'):
        policy.encode(torch.zeros(1, 10, 10, 3, dtype=torch.uint8), instructions((0,)))
    with pytest.raises(ValueError, match='2 pictures for 1'):
        policy.encode(pictures(policy, 2), instructions((0,)))


def test_korean_and_paraphrases_become_the_same_english() -> None:
    class Reader:
        def read(self, text: str) -> Reading:
            return Reading(INTENTS[0].features(), INTENTS[0], 1.0)
    said = ['상자를 왼쪽으로 돌아서 빨간 컵 앞에서 멈춰', 'left of the box, red cup']
    read = Instructions.read(said, Reader())
    assert read.texts == (INTENTS[0].describe(),) * 2
    assert np.array_equal(read.features[0], INTENTS[0].features())
