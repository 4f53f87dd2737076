"""The family's small forms, from simulated drives to one table of what they can do.

Every stage leaves a folder; what is there is not done again, so that a study that was cut off
goes on where it was.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vla_nav.evaluation.bootstrap import bounds_text
from vla_nav.evaluation.metrics import wilson_interval
from vla_nav.evaluation.provenance import made, provenance
from vla_nav.evaluation.table import FIRST_SEED
from vla_nav.language.reader import InstructionReader
from vla_nav.training.collect import collect
from vla_nav.training.family.member import frame_folders
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.simulated import write_recordings

MEMBERS = ('hybrid_small', 'simple_lstm_small', 'robovlms_small')
BELOW = ('step-index', 'image-blind', 'text-blind')
ENSEMBLE = 'ensemble'
# Compact's own training begins at 1000; these seeds are neither its rounds' nor an evaluation's.
_SEEDS = {'drives': (100_000, 200_000), 'unseen': (300_000, 400_000)}
_RUN = 'from vla_nav.cli.main import main; main()'
_COMPLETE = 'complete'
# What a member had to learn with; an ensemble learns nothing but its weights.
_BUDGET = ('frames', 'episodes', 'steps', 'memory_steps')
_CONDITIONS = ('true', 'swapped-side', 'swapped-goal')


@dataclass(frozen=True)
class StudyPlan:
    """How much of everything: drives to learn from, drives to measure.

    ``frames`` is the folder that a training of the compact policy has left, to learn from the
    same. Without, ``expert`` drives are the expert's, and in ``driven`` more the shipped compact
    policy drives and the expert says what would have been right. ``unseen`` of both are kept for
    validation, the ensemble's weights and its test. ``drives`` are measured with the true text
    and ``swapped`` each with the side and the goal swapped. ``overrides`` change every preset.
    """

    frames: Path | None = None
    expert: int = 1000
    driven: int = 600
    unseen: int = 60
    offline: int = 96
    drives: int = 120
    swapped: int = 40
    workers: int = 2
    quick: bool = False
    overrides: tuple[str, ...] = ()


QUICK = StudyPlan(None, 4, 2, 3, 2, 2, 1, 1, True)


def run_study(work: Path, plan: StudyPlan, compact: Path,
              say: Callable[[str], None] = print) -> str:
    """Do what is missing of the study in ``work`` and return its table as Markdown.

    ``compact`` is the bundle that drives, and whose instruction reader is used. Also writes
    ``study.md`` and ``study.json``. Raises TrainingError where a command fails.
    """
    if plan.frames is not None:
        frame_folders(plan.frames)  # complains before anything is driven
    seconds: dict[str, float] = _read(work / 'seconds.json', {})
    made_by: dict[str, str] = _read(work / 'made.json', {})

    def stage(name: str, done: Path, do: Callable[[], Any]) -> None:
        if not done.exists():
            say(f'{name} ...')
            began = time.monotonic()
            do()
            seconds[name] = round(time.monotonic() - began, 1)
            (work / 'seconds.json').write_text(json.dumps(seconds), 'utf-8')
            made_by[name] = made()
            (work / 'made.json').write_text(json.dumps(made_by), 'utf-8')
        made_by.setdefault(name, '')
    work.mkdir(parents=True, exist_ok=True)
    frames, unseen, recordings = plan.frames, work / 'unseen', work / 'recordings'
    if frames is None:
        frames = work / 'drives'
        stage('drives', frames / _COMPLETE, lambda: _drive(frames, plan, compact))
    stage('unseen drives', unseen / _COMPLETE, lambda: _drive(
        unseen, replace(plan, expert=plan.unseen, driven=plan.unseen), compact))
    stage('recordings', recordings / _COMPLETE, lambda: _record(unseen, recordings, compact))
    lines: list[str] = []

    def command(last: str, out: Path, *words: str) -> None:
        # ``last`` is the file that the command writes last.
        words = (*words, '--out', str(out))
        lines.append(shlex.join(['vla-nav', *words]))

        def do() -> None:
            if subprocess.run([sys.executable, '-c', _RUN, *words], check=False).returncode:
                raise TrainingError(f'failed: {lines[-1]}; the same command goes on from here')
        stage(f'{" ".join(words[:2])}: {out.name}', out / last, do)
    bundles = {name: work / name for name in MEMBERS}
    for name, bundle in bundles.items():
        command('config.json', bundle, 'train', 'small', name, *plan.overrides, '--frames',
                str(frames), '--unseen', str(unseen), '--workers', str(plan.workers),
                *(['--quick'] if plan.quick else []))
    bundles[ENSEMBLE] = work / ENSEMBLE
    command('config.json', bundles[ENSEMBLE], 'train', 'ensemble',
            *(str(work / name) for name in MEMBERS), '--data', str(recordings))
    seeds = ('--first-seed', str(FIRST_SEED))
    command('index.html', work / 'offline', 'evaluate', 'offline',
            *(word for bundle in bundles.values() for word in ('--policy', str(bundle))),
            '--episodes', str(plan.offline), *seeds)
    for name, bundle in bundles.items():
        for text in _CONDITIONS:
            count = plan.drives if text == 'true' else plan.swapped
            command('summary.json', work / 'closed_loop' / f'{name}_{text}', 'evaluate',
                    'closed-loop', '--policy', str(bundle), '--text', text, '--episodes',
                    str(count), *seeds, '--pictures', '0')
    found = {name: _figures(work, name) for name in bundles}
    ensemble = _read(work / ENSEMBLE / 'metrics.json', {})
    page = _page(found, ensemble, lines, seconds)
    (work / 'study.md').write_text(page, 'utf-8')
    (work / 'study.json').write_text(json.dumps(
        {**provenance(made_by.values()), 'members': found, 'ensemble': ensemble,
         'commands': lines, 'seconds': seconds}, indent=1) + '\n', 'utf-8')
    return page


def _drive(out: Path, plan: StudyPlan, compact: Path) -> None:
    expert, driven = _SEEDS[out.name]
    collect(out / 'expert', expert, plan.expert, None, plan.workers)
    if plan.driven:
        collect(out / 'driven', driven, plan.driven, compact / 'policy.onnx', plan.workers)
    (out / _COMPLETE).touch()


def _record(frames: Path, out: Path, compact: Path) -> None:
    reader = InstructionReader(compact / 'instruction.onnx')
    for folder in frame_folders(frames):
        write_recordings(folder, out, reader)
    (out / _COMPLETE).touch()


def _figures(work: Path, name: str) -> dict[str, Any]:
    offline = _read(work / 'offline' / name / 'summary.json', {})
    loops = {text: _read(work / 'closed_loop' / f'{name}_{text}' / 'summary.json', {})
             for text in _CONDITIONS}
    mae = {key: value['value'] for key, value in offline['mae'].items()}
    successes = sum(round(loop['success_rate'] * loop['episodes']) for loop in loops.values())
    episodes = sum(loop['episodes'] for loop in loops.values())
    training = _read(work / name / 'metrics.json', {})
    return {
        'parameters': training.get('parameters'),
        **{f'training_{key}': training.get(key) for key in (*_BUDGET, 'seconds')},
        'mae': mae, 'mae_interval': offline['mae']['policy'],
        'of_constant_mean': mae['policy'] / mae['constant mean'],
        'below': {key: mae['policy'] < mae[key] for key in BELOW},
        'success': successes / episodes, 'success_interval': wilson_interval(successes, episodes),
        'episodes': episodes,
        'by_text': {text: {key: loop[key] for key in (
            'success_rate', 'ci95', 'episodes', 'side_accuracy', 'goal_accuracy')}
            for text, loop in loops.items()}}


def _page(found: dict[str, dict[str, Any]], ensemble: dict[str, Any], lines: list[str],
          seconds: dict[str, float]) -> str:
    out = ["# The family's small forms", '',
           f'| | parameters | {" | ".join(_BUDGET).replace("_", " ")} | minutes '
           f'| MAE | 95 % | of constant mean (≤ 0.5) | below {", ".join(BELOW)} '
           '| success | 95 % | n | true text | side swapped | goal swapped |',
           '|---' * 17 + '|']
    for name, f in found.items():
        below = ', '.join('yes' if f['below'][key] else '**no**' for key in BELOW)
        minutes = '' if f['training_seconds'] is None else f'{f["training_seconds"] / 60:.0f}'
        bounds = bounds_text(f['mae_interval'])
        texts = ' | '.join(f'{f["by_text"][text]["success_rate"]:.3f}' for text in _CONDITIONS)
        budget = ' | '.join('' if f[key] is None else f'{f[key]:,}' for key in (
            'parameters', *(f'training_{key}' for key in _BUDGET)))
        out.append(
            f'| {name} | {budget} | {minutes} | {f["mae"]["policy"]:.4f} | {bounds} | '
            f'{f["of_constant_mean"]:.3f} | {below} | {f["success"]:.3f} | '
            f'{f["success_interval"][0]:.3f} to {f["success_interval"][1]:.3f} | '
            f'{f["episodes"]} | {texts} |')
    best = max(f['success'] for f in found.values())
    weights = ', '.join(f'{weight:.2f}' for weight in ensemble['weights'])
    difference = ensemble['ensemble_minus_best']
    out += ['', f'Best success {best:.3f} (must: 0.80). Ensemble weights, fitted on '
            f'{ensemble["validation_episodes"]} validation drives: {weights}; on '
            f'{ensemble["test_episodes"]} test drives its MAE is {difference["value"]:+.4f} '
            f'against its best member (95 %: {bounds_text(difference)}).', '',
            'Offline: unseen drives of the expert; `offline/index.html` has more of it. Success: '
            'rests at the named goal, having passed on the named side, without contact.', '',
            'Commands:', '']
    out += [f'    {line}' for line in lines]
    out += ['', f'{sum(seconds.values()) / 3600:.1f} hours in all.', '']
    return '\n'.join(out)


def _read(path: Path, missing: Any) -> Any:
    return json.loads(path.read_text('utf-8')) if path.is_file() else missing
