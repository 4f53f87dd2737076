"""What a trained policy would do in frames of rollouts: labels for a student."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from vla_nav.contracts import Frame, PolicyError
from vla_nav.evaluation.rollout import STEP_NS
from vla_nav.language.reader import Reading
from vla_nav.runtimes import load_policy
from vla_nav.runtimes.bundle import CONFIG_NAME, read_bundle
from vla_nav.runtimes.ensemble import Ensemble, networks
from vla_nav.runtimes.stepping import SteppingPolicy
from vla_nav.spaces import OMNI_3D
from vla_nav.training.family.simulated import intent_of
from vla_nav.training.pictures import Pictures
from vla_nav.training.rollouts import CHUNK, IMAGE_HEIGHT, IMAGE_WIDTH

_STILL = 0.1  # of the limits, both axes together
_IMAGES, _LABELS = '.images.npy', ('chunks', 'arrived')


class Teacher:
    """One policy, or the mean of several; each keeps its own memory of a drive."""

    def __init__(self, bundles: Sequence[Path]) -> None:
        """Load bundles, which count alike; raise PolicyError.

        A teacher must look at pictures as small as the student's, and plan as far.
        """
        weighed = [(_member(path), weight) for bundle in bundles
                   for path, weight in networks(bundle)]
        self._members = [policy for policy, weight in weighed if weight > 0]
        self._all = Ensemble(weighed, 'teacher')
        spec = self._all.spec
        for what, there, wanted, fits in (
                ('action space', spec.action_space, OMNI_3D, spec.action_space == OMNI_3D),
                ('step', f'{spec.step_ns} ns', f'{STEP_NS} ns', spec.step_ns == STEP_NS),
                ('chunk', f'{spec.chunk} steps', f'{CHUNK} or more', spec.chunk >= CHUNK),
                ('picture', f'{spec.image_width} x {spec.image_height}',
                 f'{IMAGE_WIDTH} x {IMAGE_HEIGHT} or less',
                 spec.image_height <= IMAGE_HEIGHT and spec.image_width <= IMAGE_WIDTH)):
            if not fits:
                raise PolicyError(f'the teacher has the {what} {there}; the student needs '
                                  f'{wanted}: choose another teacher')

    def label(self, images: Sequence[NDArray[np.uint8]], features: NDArray[np.float32],
              ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return normalised chunks [T, K, A] and the belief to have arrived [T] over a drive.

        ``features`` [13] are what it is told. A belief of one half is the teacher's threshold.
        """
        reading = Reading(features, intent_of(features), 1.0)
        frames = [Frame(image, (1 + row) * STEP_NS) for row, image in enumerate(images)]
        drives = []
        for policy in self._members:
            policy.tell(reading)
            drives.append(policy.over_drive(frames))
        found = [self._all.mean(chunks) for chunks in zip(*drives)]
        return (np.stack([OMNI_3D.normalise(chunk.velocities[:CHUNK]) for chunk in found]),
                np.array([chunk.arrived for chunk in found], np.float32))


def relabel(source: Path, target: Path, teacher: Sequence[Path], workers: int = 2) -> Path:
    """Write a folder of rollouts again with the teacher's labels, and return it.

    Both instructions of each frame are labelled, each over the whole drive. What does not change
    is linked; shards that are there already are kept. Raises PolicyError.
    """
    _loaded(tuple(teacher))  # what is wrong with it is said here, not by a worker
    target.mkdir(parents=True, exist_ok=True)
    names = sorted(path.name.removesuffix(_IMAGES) for path in source.glob(f'*{_IMAGES}'))
    jobs = [(source, target, name, tuple(teacher)) for name in names
            if not (target / f'{name}{_IMAGES}').exists()]
    title = f'labels of {source.name}'
    if min(workers, len(jobs)) <= 1:
        for job in track(jobs, title):
            _relabel(job)
        return target
    # spawn: a forked child would share the parent's threads.
    with multiprocessing.get_context('spawn').Pool(min(workers, len(jobs))) as pool:
        for _ in track(pool.imap_unordered(_relabel, jobs), title, len(jobs)):
            pass
    return target


def _relabel(job: tuple[Path, Path, str, tuple[Path, ...]]) -> None:
    source, target, name, bundles = job
    teacher, images = _loaded(bundles), Pictures(source / name)
    features, episode, stage = (np.load(source / f'{name}.{key}.npy')
                                for key in ('features', 'episode', 'stage'))
    chunks, arrived = (np.load(source / f'{name}.{key}.npy') for key in _LABELS)
    starts = np.flatnonzero(np.diff(episode, prepend=-1))
    for rows in np.split(np.arange(len(episode)), starts[1:]):
        drive = [images[row] for row in rows.tolist()]
        for asked in range(features.shape[1]):
            chunks[rows, asked], arrived[rows, asked] = teacher.label(
                drive, features[rows[0], asked])
    # Who searches, before the first gate, turns in place, and frames tell it by that; a network
    # never stands quite still.
    still = (stage == 0) & (np.abs(chunks[:, :, 0, :2]).sum(-1) < _STILL)
    chunks[still, 0, :2] = 0.0
    for key, values in zip(_LABELS, (chunks, arrived)):
        np.save(target / f'{name}.{key}.npy', values)
    # The pictures last: a shard is there when they are.
    rest = [path for path in source.glob(f'{name}.*.npy')
            if path.name.split('.')[-2] not in _LABELS]
    for path in sorted(rest, key=lambda path: path.name.endswith(_IMAGES)):
        link = target / path.name
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(path.resolve(), target.resolve()))


def _member(path: Path) -> SteppingPolicy:
    policy = load_policy(path, 'cpu')
    if not isinstance(policy, SteppingPolicy):
        raise PolicyError(f'{path / CONFIG_NAME}: is no single network; name its members')
    if read_bundle(path).files.instruction is None:  # type: ignore[union-attr]
        raise PolicyError(f'{path / CONFIG_NAME}: knows one task only and follows no instruction; '
                          'choose another teacher')
    return policy


@functools.cache
def _loaded(bundles: tuple[Path, ...]) -> Teacher:
    return Teacher(bundles)
