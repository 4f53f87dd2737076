"""The instruction reader's network learns, exports and reads; each test in a few seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch')

from vla_nav.contracts import NotUnderstood, PolicyError  # noqa: E402
from vla_nav.language import slots  # noqa: E402
from vla_nav.language.intent import Intent  # noqa: E402
from vla_nav.language.reader import InstructionReader  # noqa: E402
from vla_nav.language.tokenizer import LENGTH, PAD, encode, normalise  # noqa: E402
from vla_nav.training.instruction import (  # noqa: E402
    InstructionEncoder,
    export_instruction,
    loss,
    train_instruction_encoder,
)
from vla_nav.training.instruction_build import build_instruction  # noqa: E402
from vla_nav.training.read_check import evaluate_instruction  # noqa: E402
from vla_nav.training.sentences import sample, with_typos  # noqa: E402

# Two threads that wait for each other on a busy machine are slower than one.
torch.set_num_threads(1)
TEXT = 'go round the box on its left and stop at the red cup'


@pytest.fixture(scope='module')
def untrained() -> InstructionEncoder:
    torch.manual_seed(0)
    return InstructionEncoder().eval()


@pytest.fixture(scope='module')
def exported(untrained: InstructionEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('reader') / 'instruction.onnx'
    export_instruction(untrained, path)
    return path


def test_exported_network_equals_eager(untrained: InstructionEncoder, exported: Path) -> None:
    """100 texts, valid and not: ONNX Runtime gives what the model gives, one file, small."""
    assert [file.name for file in exported.parent.iterdir()] == ['instruction.onnx']
    assert exported.stat().st_size <= 600_000
    tokens = sample(100, np.random.default_rng(0)).tokens
    tokens[0] = PAD
    with torch.inference_mode():
        eager = untrained(torch.from_numpy(tokens))
    reader = InstructionReader(exported)
    for row in range(100):
        for ours, theirs in zip(reader.run(tokens[row:row + 1]), eager):
            np.testing.assert_allclose(ours[0], theirs[row].numpy(), atol=1e-4)


def test_padding_does_not_matter(untrained: InstructionEncoder) -> None:
    """Training cuts padding off; the answer is that of the full length."""
    tokens = torch.from_numpy(encode(TEXT))[None]
    with torch.inference_mode():
        for full, cut in zip(untrained(tokens), untrained(tokens[:, :66])):
            torch.testing.assert_close(full, cut, atol=1e-5, rtol=1e-5)


def test_steps_lower_the_loss() -> None:
    """A few sentences are learnt by heart in a few steps."""
    drawn = sample(16, np.random.default_rng(9))
    batch = [torch.from_numpy(x) for x in (drawn.tokens, drawn.labels, drawn.understood)]
    torch.manual_seed(3)
    model = InstructionEncoder()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    values = []
    for _ in range(40):
        value = loss(model, *batch)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]


def test_the_same_seed_gives_the_same_weights() -> None:
    """Training is reproducible, and it moves the weights."""
    one, other = (train_instruction_encoder(3, seed=3, batch=8, quiet=True) for _ in range(2))
    torch.manual_seed(3)
    untouched = InstructionEncoder()
    for a, b in zip(one.parameters(), other.parameters()):
        assert torch.equal(a, b)
    assert not torch.equal(one.embed.weight, untouched.embed.weight)


def test_batches_hold_the_labels_of_their_sentences() -> None:
    """Nearly half are no instruction; the others carry valid slot values."""
    drawn = sample(400, np.random.default_rng(0))
    assert 0.35 < 1 - drawn.understood.mean() < 0.55
    assert drawn.tokens.shape == (400, LENGTH)
    for row in np.flatnonzero(drawn.understood):
        slots.intent_of(drawn.labels[row])


def test_typos_spare_short_words() -> None:
    """One edit would turn cup into cap: words of three letters stay."""
    rng = np.random.default_rng(0)
    changed = 0
    for _ in range(100):
        words = with_typos(TEXT, rng, 2).split()
        assert {'box', 'its', 'red', 'cup'} <= {*words}
        changed += ' '.join(words) != normalise(TEXT)
    assert changed > 80


def test_a_reader_refuses_what_it_does_not_understand(exported: Path) -> None:
    """An untrained network is unsure of everything: the error teaches, in the text's language."""
    reader = InstructionReader(exported)
    with pytest.raises(NotUnderstood, match='stop at the red cup'):
        reader.read('make coffee')
    with pytest.raises(NotUnderstood, match='상자를 왼쪽으로'):
        reader.read('커피 만들어 줘')
    with pytest.raises(NotUnderstood, match='empty'):
        reader.read('  \n')
    with pytest.raises(NotUnderstood, match='letters'):
        reader.read('very ' * 60)


def test_a_sure_reader_gives_intent_and_features(
        exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the network says surely is taken; numbers that are not finite never are."""
    reader, intent = InstructionReader(exported), Intent('left', 'bottle', 'purple', 'right')
    logits = np.zeros((1, slots.TOTAL), np.float32)
    for part, label in zip(slots.split(logits), slots.labels(intent)):
        part[0, label] = 20.0
    features, sure = intent.features()[None], np.float32([[0.9]])
    monkeypatch.setattr(reader, 'run', lambda tokens: (features, sure, logits))
    assert reader.read(TEXT).intent == intent
    torn = logits.copy()
    torn[0, :5] = 0.0
    monkeypatch.setattr(reader, 'run', lambda tokens: (features, sure, torn))
    with pytest.raises(NotUnderstood):
        reader.read(TEXT)
    monkeypatch.setattr(reader, 'run', lambda tokens: (features * np.nan, sure, logits))
    with pytest.raises(PolicyError, match='finite'):
        reader.read(TEXT)


def test_a_missing_or_wrong_file_is_a_policy_error(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(PolicyError, match=r'nothing\.onnx'):
        InstructionReader(tmp_path / 'nothing.onnx')


def test_build_writes_what_a_bundle_needs(tmp_path: Path) -> None:
    """One call leaves weights, network and metrics, and the network can be read."""
    metrics = build_instruction(tmp_path, rounds=((1, 1e-3), (1, 1e-3)), n=15)
    assert json.loads((tmp_path / 'metrics.json').read_text())['valid'] == metrics['valid']
    assert metrics['parity_max_difference'] <= 1e-4
    assert (tmp_path / 'instruction.safetensors').exists()
    InstructionReader(tmp_path / 'instruction.onnx')


def test_evaluation_counts_what_an_untrained_reader_gets_wrong(
        untrained: InstructionEncoder) -> None:
    """Guessing is neither exact nor accepted."""
    result = evaluate_instruction(untrained, n=28, seed=0)
    assert len(result['valid']) == 12 and len(result['invalid']) == 4
    for row in result['valid'].values():
        assert row['exact'] + row['misread'] + row['false_reject'] == pytest.approx(1.0)
        assert row['exact'] < 0.2
