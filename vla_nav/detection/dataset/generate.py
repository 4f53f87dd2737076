"""Make a data set: each picture depends on the seed and its number alone, so work resumes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vla_nav.detection.dataset.boxes import Limits, visible_boxes
from vla_nav.detection.dataset.effects import photograph
from vla_nav.detection.dataset.shots import SPLITS, Shot, scene_of, shots_of, stream
from vla_nav.detection.dataset.yolo import DatasetError
from vla_nav.evaluation.crew import GivenUp, LocalCrew, finish
from vla_nav.simulation.world import World

# Raise it whenever the same settings would give other pictures or boxes.
DATASET_VERSION = '1.0'
PLAN_NAME = 'plan.json'
_CHUNK = 8


@dataclass(frozen=True)
class Settings:
    """What is asked for: pictures by split, the seed, the side of the detector's input."""

    train: int = 1600
    val: int = 400
    test: int = 1000
    seed: int = 0
    size: int = 320
    limits: Limits = field(default_factory=Limits)

    def shots(self) -> list[Shot]:
        """Return all pictures to take."""
        return [shot for split in SPLITS for shot in shots_of(
            split, getattr(self, split), self.seed)]

    def to_dict(self) -> dict[str, Any]:
        """Return the form that files hold."""
        return asdict(self)


def generate(out: Path, settings: Settings, workers: int = 1,
             note: Callable[[int, int], None] = lambda done, total: None) -> list[Shot]:
    """Take the pictures that ``out`` lacks and return all shots.

    ``note`` takes how many are there, of how many. Raises :class:`DatasetError` where ``out``
    holds something else, GivenUp where a worker fails.
    """
    _claim(out, settings)
    shots = settings.shots()
    missing = [shot for shot in shots if not picture_path(out, shot).is_file()]
    done = len(shots) - len(missing)
    note(done, len(shots))
    chunks = [missing[i:i + _CHUNK] for i in range(0, len(missing), _CHUNK)]
    for count in _all(out, settings, chunks, workers):
        done += count
        note(done, len(shots))
    return shots


def picture_path(out: Path, shot: Shot) -> Path:
    """Return where a shot's picture lies."""
    return out / 'images' / shot.split / f'{shot.stem}.jpg'


def label_path(out: Path, shot: Shot) -> Path:
    """Return where a shot's boxes lie."""
    return out / 'labels' / shot.split / f'{shot.stem}.txt'


def _claim(out: Path, settings: Settings) -> None:
    """Make the folders, and see to it that pictures of two plans never mix."""
    plan = {'version': DATASET_VERSION, **settings.to_dict()}
    path = out / PLAN_NAME
    if path.is_file():
        there = json.loads(path.read_text('utf-8'))
        # A split that only grows keeps its pictures.
        other = [f'{key} is {there.get(key)!r}' for key in plan if plan[key] != there.get(key)
                 and not (key in SPLITS and plan[key] > there.get(key, 0))]
        if other:
            raise DatasetError(
                f'{path}: {", ".join(other)}, which is not what is asked for now; give '
                'another --out, or remove that folder')
    elif (out / 'images').exists():
        raise DatasetError(f'{out}: holds pictures, but no {PLAN_NAME}; give another --out')
    for kind in ('images', 'labels'):
        for split in SPLITS:
            (out / kind / split).mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plan, indent=2) + '\n', 'utf-8')


def _all(out: Path, settings: Settings, chunks: list[list[Shot]], workers: int) -> Iterator[int]:
    jobs = [(out, settings, chunk) for chunk in chunks]
    if workers <= 1:
        for job in jobs:
            yield take(*job)
        return
    with LocalCrew(workers) as crew:
        for _, count in finish(crew, take, jobs):
            if isinstance(count, GivenUp):
                raise count
            yield count


_world: World | None = None


def take(out: Path, settings: Settings, shots: list[Shot]) -> int:
    """Take pictures with this process's world and return how many; compiling one is slow."""
    global _world
    if _world is None:
        _world = World()
    for shot in shots:
        _take(out, settings, shot, _world)
    return len(shots)


def _take(out: Path, settings: Settings, shot: Shot, world: World) -> None:
    world.width, world.height = shot.camera.width, shot.camera.height
    world.load(scene_of(shot, settings.seed))
    boxes = visible_boxes(world, settings.size, settings.limits)
    lines = ''.join(box.line(world.width, world.height) + '\n' for box in boxes)
    label_path(out, shot).write_text(lines, 'ascii')
    # Last and at once, since a shot with a picture counts as taken.
    path = picture_path(out, shot)
    unfinished = path.with_suffix('.part')
    unfinished.write_bytes(photograph(world.render(), stream(settings.seed, shot, 2)))
    os.replace(unfinished, path)
