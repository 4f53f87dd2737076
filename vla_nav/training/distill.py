"""A small policy that carries a large one's behaviour: it does what its teacher would do.

The teacher says what it would do on frames that are there, then on the student's own drives
(DAgger: Ross, Gordon and Bagnell 2011, arXiv:1011.0686), so that the student learns the teacher's
corrections too. Labels are the teacher's whole chunks and its belief to have arrived: they hold
more than the one best action (Hinton, Vinyals and Dean 2015, arXiv:1503.02531).
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from vla_nav.contracts import PolicyError
from vla_nav.policies.compact import CompactPolicy
from vla_nav.policies.config import validate
from vla_nav.policies.counts import count
from vla_nav.runtimes.bundle import CONFIG_NAME, FamilyBundle, read_bundle
from vla_nav.runtimes.ensemble import networks
from vla_nav.simulation.scenario import SCENARIO_VERSION
from vla_nav.training.card import peak_memory_gib
from vla_nav.training.collect import collect
from vla_nav.training.compact import begin_from, with_memory
from vla_nav.training.dataset import Frames
from vla_nav.training.distill_work import claim
from vla_nav.training.export import export_policy, write_bundle
from vla_nav.training.family.member import frame_folders
from vla_nav.training.imitation import ImitationConfig, train
from vla_nav.training.teacher import relabel

# Neither a recipe's rounds nor an evaluation use these seeds.
_FIRST_SEED, _SEEDS = 600_000, 50_000

# Published: a student of less than so many times its parameters carries no larger model.
LARGER = 10

_CARD = """# {name}: the compact policy, taught by {teacher}

Follows instructions such as "Pass the box on its left and stop at the red cup", English or Korean.
Its {student:,} parameters imitate a teacher of {taught:,} ({ratio:.1f} times as many).{warning}

## How it was made

    {command}

{frames:,} frames (scenario version {version}), labelled by the teacher: the drives that it was
given, and {own:,} drives of the student itself in {rounds} rounds. {steps:,} steps of imitation at
batch {batch}, then {memory_steps:,} steps for the memory. {minutes} minutes on {workers}
processes, {memory_gib} GiB at most a process. Seed {seed}.

## What it can do

Measure it beside its teacher, on the same episodes:

    vla-nav evaluate closed-loop --policy {name} --episodes 1000 --out runs/student
    vla-nav evaluate closed-loop --policy {first} --episodes 1000 --out runs/teacher
    vla-nav evaluate paired runs/student runs/teacher
"""


@dataclass(frozen=True)
class DistillPlan:
    """How long the student learns: on the frames given, then in rounds of its own drives.

    ``rate`` is the peak of the encoder's learning rate in each of these; one that begins from
    trained weights needs less.
    """

    steps: int = 8000
    rounds: int = 2
    episodes: int = 1000
    round_steps: int = 4000
    memory_steps: int = 4000
    batch: int = 128
    rate: float = 1.5e-3
    seed: int = 0
    workers: int = 2

    def stretch(self, number: int) -> ImitationConfig:
        """Return the stretch of training of a round; 0 is that on the frames given."""
        first = 0 if number == 0 else self.steps + (number - 1) * self.round_steps
        steps = self.steps if number == 0 else self.round_steps
        # The rate falls over the second half, and begins high again in the next stretch.
        return ImitationConfig(first, first + steps, self.batch, self.rate,
                               decay=steps // 2, seed=self.seed)


SMOKE = DistillPlan(steps=2, rounds=1, episodes=2, round_steps=2, memory_steps=2, batch=8)


def distill(teacher: Sequence[Path], frames: Path, work: Path, out: Path, reader: Path,
            plan: DistillPlan = DistillPlan(), start: Path | None = None,
            command: str = '') -> dict[str, Any]:
    """Train a compact policy on what ``teacher`` would do, write its bundle, and say how it went.

    ``frames`` holds folders of rollouts, as training compact leaves them in ``data``; everything
    between lies in ``work``, from where a run that was cut off goes on. ``start`` is a compact
    bundle to begin from. Several teachers teach their mean. Raises PolicyError, TrainingError; at
    once where ``out`` exists, or where ``work`` is of another teacher, start, plan or frames.
    """
    began = time.monotonic()
    if out.exists():
        raise PolicyError(f'{out}: exists already, and a student overwrites nothing; choose '
                          'another --out or remove it')
    claim(work, teacher, frames, start, plan)
    checkpoint = work / 'checkpoint.safetensors'
    if start is not None and not checkpoint.exists():
        begin_from(start, checkpoint)
    data = [relabel(folder, work / 'labels' / folder.relative_to(frames), teacher,
                    plan.workers)
            for folder in frame_folders(frames)]
    train(data, checkpoint, plan.stretch(0), plan.workers)
    for number in range(1, plan.rounds + 1):
        driver, own = work / f'round{number}.onnx', work / 'own' / f'round{number}'
        if not driver.exists():
            export_policy(
                with_memory(checkpoint, data, plan.memory_steps, plan.seed)[0], driver)
        ends = collect(own, _FIRST_SEED + number * _SEEDS, plan.episodes, driver, plan.workers)
        print(f'round {number}: {ends}', flush=True)
        data.append(relabel(own, work / 'labels' / f'own{number}', teacher, plan.workers))
        train(data, checkpoint, plan.stretch(number), plan.workers)
    model, memory = with_memory(checkpoint, data, plan.memory_steps, plan.seed)
    taught = teacher_parameters(teacher)
    student = sum(p.numel() for p in model.parameters())
    made = {
        'command': command, 'teacher': [bundle.name for bundle in teacher],
        'teacher_parameters': taught, 'parameters': student, 'plan': asdict(plan),
        'frames': len(Frames(data)), 'memory': memory, 'scenario_version': SCENARIO_VERSION,
        'minutes': round((time.monotonic() - began) / 60, 1),
        'peak_memory_gib': peak_memory_gib()}
    partial = out.with_name(f'.{out.name}.partial')  # moved once it is proved
    shutil.rmtree(partial, ignore_errors=True)
    write_bundle(model, reader, partial, out.name, made)
    (partial / 'README.md').write_text(_card(out, teacher, made, plan), 'utf-8')
    partial.replace(out)
    return made


def teacher_parameters(teacher: Sequence[Path]) -> int:
    """Return how many parameters all networks of some teachers have; raise PolicyError.

    Members of an ensemble that have no weight teach nothing and do not count.
    """
    return sum(parameters(path) for bundle in teacher for path, weight in networks(bundle)
               if weight)


def too_small(teacher: Sequence[Path]) -> str:
    """Return why a student of ``teacher`` carries no larger model; '' where it does.

    Raises PolicyError where the teacher cannot be read.
    """
    return _warning(teacher_parameters(teacher) / sum(p.numel() for p in
                                                      CompactPolicy().parameters()))


def _warning(ratio: float) -> str:
    return '' if ratio >= LARGER else (
        f'the teacher has {ratio:.1f} times the parameters of its student; below {LARGER} times '
        'the student carries no larger model')


def parameters(bundle: Path) -> int:
    """Return how many parameters a single network's bundle has, frozen backbones included."""
    config = read_bundle(bundle)
    if isinstance(config, FamilyBundle):
        return count(validate(config.family, str(bundle / CONFIG_NAME))).total
    file = config.files.model  # type: ignore[union-attr]
    if file is None:
        return 0
    with safe_open(bundle / file.name, 'pt') as opened:
        return sum(math.prod(opened.get_slice(key).get_shape()) for key in opened.keys())


def _card(out: Path, teacher: Sequence[Path], made: dict[str, Any], plan: DistillPlan) -> str:
    student, taught = made['parameters'], made['teacher_parameters']
    warning = _warning(taught / student)
    return _CARD.format(
        name=out, teacher=', '.join(made['teacher']), first=teacher[0], student=student,
        taught=taught, ratio=taught / student,
        warning=warning and f'\n\n**Note:** {warning}.',
        command=made['command'] or '(from Python)',
        frames=made['frames'], version=made['scenario_version'],
        own=plan.rounds * plan.episodes, rounds=plan.rounds,
        steps=plan.steps + plan.rounds * plan.round_steps, batch=plan.batch * plan.workers,
        memory_steps=plan.memory_steps, minutes=made['minutes'], workers=plan.workers,
        memory_gib=made['peak_memory_gib'], seed=plan.seed)
