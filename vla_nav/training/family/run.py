"""One training from recordings to a bundle: lint, split, cache, train, report, write."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from vla_nav.language.reader import InstructionReader
from vla_nav.policies.config import FamilyConfig
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.pretrained import Weights
from vla_nav.training.family import checkpoint
from vla_nav.training.family.cache import CacheSettings, FeatureStore
from vla_nav.training.family.material import Material, gather, refuse_lint
from vla_nav.training.family.objective import Imitation
from vla_nav.training.family.pictures import Pictures
from vla_nav.training.family.problems import named_memory
from vla_nav.training.family.report import report
from vla_nav.training.family.result import Trained, write_result
from vla_nav.training.family.steps import Source
from vla_nav.training.family.trainer import Notes, Trainer, accelerator_for


@dataclass(frozen=True)
class Job:
    """What to train on what: folders of recordings, and where everything goes.

    ``out`` becomes the bundle; what a training needs to go on lies in ``out/training``.
    ``cache`` holds features of frozen backbones, for any training. ``reader`` is a trained
    ``instruction.onnx``; ``command`` the words that started this, for the model card;
    ``weights`` 'random' does without published backbones, to measure speed. ``phrases`` name the
    one task of all recordings, in place of the reader.
    """

    config: FamilyConfig
    data: tuple[Path, ...]
    out: Path
    cache: Path
    reader: Path
    command: tuple[str, ...] = ()
    weights: Weights = 'pretrained'
    phrases: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Return where the state of the training lies."""
        return self.out / 'training'


@contextlib.contextmanager
def prepared(job: Job, notes: Notes) -> Iterator[tuple[Trainer, Trained]]:
    """Yield a trainer that is ready to run, and its result as it is before that.

    Raises TrainingError, EpisodeError, ConfigError or PolicyError with the remedy.
    """
    t = job.config.train
    with accelerator_for(t) as accelerator:
        if accelerator.is_main_process:
            refuse_lint(job.data, notes.say)
        material = gather(job.config, job.data, job.phrases or InstructionReader(job.reader))
        torch.manual_seed(t.seed)
        policy = FamilyPolicy(job.config, job.weights).to(accelerator.device)
        cached = t.cache and policy.precomputable
        began = time.monotonic()
        encoded, source = 0, None
        if cached:
            encoded, source = _cached(job, policy, material, accelerator, notes)
        else:
            source = Pictures(material.recordings, job.config.backbone.height,
                              job.config.backbone.width, t.augment)
        seconds = time.monotonic() - began
        trainer = Trainer(job.config, policy, material, source, cached, job.folder, accelerator,
                          notes)
        yield trainer, Trained(policy, material, trainer.progress, source, cached, encoded,
                               seconds)


def _cached(job: Job, policy: FamilyPolicy, material: Material, accelerator: Accelerator,
            notes: Notes) -> tuple[int, Source]:
    t = job.config.train
    store = FeatureStore(policy, material.recordings, material.instructions,
                         CacheSettings(job.cache, t.lights if t.augment > 0 else 1, t.augment,
                                       t.seed),
                         lit=frozenset(r.name for r in material.parts.train))
    with named_memory(lambda: 'encoding 64 pictures at a time does not fit beside the backbones: '
                      'use backbone.dtype=bfloat16, or a device with more memory'):
        encoded = store.fill(accelerator.process_index, accelerator.num_processes,
                             lambda pictures: notes.say(f'encoded {pictures} pictures'))
    accelerator.wait_for_everyone()
    return encoded, store.open()


def train(job: Job, notes: Notes) -> dict[str, Any] | None:
    """Train and write the bundle; return its metrics, None on processes that do not write."""
    with prepared(job, notes) as (trainer, trained):
        trainer.run()
        trainer.accelerator.wait_for_everyone()
        if not trainer.accelerator.is_main_process:
            return None
        checkpoint.load_best(job.folder, trained.policy)
        model = Imitation(trained.policy, job.config.train, trained.cached)
        material = trained.material
        figures = {part: report(model, material, trained.source, material.members(recordings))
                   for part, recordings in material.parts._asdict().items()
                   if part != 'train' and recordings}
        return write_result(job.out, None if job.phrases else job.reader, trained, figures,
                            shlex.join(job.command), job.phrases)
