"""One set of laws for every head."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vla_nav.policies.config import HeadConfig
from vla_nav.policies.heads import Head, Predictor, build_head

KINDS = ('lstm', 'gru', 'mlp', 'transformer')
INPUTS, WINDOW = 6, 4


def head_of(kind: str) -> Head:
    torch.manual_seed(1)
    config = HeadConfig.model_validate({'kind': kind, 'hidden': 8, 'layers': 2, 'dropout': 0.1,
                                        'attention_heads': 2})
    return build_head(INPUTS, config, WINDOW).eval()


def sequence(batch: int, steps: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, steps, INPUTS, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('kind', KINDS)
@given(steps=st.integers(1, 9), cut=st.integers(0, 9), seed=st.integers(0, 99))
def test_a_sequence_equals_its_parts_one_after_the_other(kind: str, steps: int, cut: int,
                                                         seed: int) -> None:
    head, x = head_of(kind), sequence(2, steps, seed)
    state = head.initial_state(2, x)
    assert state.shape == (2, head.state_size)
    cut = min(cut, steps)
    with torch.inference_mode():
        whole, last = head(x, state)
        parts = []
        for part in (x[:, :cut], x[:, cut:]):
            if part.shape[1]:
                y, state = head(part, state)
                parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(state, last, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('kind', KINDS)
def test_a_row_of_a_batch_equals_a_batch_of_one(kind: str) -> None:
    head, x = head_of(kind), sequence(3, 5)
    with torch.inference_mode():
        _, state = head(sequence(3, 2, 7), head.initial_state(3, x))
        together, together_state = head(x, state)
        alone, alone_state = head(x[1:2], state[1:2])
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together_state[1:2], alone_state, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('kind', KINDS)
def test_the_future_changes_nothing_and_the_past_does_what_it_should(kind: str) -> None:
    head, x = head_of(kind), sequence(1, 6)
    changed = x.clone()
    changed[:, 3] += 1
    with torch.inference_mode():
        before = head(x, head.initial_state(1, x))[0]
        after = head(changed, head.initial_state(1, x))[0]
    difference = (before - after).abs().amax((0, 2))
    assert difference[:3].max() == 0
    assert difference[3] > 1e-4
    assert (difference[4] > 1e-5) == (kind != 'mlp')


def test_a_transformer_looks_back_on_its_window_and_no_further() -> None:
    head, x = head_of('transformer'), sequence(1, 9)
    changed = x.clone()
    changed[:, 2] += 1
    with torch.inference_mode():
        before = head(x, head.initial_state(1, x))[0]
        after = head(changed, head.initial_state(1, x))[0]
    difference = (before - after).abs().amax((0, 2))
    assert difference[2 + WINDOW - 1] > 1e-5
    assert difference[2 + WINDOW:].max() == 0


@pytest.mark.parametrize('kind', KINDS)
def test_gradients_reach_every_weight(kind: str) -> None:
    head, x = head_of(kind), sequence(2, 5)
    y, _ = head(x, head.initial_state(2, x))
    (y * torch.randn(y.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    dead = [name for name, p in head.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


def test_the_predictor_gives_chunks() -> None:
    predictor = Predictor(8, (5, 4), chunk=3, actions=2)
    chunks, arrived = predictor(torch.zeros(2, 6, 8))
    assert chunks.shape == (2, 6, 3, 2) and arrived.shape == (2, 6)
