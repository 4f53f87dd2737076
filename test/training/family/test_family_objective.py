"""What the loss compares: every action that was driven, and nothing that was not."""

from __future__ import annotations

from pathlib import Path

import pytest
import recorded
import torch
from torch import Tensor

from vla_nav.policies.family import FamilyPolicy, Instructions
from vla_nav.training.family.material import gather
from vla_nav.training.family.objective import Imitation, Sums
from vla_nav.training.family.pictures import Pictures
from vla_nav.training.family.steps import Batch, Labels

FRAMES = 10


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with six drives."""
    folder = tmp_path_factory.mktemp('data')
    return recorded.write(folder / 'day', 6, FRAMES)


def window_at(labels: Labels, source: Pictures, recording: int, first: int) -> Batch:
    """Return one window as training has it, from picture ``first`` on."""
    pictures, there = labels.tracks[recording].window(first)
    parts = (source.window(recording, pictures), torch.tensor(recording),
             *labels.of(recording, pictures, there))
    return Batch(*(part[None] for part in parts))


def outcome(model: Imitation, batch: Batch, words: Instructions) -> tuple[Sums, list[Tensor]]:
    got, _ = model(batch, words.select(batch.recording.tolist()))
    return got, list(torch.autograd.grad(got.loss, model.policy.trainable(), allow_unused=True))


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(a is b is None or torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize('loss', ['huber', 'mse', 'l1'])
def test_what_lies_beyond_the_end_of_a_drive_does_not_count(loss: str, data: Path) -> None:
    config = recorded.config(train__loss=loss)
    material = gather(config, [data], recorded.Reader())
    torch.manual_seed(0)
    model = Imitation(FamilyPolicy(config), config.train, cached=False)
    source = Pictures(material.recordings, 32, 32, 0.0)
    length = len(material.recordings[0])
    # Two pictures before the end: of four steps with chunks of three, one chunk has two actions
    # that were driven, one has one, and two steps are there no more.
    batch = window_at(material.labels, source, 0, length - 2)
    counted = batch.mask[0].all(-1)
    assert torch.equal(counted, batch.mask[0].any(-1))  # this robot has every axis
    assert counted.tolist() == [[True, True, False], [True, False, False], [False] * 3,
                                [False] * 3]
    sums, gradients = outcome(model, batch, material.instructions)
    assert float(sums.values) == 3 * config.action.space.size
    assert any(g is not None and g.any() for g in gradients)

    noise = torch.randn(batch.targets.shape, generator=torch.Generator().manual_seed(1))
    beyond = batch._replace(targets=torch.where(batch.mask, batch.targets,
                                                batch.targets + 5 * noise))
    assert not torch.equal(beyond.targets, batch.targets)
    again, unmoved = outcome(model, beyond, material.instructions)
    assert all(torch.equal(a, b) for a, b in zip(sums, again)) and same(gradients, unmoved)

    for step, ahead in counted.nonzero().tolist():
        found = []
        for far in (-9.0, 9.0):  # on either side, since l1 knows the sign alone
            targets = batch.targets.clone()
            targets[0, step, ahead] = far
            found.append(outcome(model, batch._replace(targets=targets), material.instructions))
        (low, down), (high, up) = found
        assert not torch.equal(low.loss, high.loss) and not same(down, up)
