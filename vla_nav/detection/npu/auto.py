"""The search for a target's best detectors: compile all, train a few, keep the Pareto front.

Everything is written as it is found, so the same command goes on where it was cut off.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from vla_nav.detection.bundle import DetectorConfig
from vla_nav.detection.dataset.yolo import Dataset
from vla_nav.detection.npu import auto_page
from vla_nav.detection.npu.compile import compile_network
from vla_nav.detection.npu.environments import TOSA, VELA
from vla_nav.detection.npu.problems import NpuError
from vla_nav.detection.npu.report import TargetReport, add_to
from vla_nav.detection.npu.search import Candidate, choose, cost, front, with_head
from vla_nav.detection.npu.targets import Target
from vla_nav.detection.training import learn, levels, trained
from vla_nav.detection.training.card import read_metrics
from vla_nav.detection.training.export import calibration
from vla_nav.detection.training.recipe import Recipe
from vla_nav.runtimes.bundle import CONFIG_NAME

SUMMARY = 'summary.json'
_COMPILED, _SETTINGS, _LEVELS = 'compiled.json', 'settings.json', 'levels'
_PICTURES = 32  # for 8-bit ranges; cycles do not depend on them
Note = Callable[[str], None]


@dataclass(frozen=True)
class Search:
    """What to look for, and where; ``most`` candidates are trained by ``recipe``."""

    out: Path
    target: Target
    candidates: Sequence[Candidate]
    recipe: Recipe
    most: int
    command: str
    device: str = 'cpu'
    workers: int = 1

    def settings(self, dataset: Dataset) -> dict[str, Any]:
        """Return what must be the same for a search to go on."""
        return {'target': self.target.name, 'recipe': self.recipe.as_dict(), 'most': self.most,
                'candidates': [one.name for one in self.candidates],
                'data': str(dataset.description), 'classes': list(dataset.names)}


def run(search: Search, dataset: Dataset, note: Note) -> dict[str, Any]:
    """Carry out or go on with a search; write its summary and page, and return the summary.

    Raises NpuError where a tool is missing or the folder holds another search.
    """
    if search.target.compiler == 'vela':
        for environment in (VELA, TOSA):
            _ = environment.python  # a missing one is told of before hours of work
    search.out.mkdir(parents=True, exist_ok=True)
    _same_search(search, dataset)
    reports = compile_all(search, dataset.names, note)
    names = list(reports)
    chosen = [names[i] for i in choose([reports[name] for name in names], search.most)]
    note(f'{len(chosen)} of {len(names)} are trained: {", ".join(chosen)}')
    by_name = {one.name: one for one in search.candidates}
    models = {name: _train(search, by_name[name], dataset, note) for name in chosen}
    kept = front([(one['cost'], one['map50']) for one in models.values()])
    summary = {
        **search.settings(dataset), 'image_size': search.recipe.image_size,
        'command': search.command, 'assumptions': next(iter(reports.values())).assumptions,
        'compiled': {name: _figures(report) for name, report in reports.items()},
        'models': models, 'front': [chosen[i] for i in kept]}
    _write(search.out / SUMMARY, summary)
    auto_page.write_pages(search.out, summary)
    return summary


def compile_all(search: Search, classes: tuple[str, ...], note: Note) -> dict[str, TargetReport]:
    """Compile every candidate with random weights, which decide about no operator; by name.

    One that a tool refuses is left out, and said. Raises NpuError where none is left.
    """
    path = search.out / _COMPILED
    known: dict[str, Any] = json.loads(path.read_text('utf-8')) if path.exists() else {}
    for number, candidate in enumerate(search.candidates, 1):
        if candidate.name in known:
            continue
        note(f'compiling {number} of {len(search.candidates)}: {candidate.name}')
        torch.manual_seed(0)
        model = levels.build(_architecture(candidate), classes)
        with tempfile.TemporaryDirectory() as work:
            try:
                report = compile_network(model, search.recipe.image_size, search.target,
                                         Path(work))
                known[candidate.name] = report.model_dump(mode='json')
            except NpuError as error:
                note(f'{candidate.name} is left out: {error}')
                known[candidate.name] = None
        _write(path, known)
    reports = {name: TargetReport.model_validate(value) for name, value in known.items() if value}
    if not reports:
        raise NpuError(f'{path}: no candidate could be compiled; remove the file to try again')
    return reports


def _train(search: Search, candidate: Candidate, dataset: Dataset, note: Note) -> dict[str, Any]:
    """Train a candidate unless it is there, compile it as trained, and return its figures."""
    folder = search.out / candidate.name
    level = search.out / _LEVELS / f'{candidate.name}.yaml'
    if not (folder / CONFIG_NAME).exists():
        note(f'training {candidate.name}')
        level.parent.mkdir(exist_ok=True)
        level.write_text(yaml.safe_dump(_architecture(candidate), sort_keys=False), 'utf-8')
        job = learn.Job(str(level), candidate.activation, dataset.names, search.recipe)
        learn.train(job, dataset, folder / 'state', search.device, search.workers)
        trained.finish(folder, folder / 'state', job, dataset, search.command)
    source = trained.open_trained(folder)
    report = _compiled(search, source.config, source.model, dataset, folder)
    accuracy = read_metrics(folder)['exports']['fp32']['figures']
    return {'map50': accuracy['map50'] or 0.0, 'map50_95': accuracy['map50_95'] or 0.0,
            'parameters': source.config.training['parameters'],
            'seconds': source.config.training['seconds'], **_figures(report)}


def _compiled(search: Search, config: DetectorConfig, model: torch.nn.Module, dataset: Dataset,
              folder: Path) -> TargetReport:
    pictures = np.concatenate(list(calibration(dataset, config.image_size))[:_PICTURES])
    with tempfile.TemporaryDirectory() as work:
        report = compile_network(model, config.image_size, search.target, Path(work), pictures)
    add_to(folder, {search.target.name: report})
    return report


def _architecture(candidate: Candidate) -> dict[str, Any]:
    return with_head(levels.read_level(candidate.level, candidate.activation, candidate.width),
                     candidate.head)


def _figures(report: TargetReport) -> dict[str, Any]:
    return {'cost': cost(report), 'estimated_ms': report.estimated_ms, 'macs': report.macs,
            'operator_share': report.operator_share, 'mac_share': report.mac_share,
            'sram_kib': report.sram_kib}


def _same_search(search: Search, dataset: Dataset) -> None:
    path, settings = search.out / _SETTINGS, search.settings(dataset)
    if not path.exists():
        _write(path, settings)
        return
    found = json.loads(path.read_text('utf-8'))
    other = sorted(key for key in settings if found.get(key) != settings[key])
    if other:
        raise NpuError(f'{path}: is of a search with another {", ".join(other)}; give another '
                       '--out, or the same options to go on')


def _write(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_suffix('.partial')
    partial.write_text(json.dumps(content, indent=1) + '\n', 'utf-8')
    partial.replace(path)
