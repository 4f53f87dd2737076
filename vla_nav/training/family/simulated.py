"""Simulated drives as recordings: what the compact policy learned from, for the family too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import NotUnderstood
from vla_nav.episodes.schema import Episode, JpegPictures
from vla_nav.episodes.store import EpisodeRef, write_episode
from vla_nav.language.grammar import LANGUAGES, phrase
from vla_nav.language.intent import COLOURS, KINDS, SIDES, Intent
from vla_nav.policies.instructions import Reads
from vla_nav.simulation.scenario import FAMILIES
from vla_nav.spaces import OMNI_3D
from vla_nav.training.pictures import Pictures

_STEP_NS = 100_000_000
# Small pictures lose little at this quality, and a tenth of the bytes remains.
_QUALITY = 95
_TRIES = 50
_SAME = 2e-3  # the linter takes actions that agree to three decimals for copies


def write_recordings(rollouts: Path, out: Path, reader: Reads,
                     note: Callable[[], None] = lambda: None) -> int:
    """Write the episodes of a folder of rollouts to ``out``, one file a shard; return how many.

    Each drive becomes two recordings of the same pictures, for its two instructions, with the
    expert's velocity for each; the pictures are stored once. A file that is there is kept.
    ``note`` is called after each drive.
    """
    out.mkdir(parents=True, exist_ok=True)
    shards = [path.with_name(path.name.removesuffix('.images.npy'))
              for path in sorted(rollouts.glob('*.images.npy'))]
    if not shards:
        raise FileNotFoundError(f'no rollouts in {rollouts}: collect them first')
    count = 0
    for shard in shards:
        target = out / f'{rollouts.name}_{shard.name}.h5'
        if not target.exists():
            partial = target.with_suffix('.partial')
            partial.unlink(missing_ok=True)
            _write_shard(shard, partial, reader, note)
            partial.replace(target)
        with h5py.File(target) as file:
            count += len(file)
    return count


def intent_of(features: NDArray[np.float32]) -> Intent:
    """Return the intent whose features these are; of a tinted colour the nearest name."""
    second = int(np.argmax(features[2:5]))
    kind = int(np.argmax(features[5:9]))
    colour = None
    if features[9] > 0.5:
        colour = min(COLOURS, key=lambda name: float(
            np.square(features[10:13] - np.asarray(COLOURS[name])).sum()))
    return Intent(SIDES[int(np.argmax(features[:2]))], (*KINDS, 'thing')[kind], colour,
                  SIDES[second - 1] if second else None)


def wording(intent: Intent, reader: Reads, rng: np.random.Generator) -> str:
    """Return words for an intent that the reader takes, English or Korean."""
    for _ in range(_TRIES):
        text = phrase(intent, rng, LANGUAGES[int(rng.integers(len(LANGUAGES)))])
        try:
            reader.read(text)
        except NotUnderstood:
            continue
        return text
    raise NotUnderstood(f'no wording of "{intent.describe()}" is understood; train the reader')


def _write_shard(shard: Path, target: Path, reader: Reads, note: Callable[[], None]) -> None:
    def field(name: str) -> Any:
        return np.load(f'{shard}.{name}.npy', mmap_mode='r')
    images, chunks, features = Pictures(shard), field('chunks'), field('features')
    arrived = field('arrived')
    episodes, families = np.asarray(field('episode')), field('family')
    for seed in dict.fromkeys(episodes.tolist()):
        rows = np.flatnonzero(episodes == seed)
        if len(rows) < 2:
            continue
        rng = np.random.default_rng([21, seed])
        intents = [intent_of(features[rows[0], which]) for which in (0, 1)]
        actions = [OMNI_3D.denormalise(chunks[rows, which, 0]) for which in (0, 1)]
        family = FAMILIES[int(families[rows[0]])]
        driven, other = f'{seed:07d}_driven', f'{seed:07d}_other'
        write_episode(EpisodeRef(target, driven), Episode(
            images=JpegPictures([_encoded(images[row]) for row in rows.tolist()]),
            actions=actions[0],
            # Apart in time, so that no two drives seem to be of one moment.
            stamps_ns=(seed * 1000 + 1 + np.arange(len(rows))) * _STEP_NS,
            instruction=wording(intents[0], reader, rng), embodiment='simulated',
            scenario=f'{family}_{intents[0].first_side}', success=bool(arrived[rows[-1], 0])))
        if np.abs(actions[0] - actions[1]).max() < _SAME:
            note()
            continue  # the other instruction asks for the same drive: nothing to learn from it
        with h5py.File(target, 'r+') as file:
            twin = file.create_group(other)
            for name in ('jpeg', 'stamps_ns'):
                twin[name] = file[driven][name]  # the same data, not a copy
            twin['actions'] = actions[1].astype(np.float32)
            twin.attrs.update({**file[driven].attrs,
                               'instruction': wording(intents[1], reader, rng),
                               'scenario': f'{family}_{intents[1].first_side}',
                               'success': bool(arrived[rows[-1], 1])})
        note()


def _encoded(image: NDArray[np.uint8]) -> bytes:
    flags: Sequence[int] = (cv2.IMWRITE_JPEG_QUALITY, _QUALITY)
    done, data = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    if not done:
        raise ValueError('a picture cannot be encoded as JPEG')
    return data.tobytes()
