"""The instruction reader's network: character ids to features, its training and export."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional

from vla_nav.language import slots
from vla_nav.language.tokenizer import LENGTH, PAD, VOCABULARY_SIZE
from vla_nav.training.sentences import Batch, sample

# Features from softmax(sharpness * logits): a policy trained on 0 and 1 gets nearly these.
_SHARPNESS = 4.0
_DOUBTS = 4
STRIDE = 3
_POOL = 6
OPSET = 18


class _Taps(nn.Module):
    """A convolution over the time of [B, T, C], as one matrix product: fastest on a CPU."""

    def __init__(self, width: int, taps: int, dilation: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.taps, self.dilation, self.stride = taps, dilation, stride
        self.mix = nn.Linear(taps * width, width)

    def forward(self, x: Tensor) -> Tensor:
        length, reach = x.shape[1], self.taps // 2 * self.dilation
        padded = functional.pad(x, (0, 0, reach, reach))
        starts = range(0, 2 * reach + 1, self.dilation)
        return self.mix(torch.cat([padded[:, start:start + length:self.stride]
                                   for start in starts], -1))


class _Block(nn.Module):
    """Residual dilated convolution over [B, T, C]; padding stays zero."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolve = _Taps(width, 3, dilation)
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (x + self.mix(self.convolve(self.norm(x) * mask).relu())) * mask


class _Attend(nn.Module):
    """Queries [B, Q, C] look at a text [B, T, C] whose padding is masked."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def forward(self, queries: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        batch, _, width = text.shape
        size = width // self.heads

        def by_head(x: Tensor) -> Tensor:
            return x.reshape(batch, -1, self.heads, size).transpose(1, 2)
        key, value = self.key_value(text).chunk(2, -1)
        scores = by_head(self.query(queries)) @ by_head(key).transpose(2, 3) * size ** -0.5
        # Not -inf: an empty text would give NaN.
        scores = scores + (mask.transpose(1, 2).unsqueeze(1) - 1.0) * 1e4
        found = scores.softmax(-1) @ by_head(value)
        return self.out(found.transpose(1, 2).reshape(batch, -1, width))


class InstructionEncoder(nn.Module):
    """Reads character ids [B, T] (T divides by STRIDE) as one value a slot, or not at all.

    Returns features float32 [B, 13], the probability that the text is a valid instruction
    [B, 1] and the slot logits [B, slots.TOTAL]. Padding at the end changes nothing.
    """

    matrix: Tensor

    def __init__(self, width: int = 56, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY_SIZE, width)
        self.stem = _Taps(width, 7, stride=STRIDE)
        self.blocks = nn.ModuleList(_Block(width, dilation) for dilation in (1, 2, 4, 8))
        self.norm = nn.LayerNorm(width)
        self.exchange = _Attend(width, heads)
        self.last = _Block(width, 1)
        # One question for each slot, the others for what makes a text no instruction.
        questions = len(slots.SIZES) + _DOUBTS
        self.queries = nn.Parameter(torch.randn(questions, width) * 0.5)
        self.read_norm = nn.LayerNorm(width)
        self.read = _Attend(width, heads)
        self.answers = nn.ModuleList(nn.Linear(width, size) for size in slots.SIZES)
        self.judge = nn.Sequential(nn.Linear(width * questions, width // 2), nn.ReLU(),
                                   nn.Linear(width // 2, 1))
        self.register_buffer('matrix', torch.from_numpy(slots.FEATURE_MATRIX), persistent=False)

    def logits(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return slot logits [B, slots.TOTAL] and the logit of being understood [B, 1]."""
        full = (tokens != PAD).to(torch.float32).unsqueeze(-1)
        mask = full[:, ::STRIDE]
        x = self.stem(self.embed(tokens) * full) * mask
        for block in self.blocks:
            x = block(x, mask)
        y = self.norm(x)
        x = self.last((x + self.exchange(y, y, mask)) * mask, mask)
        queries = self.queries.unsqueeze(0).expand(tokens.shape[0], -1, -1)
        found = self.read(queries, self.read_norm(x), mask).relu()
        answers = [answer(found[:, index]) for index, answer in enumerate(self.answers)]
        return torch.cat(answers, -1), self.judge(found.flatten(1))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, the probability of being understood, and slot logits."""
        answers, judged = self.logits(tokens)
        sharp = [part.softmax(-1)
                 for part in (answers * _SHARPNESS).split(list(slots.SIZES), -1)]
        return torch.cat(sharp, -1) @ self.matrix, judged.sigmoid(), answers


def loss(model: InstructionEncoder, tokens: Tensor, labels: Tensor,
         understood: Tensor) -> Tensor:
    """Return cross-entropy of the slots of valid texts, plus that of the judgement."""
    longest = max(1, int((tokens != PAD).sum(1).max()))
    answers, judged = model.logits(tokens[:, :-(-longest // STRIDE) * STRIDE])
    total = functional.binary_cross_entropy_with_logits(judged[:, 0], understood)
    for index, part in enumerate(answers.split(list(slots.SIZES), -1)):
        each = functional.cross_entropy(part, labels[:, index], reduction='none')
        total = total + (each * understood).mean()
    return total


def _batches(size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Yield batches of texts of like length: the shorter ones cost less."""
    while True:
        drawn = sample(_POOL * size, rng)
        by_length = np.argsort((drawn.tokens != PAD).sum(1), kind='stable')
        for rows in rng.permutation(by_length.reshape(_POOL, size)):
            yield Batch(drawn.tokens[rows], drawn.labels[rows], drawn.understood[rows])


def train_instruction_encoder(steps: int = 2500, seed: int = 0, batch: int = 96,
                              rate: float = 3e-3, quiet: bool = False,
                              start: InstructionEncoder | None = None) -> InstructionEncoder:
    """Train a reader, from nothing or on from ``start`` (changed in place), on one thread.

    The same arguments give the same weights.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = InstructionEncoder() if start is None else start.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
    columns = (TextColumn('instruction reader'), BarColumn(), TextColumn('{task.completed}/'
               '{task.total} steps, loss {task.fields[loss]:.4f}'), TimeRemainingColumn())
    average = 0.0
    with Progress(*columns, disable=quiet) as progress:
        task = progress.add_task('', total=steps, loss=float('nan'))
        for step, drawn in enumerate(islice(_batches(batch, rng), steps)):
            value = loss(model, *map(torch.from_numpy, vars(drawn).values()))
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            average = value.item() if step == 0 else 0.98 * average + 0.02 * value.item()
            progress.update(task, advance=1, loss=average)
    torch.set_num_threads(threads)
    return model.eval()


def export_instruction(model: InstructionEncoder, path: Path) -> None:
    """Write the reader as one ONNX file: ``tokens`` to ``features``, ``understood``, ``slots``."""
    tokens = torch.full((2, LENGTH), PAD, dtype=torch.int64)
    tokens[:, :20] = torch.arange(2, 22)
    program = torch.onnx.export(
        model.eval(), (tokens,), dynamo=True, opset_version=OPSET, input_names=['tokens'],
        output_names=['features', 'understood', 'slots'],
        dynamic_shapes=({0: torch.export.Dim('batch', min=1, max=4096)},), verbose=False)
    assert program is not None
    proto = program.model_proto
    # The exporter's notes on every node and shape would be a third of the file.
    del proto.graph.value_info[:], proto.graph.metadata_props[:]
    for node in proto.graph.node:
        del node.metadata_props[:]
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(proto, path, save_as_external_data=False)
