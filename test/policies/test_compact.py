"""The compact network: shapes, rows of a batch, where gradients go, export."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vla_nav.policies.compact import CompactConfig, CompactPolicy
from vla_nav.training.export import MAX_POLICY_BYTES, export_policy
from vla_nav.training.graph import PARITY_BOUND
from vla_nav.training.imitation import trained_parameters


def inputs(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return random images, instructions and states."""
    generator = torch.Generator().manual_seed(3)
    c = CompactConfig()
    return (torch.randint(0, 256, (batch, c.height, c.width, 3), generator=generator,
                          dtype=torch.uint8),
            torch.rand(batch, 13, generator=generator),
            torch.rand(batch, c.memory, generator=generator))


@pytest.fixture(scope='module')
def model() -> CompactPolicy:
    """Return a network whose memory takes part."""
    torch.manual_seed(0)
    made = CompactPolicy()
    torch.nn.init.normal_(made.recall.weight, std=0.1)
    return made.eval()


def test_a_row_of_a_batch_equals_a_batch_of_one(model: CompactPolicy) -> None:
    image, text, state = inputs(3)
    with torch.inference_mode():
        together = model(image, text, state)
        alone = model(image[1:2], text[1:2], state[1:2])
    for a, b in zip(together, alone):
        torch.testing.assert_close(a[1:2], b, atol=1e-5, rtol=1e-4)


def test_text_picture_and_memory_all_reach_the_actions(model: CompactPolicy) -> None:
    image, text, state = inputs(2)
    with torch.inference_mode():
        base = model(image[:1], text[:1], state[:1])[0]
        for changed in ((image[1:], text[:1], state[:1]), (image[:1], text[1:], state[:1]),
                        (image[:1], text[:1], state[1:])):
            assert (model(*changed)[0] - base).abs().max() > 1e-4


def test_a_fresh_memory_changes_nothing() -> None:
    fresh = CompactPolicy().eval()
    image, text, state = inputs(1)
    with torch.inference_mode():
        torch.testing.assert_close(fresh(image, text, state)[0],
                                   fresh(image, text, torch.zeros_like(state))[0])


def test_single_frames_train_everything_but_the_memory() -> None:
    model = CompactPolicy()
    # It begins at zero, which would hide what lies behind it.
    torch.nn.init.normal_(model.context_query.weight)
    image, text, state = inputs(2)
    encoded = model.encode(image, text)
    chunk, arrive = model.head(encoded.feature, torch.zeros_like(state))
    (chunk.sum() + arrive.sum() + encoded.point_logits[:, :, 3].sum()
     + encoded.stage_logits.sum()).backward()
    taught = {id(p) for p in model.parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    wanted = {id(p) for p in trained_parameters(model)}
    assert taught <= wanted | {id(model.recall.weight)}
    assert len(wanted - taught) == 0


def test_the_export_equals_the_eager_model(model: CompactPolicy, tmp_path: Path) -> None:
    path = tmp_path / 'policy.onnx'
    assert export_policy(model, path) <= PARITY_BOUND
    assert path.stat().st_size <= MAX_POLICY_BYTES


def test_a_sequence_equals_step_after_step(model: CompactPolicy) -> None:
    x = torch.rand(5, 3, model.config.feature, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        state, states = torch.zeros(3, model.config.memory), []
        for one in x:
            state = model.memory(one, state)
            states.append(state)
        torch.testing.assert_close(model.memory.sequence(x), torch.stack(states))
