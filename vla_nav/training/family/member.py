"""A small member of the family from a folder of frames to a bundle: see, drive, remember.

The folder is what ``vla-nav train compact`` leaves in ``data``: the expert's drives, and the
compact policy's with what the expert would have done. A round of the member's own drives (DAgger:
Ross, Gordon and Bagnell 2011, arXiv:1011.0686) shows it its own mistakes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vla_nav import __version__
from vla_nav.evaluation.curves import learning_curves
from vla_nav.policies.config import FamilyConfig, load_preset
from vla_nav.policies.save import write_family_bundle
from vla_nav.spaces import OMNI_3D
from vla_nav.training.card import peak_memory_gib
from vla_nav.training.dataset import Frames
from vla_nav.training.family import checkpoint
from vla_nav.training.family.glimpses import GlimpseJob, learn_glimpses, load_glimpses
from vla_nav.training.family.own_drives import drive_itself, nth
from vla_nav.training.family.problems import TrainingError, named_memory
from vla_nav.training.family.remember import encode, judge, learn_to_remember
from vla_nav.training.family.result import CURVES, METRICS
from vla_nav.training.family.showing import shown
from vla_nav.training.imitation import ImitationConfig
from vla_nav.training.memory import MemoryConfig

_STEP_S = 0.1

_CARD = """# {name}

{about}

Preset `{name}` of vla_nav's VLA family: {parameters:,} parameters, all trained from scratch.
Axes: {axes}; chunks of {chunk} steps of {step_ms} ms{shortened}; pictures {width} x {height}.

## How it was made

    {command}

{frames:,} frames, of the expert's drives and of others with the expert's labels; the last
{own:,} drives were its own, in {rounds} from step {before:,} on. {steps:,} steps of {batch}
single frames for backbones and fusion, which then stand still; {memory_steps:,} steps on sequences
of their features for head and predictor, with gradients over {window} steps.
{minutes} minutes on {workers} processes, {memory} GiB at most a process. Seed {seed}.

![Learning curves](curves.png)

## What it can do

On unseen drives the velocity that is driven at once is off by {mae:.4f} of the limits (mean
absolute error), and its belief to have arrived is right on {arrived:.1%} of the frames. Measure
driving with `vla-nav evaluate closed-loop`; on a real robot begin with a dry run, then a low
speed cap.
"""


@dataclass(frozen=True)
class MemberPlan:
    """How long a member learns: to see from single frames, to remember from sequences.

    After ``see`` it drives ``own`` episodes, and goes on to ``mend``; each further one of
    ``rounds`` adds as many episodes and steps. The sequences are of about ``encoded`` frames at
    most.
    """

    see: ImitationConfig = field(default_factory=lambda: ImitationConfig(0, 4300))
    own: int = 300
    rounds: int = 1
    mend: ImitationConfig = field(default_factory=lambda: ImitationConfig(4300, 7000, decay=2700))
    encoded: int = 200_000
    remember: MemoryConfig = field(default_factory=lambda: MemoryConfig(steps=3000))
    workers: int = 2


QUICK = MemberPlan(ImitationConfig(0, 2, batch=8, warm_up=2), 2, 1,
                   ImitationConfig(2, 4, batch=8, warm_up=2, decay=2), 100,
                   MemoryConfig(steps=2, batch=4, length=24), 1)


def frame_folders(data: Path) -> tuple[Path, ...]:
    """Return the folders of frames below ``data``, the expert's first; TrainingError for none."""
    found = sorted({path.parent for path in data.rglob('*.images.npy')},
                   key=lambda path: (path.name != 'expert', str(path)))
    if not found:
        raise TrainingError(f'no frames in {data}: give the `data` folder below the --work of '
                            '`vla-nav train compact`, or leave --frames out')
    return tuple(found)


def train_member(name: str, overrides: Sequence[str], frames: Path, validation: Path, out: Path,
                 reader: Path, plan: MemberPlan = MemberPlan(),
                 command: str = '') -> dict[str, Any]:
    """Train preset ``name`` on ``frames`` and write its bundle; return its metrics.

    A chunk is as long as the frames' labels are. What a training needs to go on lies in
    ``out/training``. Raises TrainingError or ConfigError with the remedy.
    """
    began = time.monotonic()
    folders, unseen = frame_folders(frames), frame_folders(validation)
    for folder in (*folders, *unseen):
        _check_labels(folder)
    config, shortened = _fitting(name, overrides, Frames([*folders]))
    work = out / 'training'
    job = GlimpseJob(config, folders, unseen, work / 'see', plan.see, plan.workers)
    learn_glimpses(job)
    for number in range(plan.rounds if plan.own else 0):
        own = drive_itself(load_glimpses(job.folder, config)[1], work, plan.own, number,
                           plan.workers)
        folders = (*folders, own)
        job = replace(job, frames=folders, folder=work / nth('mend', number),
                      stretch=_later(plan.mend, number), before=job)
        learn_glimpses(job)
    learned = Frames([*folders])
    count, episodes = len(learned), len(learned.bounds)
    del learned  # its labels take hundreds of megabytes
    policy, glimpse = load_glimpses(job.folder, config)
    size = config.fusion.size
    with named_memory(lambda: f'end other programs and give the same command, which goes on from '
                      f'what {job.folder} has learned to see'):
        features = encode(glimpse, size, folders, work / 'features', plan.encoded)
        torch.set_num_threads(plan.workers)
        with shown(f'{config.name}: sequences') as notes:
            memory = learn_to_remember(policy, features, plan.remember, notes)
        found = judge(policy, encode(glimpse, size, unseen, work / 'unseen', plan.encoded))
    glimpses = checkpoint.read_progress(job.folder)
    steps = _later(plan.mend, plan.rounds - 1).last if plan.own else plan.see.last
    metrics = {
        'command': command, 'version': __version__, 'preset': config.name,
        'parameters': sum(p.numel() for p in policy.parameters()),
        'seconds': round(time.monotonic() - began, 1), 'frames': count,
        'episodes': episodes, 'steps': steps, 'memory_steps': plan.remember.steps,
        'see_seconds': round(glimpses.seconds, 1), 'remember': memory, 'validation': found,
        'plan': asdict(plan), 'torch': torch.__version__, 'peak_memory_gib': peak_memory_gib(),
        'history': glimpses.history}
    out.mkdir(parents=True, exist_ok=True)
    (out / METRICS).write_text(json.dumps(metrics, indent=1) + '\n', 'utf-8')
    (out / CURVES).write_bytes(learning_curves({config.name: glimpses.history}))
    (out / 'README.md').write_text(_card(config, metrics, plan, shortened), 'utf-8')
    write_family_bundle(policy, reader, out, arrived_threshold=0.5, training={
        'command': command, 'version': __version__, 'frames': count})
    return metrics


def _later(stretch: ImitationConfig, rounds: int) -> ImitationConfig:
    """Return a stretch as long, so many rounds on."""
    by = rounds * (stretch.last - stretch.first)
    return replace(stretch, first=stretch.first + by, last=stretch.last + by)


def _check_labels(folder: Path) -> None:
    remedy = 'delete the shard, and the same command that collected it makes it again'
    try:
        fields = Frames([folder]).fields
    except (EOFError, OSError, ValueError) as error:
        raise TrainingError(f'{folder}: a file is cut off or damaged ({error}): '
                            f'{remedy}') from error
    spoiled = [field for field, values in fields.items() if not np.isfinite(values).all()]
    if spoiled:
        raise TrainingError(f'{folder}: {", ".join(spoiled)} of some frames are not finite: '
                            f'{remedy}')


def _fitting(name: str, overrides: Sequence[str], data: Frames) -> tuple[FamilyConfig, str]:
    """Return the preset with chunks as long as the labels, and what the card says of that."""
    config = load_preset(name, [*overrides])
    b, rows = config.backbone, data.fields['chunks'].shape[2]
    picture = data.images(np.zeros(1, np.int64)).shape[1:3]
    wrong = [text for text, good in (
        (f'backbone.height={picture[0]} backbone.width={picture[1]}',
         picture == (b.height, b.width)),
        (f'action.step_s={_STEP_S}', config.action.step_s == _STEP_S),
        ('action.limits as of the simulated robot, 3D', config.action.space == OMNI_3D),
        ('small backbones only', not (b.kosmos2 or b.clip))) if not good]
    if wrong:
        raise TrainingError(f'{name} does not fit the frames: set {", ".join(wrong)}')
    wanted = config.action.chunk
    config = load_preset(name, [*overrides, f'action.chunk={rows}'])
    return config, '' if wanted == rows else f' (of {wanted}: the labels have no more)'


def _card(config: FamilyConfig, metrics: dict[str, Any], plan: MemberPlan,
          shortened: str) -> str:
    return _CARD.format(
        name=config.name, about=config.about, parameters=metrics['parameters'],
        axes=', '.join(config.action.space.names), chunk=config.action.chunk,
        step_ms=round(config.action.step_s * 1e3), shortened=shortened,
        width=config.backbone.width, height=config.backbone.height,
        command=metrics['command'] or '(from Python)', frames=metrics['frames'],
        own=plan.own * plan.rounds, before=plan.see.last,
        rounds='one round' if plan.rounds == 1 else f'{plan.rounds} rounds',
        steps=metrics['steps'], batch=plan.see.batch * plan.workers,
        memory_steps=metrics['memory_steps'],
        window=config.window, minutes=round(metrics['seconds'] / 60, 1), workers=plan.workers,
        memory=metrics['peak_memory_gib'], seed=plan.see.seed, **metrics['validation'])
