"""Many bags through a policy and the guard, over whatever processes there are.

A bag's own folder is written as for one bag. Its ``run.json``, written last, says that it is
done, so that a run that was cut off goes on where it was.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vla_nav.bringup.share import find_bundle
from vla_nav.contracts import NotUnderstood, PolicyError
from vla_nav.detection.bundle import read_detector
from vla_nav.episodes.bag_folders import bag_bytes, bags_below
from vla_nav.episodes.schema import EpisodeError
from vla_nav.evaluation import machine
from vla_nav.evaluation.crew import Crew, GivenUp, finish
from vla_nav.replay.bag_output import Content
from vla_nav.replay.evaluate import PREDICTIONS, SUMMARY, evaluate_bag, plain
from vla_nav.replay.settings import ReplaySettings, node_settings
from vla_nav.runtimes.bundle import CONFIG_NAME, read_bundle, sha256_of

RUN, IDENTITY = 'run.json', 'bags.json'
_RECHECKED = 4
# What differs from run to run, or with what is written beside the figures.
_VARIES = ('latency_ms', 'problems')
_READ: dict[str, Callable[[Path], Any]] = {'policy': read_bundle, 'detector': read_detector}


def name_bags(paths: Sequence[Path]) -> dict[str, Path]:
    """Return the bags at and below ``paths`` by names that tell them apart.

    What an evaluation has predicted is no recording. Raises EpisodeError where there is none.
    """
    bags = [bag.absolute() for bag in bags_below(paths) if bag.name != PREDICTIONS]
    if not bags:
        raise EpisodeError(' '.join(map(str, paths)), 'bag', 'there is none; give bags, or '
                           'folders that hold some')
    above = Path(os.path.commonpath([bag.parent for bag in bags]))
    named: dict[str, Path] = {}
    for bag in bags:
        name = '__'.join(bag.relative_to(above).parts)
        # A folder a__b is called as the bag b of a folder a.
        free = (candidate for number in itertools.count(1)
                if (candidate := name if number == 1 else f'{name}__{number}') not in named)
        named[next(free)] = bag
    return named


def evaluate_bags(bags: dict[str, Path], settings: ReplaySettings, out: Path, content: Content,
                  crew: Crew, note: Callable[[str], None] = lambda name: None,
                  ) -> dict[str, dict[str, Any]]:
    """Evaluate what ``out`` lacks, each bag in a folder of its name; return each one's run.

    A run has ``bytes``, ``cpu_s``, ``wall_s`` and ``machine``, or ``error`` where nothing could
    be read of the bag or no worker survived it; these are tried again by the same command.
    ``note`` is called with the name of each bag that ends. Raises PolicyError, DetectorError, and
    ValueError where ``out`` holds something else or the parameter file is wrong.
    """
    shas, settings = _located(settings)
    out = out.absolute()
    _claim(out, {**{f'{kind}_sha256': sha for kind, sha in shas.items()}, 'write': content, **{
        key: value for key, value in plain(settings).items() if key not in shas},
        'params_file': _content(settings.params_file)})
    runs = {name: _done(out / name, bag) for name, bag in bags.items()}
    wanted = [name for name, run in runs.items() if run is None]
    for number, found in finish(crew, _evaluate, [
            (shas, bags[name], settings, out / name, content) for name in wanted]):
        name = wanted[number]
        runs[name] = (_given_up(bags[name], out / name, found) if isinstance(found, GivenUp)
                      else found)
        note(name)
    return {name: run for name, run in runs.items() if run is not None}


def recheck(bags: dict[str, Path], runs: dict[str, dict[str, Any]], settings: ReplaySettings,
            out: Path, crew: Crew) -> dict[str, int]:
    """Say whether it matters on what kind of machine the bags of ``out`` were evaluated.

    The shortest of those that another kind than this one has evaluated are evaluated here once
    more; ``differing`` is how many of these ``rechecked`` have other figures. One whose worker
    does not survive it here is left out: what others have evaluated holds nevertheless.
    """
    shas, settings = _located(settings)
    foreign = [name for name, run in runs.items()
               if 'error' not in run and run['machine'] != machine.kind()]
    sample = sorted(foreign, key=lambda name: (runs[name]['bytes'], name))[:_RECHECKED]
    rechecked = differing = 0
    with tempfile.TemporaryDirectory() as aside:
        here = Path(aside)
        for number, found in finish(crew, _evaluate, [
                (shas, bags[name], settings, here / name, 'none') for name in sample]):
            if isinstance(found, GivenUp):
                continue
            name = sample[number]
            rechecked += 1
            differing += 'error' in found or _figures(here, name) != _figures(out, name)
    return {'rechecked': rechecked, 'differing': differing}


def _figures(out: Path, name: str) -> dict[str, Any]:
    return {key: value for key, value in read_summary(out, name).items() if key not in _VARIES}


def _located(settings: ReplaySettings) -> tuple[dict[str, str], ReplaySettings]:
    """Return the bundles' hashes by kind, and settings that a worker elsewhere understands."""
    shas = {kind: _sha(kind, name) for kind, name in _bundles(settings).items()}
    return shas, replace(settings, policy=find_bundle(settings.policy),
                         detector=settings.detector and find_bundle(settings.detector),
                         params_file=settings.params_file and settings.params_file.absolute())


def _content(params_file: Path | None) -> str | None:
    """Return the hash of a parameter file; raise ValueError naming it where it is none.

    What is wrong with it would otherwise be told of each bag.
    """
    if params_file is None:
        return None
    node_settings(params_file, 0.5)  # of whichever bundle
    return sha256_of(params_file)


def _given_up(bag: Path, folder: Path, why: GivenUp) -> dict[str, Any]:
    """Return the run of a bag that no worker has survived."""
    folder.mkdir(parents=True, exist_ok=True)
    return _written(folder, {'bag': str(bag), 'bytes': bag_bytes(bag), 'error': str(why)})


def _written(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    (folder / RUN).write_text(json.dumps(run, indent=2) + '\n', 'utf-8')
    return run


def _claim(out: Path, about: dict[str, Any]) -> None:
    path, text = out / IDENTITY, json.dumps(about, indent=2) + '\n'
    if path.is_file() and path.read_text('utf-8') != text:
        raise ValueError(f'{out} holds bags evaluated with another policy or other settings; '
                         'choose another folder, or remove it')
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(text, 'utf-8')


def _done(folder: Path, bag: Path) -> dict[str, Any] | None:
    """Return the run that a folder holds; None where there is none of this bag as it is now."""
    try:
        run: dict[str, Any] = json.loads((folder / RUN).read_text('utf-8'))
    except (OSError, ValueError):
        return None
    same = run['bag'] == str(bag) and run['bytes'] == bag_bytes(bag)
    return run if same and 'error' not in run else None


def _bundles(settings: ReplaySettings) -> dict[str, str]:
    """Return the bundles that take part, by kind."""
    return {kind: name for kind in _READ if (name := getattr(settings, kind))}


def _evaluate(shas: dict[str, str], bag: Path, settings: ReplaySettings, folder: Path,
              content: Content) -> dict[str, Any]:
    """Evaluate one bag in a worker, into a folder of its own."""
    for kind, name in _bundles(settings).items():
        if _sha(kind, name) != shas[kind]:  # a worker of a cluster has files of its own
            raise PolicyError(f'{name} on a worker is not the bundle that the run was begun '
                              'with; copy it to all machines, or name a folder that they share')
    shutil.rmtree(folder, ignore_errors=True)  # what a killed worker has left
    folder.mkdir(parents=True)
    run = {'bag': str(bag), 'bytes': bag_bytes(bag)}
    wall, cpu = time.monotonic(), time.process_time()
    try:
        evaluate_bag(bag, settings, folder, content)
    except (EpisodeError, NotUnderstood) as error:
        run['error'] = str(error)
    run |= {'wall_s': round(time.monotonic() - wall, 3),
            'cpu_s': round(time.process_time() - cpu, 3),
            'peak_mb': round(machine.memory_mb(), 1), 'machine': machine.kind()}
    return _written(folder, run)


@functools.cache
def _sha(kind: str, name: str) -> str:
    bundle = Path(find_bundle(name))
    _READ[kind](bundle)
    return sha256_of(bundle / CONFIG_NAME)  # which holds those of its files


def read_summary(out: Path, name: str) -> dict[str, Any]:
    """Return the summary of a bag that was evaluated."""
    summary: dict[str, Any] = json.loads((out / name / SUMMARY).read_text('utf-8'))
    return summary
