"""Fine-tune the compact policy on recordings of one's own robot."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vla_nav.contracts import PolicyError
from vla_nav.episodes.lint import lint
from vla_nav.episodes.schema import EpisodeError
from vla_nav.episodes.split import split_episodes
from vla_nav.language.reader import InstructionReader
from vla_nav.policies.compact import CompactPolicy
from vla_nav.policies.traceable import load_compact
from vla_nav.runtimes.bundle import CONFIG_NAME, BundleFile, load_config
from vla_nav.training.export import write_bundle
from vla_nav.training.family.problems import named_memory, smaller_batch
from vla_nav.training.imitation import chunk_error, encode_fast, trained_parameters
from vla_nav.training.recorded import RecordedEpisode, load_recorded

# The memory is given this many steps to fill before the frame that is judged.
_PAST = 6
_KEEP_ARRIVAL = 0.1
_CARD = """# {name}: fine-tuned from {base}

    {command}

{episodes} recorded episodes, {frames} pictures; {validation} of the episodes, stratified by
scenario, were kept for validation and never trained on. Mean absolute error of the
chunks on these, in shares of full speed: {before:.4f} before, {after:.4f} after (best of
{looks} looks, so a little optimistic). Standing still would have {still:.4f}.

It says nothing about driving: begin with a dry run, then with a low speed cap.
"""


@dataclass(frozen=True)
class FinetuneConfig:
    """Numbers of a fine-tuning; ``batch`` windows a step, ``rate`` the highest learning rate."""

    steps: int = 600
    batch: int = 16
    rate: float = 1e-4
    looks: int = 6
    validation: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """Validation errors in shares of full speed; ``still`` is that of standing still."""

    before: float
    after: float
    still: float


def finetune(base: Path, directories: Sequence[Path], out: Path,
             config: FinetuneConfig = FinetuneConfig(),
             say: Callable[[str], None] = print) -> Outcome:
    """Fine-tune the bundle ``base`` on recordings and write the result to ``out``.

    Raises EpisodeError or PolicyError naming what is wrong with data or bundle, before anything
    is trained, and TrainingError where memory runs out; ``out`` is written at the end.
    """
    with named_memory(lambda: smaller_batch(config.batch, 'fewer recordings at a time', out)):
        return _finetune(base, directories, out, config, say)


def _finetune(base: Path, directories: Sequence[Path], out: Path, config: FinetuneConfig,
              say: Callable[[str], None]) -> Outcome:
    described = load_config(base)
    model = load_compact(base, described)
    if described.files.instruction is None:
        raise PolicyError(f'{base / CONFIG_NAME}: has no instruction reader; take a bundle that '
                          'reads sentences, such as models/compact')
    reader = base / described.files.instruction.name
    _refuse_bad_data(directories)
    episodes = load_recorded(
        directories, InstructionReader(reader),
        described.action_space.build(), model.config.height, model.config.width,
        model.config.chunk, described.step_ns, _PAST)
    training, validation = _split(episodes, config)
    say(f'{len(training)} episodes to train on, {len(validation)} for validation, '
        f'{sum(map(len, episodes))} pictures')
    outcome = _train(model, training, validation, config, say)
    if outcome.after >= outcome.before:
        say('nothing learnt improves on the validation episodes: the bundle keeps the weights '
            'that it began with. Record more, and more varied, episodes')
    command = (f'vla-nav train finetune --policy {base} '
               + ' '.join(f'--data {d}' for d in directories) + f' --steps {config.steps} '
               f'--rate {config.rate} --batch {config.batch} --seed {config.seed} --out {out}')
    facts: dict[str, Any] = {
        'command': command, 'base': described.name,
        'base_sha256': BundleFile.of(base / CONFIG_NAME).sha256, 'episodes': len(episodes),
        'frames': sum(map(len, episodes)), 'validation': len(validation),
        'looks': config.looks, 'before': outcome.before, 'after': outcome.after,
        'still': outcome.still}
    name = out.resolve().name
    write_bundle(model, reader, out, name, facts)
    (out / 'README.md').write_text(_CARD.format(name=name, **facts), 'utf-8')
    _write_split(base, out, training, validation)
    (out / 'metrics.json').write_text(json.dumps(facts, indent=1) + '\n', 'utf-8')
    return outcome


def _write_split(base: Path, out: Path, training: Sequence[RecordedEpisode],
                 validation: Sequence[RecordedEpisode]) -> None:
    """Keep the fingerprints of what was seen, here and before: evaluation leaves it out."""
    before = base / 'split.json'
    known = json.loads(before.read_text('utf-8')) if before.is_file() else {}
    split = {part: sorted({*known.get(part, []), *(one.pictures for one in members)})
             for part, members in (('train', training), ('validation', validation))}
    (out / 'split.json').write_text(json.dumps(split, indent=1) + '\n', 'utf-8')


def window_loss(model: CompactPolicy, before: CompactPolicy, images: Tensor, features: Tensor,
                chunk: Tensor, known: Tensor) -> Tensor:
    """Return the loss of windows: images [P, B, H, W, 3], the newest last; see the dataset.

    What recordings do not tell, when one has arrived, is held where it was ``before``.
    """
    steps, batch = images.shape[:2]
    text = features.expand(steps, *features.shape).flatten(0, 1)
    raw, arrive = _heads(model, images, text, steps, batch)
    with torch.no_grad():
        _, belief = _heads(before, images, text, steps, batch)
    error = (chunk_error(raw, chunk) * known).sum() / known.sum().clamp(min=1)
    kept = functional.binary_cross_entropy_with_logits(arrive, torch.sigmoid(belief))
    return error + _KEEP_ARRIVAL * kept


def _heads(model: CompactPolicy, images: Tensor, text: Tensor, steps: int,
           batch: int) -> tuple[Tensor, Tensor]:
    feature = encode_fast(model, images.flatten(0, 1), text).feature.view(steps, batch, -1)
    return model.head(feature[-1], model.memory.sequence(feature)[-1])


def _train(model: CompactPolicy, training: Sequence[RecordedEpisode],
           validation: Sequence[RecordedEpisode], config: FinetuneConfig,
           say: Callable[[str], None]) -> Outcome:
    """Train in place and leave the best weights by validation in ``model``."""
    torch.manual_seed(config.seed)
    before = copy.deepcopy(model).requires_grad_(False)
    for parameter in {*model.parameters()} - {*trained_parameters(model)}:
        parameter.requires_grad_(False)
    optimizer = torch.optim.AdamW(trained_parameters(model), lr=config.rate, weight_decay=1e-4)
    lengths = np.cumsum([len(one) for one in training])
    first, still = validation_error(model, validation)
    best, weights = first, copy.deepcopy(model.state_dict())
    say(f'before: {first:.4f} (standing still: {still:.4f})')
    every = max(1, config.steps // config.looks)
    for step in range(config.steps):
        warm = min(1.0, 20 * (step + 1) / config.steps)
        fall = 0.5 * (1 + math.cos(math.pi * step / config.steps))
        for group in optimizer.param_groups:
            group['lr'] = config.rate * warm * fall
        rng = np.random.default_rng([config.seed, step])
        flat = rng.integers(int(lengths[-1]), size=config.batch)
        which = np.searchsorted(lengths, flat, side='right')
        rows = flat - np.concatenate([[0], lengths])[which]
        batch = _batch([(training[w], int(r)) for w, r in zip(which.tolist(), rows.tolist())])
        loss = window_loss(model, before, _in_other_light(batch[0], rng), *batch[1:])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % every == 0 or step + 1 == config.steps:
            now, _ = validation_error(model, validation)
            say(f'step {step + 1}/{config.steps}: loss {loss.item():.4f}, validation {now:.4f}')
            if now < best:
                best, weights = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)
    return Outcome(first, best, still)


def validation_error(model: CompactPolicy, episodes: Sequence[RecordedEpisode],
                     batch: int = 32) -> tuple[float, float]:
    """Return the mean absolute error of the known rows, and that of standing still."""
    wrong = still = count = 0.0
    frames = [(one, row) for one in episodes for row in range(len(one))]
    with torch.inference_mode():
        for start in range(0, len(frames), batch):
            images, features, chunk, known = _batch(frames[start:start + batch])
            steps, size = images.shape[:2]
            text = features.expand(steps, *features.shape).flatten(0, 1)
            raw, _ = _heads(model, images, text, steps, size)
            wrong += float(((raw.clamp(-1, 1) - chunk).abs() * known).sum())
            still += float((chunk.abs() * known).sum())
            count += float(known.sum())
    return wrong / max(count, 1.0), still / max(count, 1.0)


def _batch(frames: Sequence[tuple[RecordedEpisode, int]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (images [P, B, H, W, 3] 0 to 255, features, chunks, known) of some frames."""
    windows = []
    for one, row in frames:
        past = one.past[row][::-1]
        # Where the recording begins later, its first picture stands for the time before.
        windows.append(one.images[np.where(past < 0, past[past >= 0].min(), past)])
    images = torch.from_numpy(np.stack(windows, 1)).float()
    return (images, torch.from_numpy(np.stack([one.features for one, _ in frames])),
            torch.from_numpy(np.stack([one.chunks[row] for one, row in frames])),
            torch.from_numpy(np.stack([one.known[row] for one, row in frames])))


def _in_other_light(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Return windows in another light, the same over each window."""
    batch = images.shape[1]
    gain: NDArray[np.float64] = (rng.uniform(0.85, 1.15, (1, batch, 1, 1, 1))
                                 * rng.uniform(0.96, 1.04, (1, batch, 1, 1, 3)))
    shift = rng.uniform(-10, 10, (1, batch, 1, 1, 1))
    return (images * torch.from_numpy(gain).float()
            + torch.from_numpy(shift).float()).clamp_(0, 255)


def _split(episodes: Sequence[RecordedEpisode], config: FinetuneConfig
           ) -> tuple[list[RecordedEpisode], list[RecordedEpisode]]:
    chosen = set(split_episodes({one.name: one.scenario for one in episodes},
                                config.validation, config.seed)[1])
    training = [one for one in episodes if one.name not in chosen]
    if not chosen or not training:
        raise EpisodeError('recordings', 'episodes', f'there are {len(episodes)}; at least two '
                           'are needed, one to train on and one to look whether it helped')
    return training, [one for one in episodes if one.name in chosen]


def _refuse_bad_data(directories: Sequence[Path]) -> None:
    errors = [one for directory in directories for one in lint(directory)
              if one.severity == 'error']
    if errors:
        raise EpisodeError(errors[0].file, errors[0].field, f'{errors[0].message} -> '
                           f'{errors[0].remedy} ({len(errors)} errors; see vla-nav data lint)')
