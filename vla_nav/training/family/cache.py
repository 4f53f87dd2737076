"""Features of frozen backbones, computed once a picture and memory-mapped from then on.

Where something learns inside of a backbone, what lies before it is kept. One safetensors file an
episode and light. Its name is a hash of all that its content depends on: the backbones' frozen
weights, the preprocessing, the pictures, the instruction, the light. So what is stale is never
found, and what was damaged or swapped does not match the checksums inside.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode, JpegPictures
from vla_nav.policies.family import FamilyPolicy, Instructions
from vla_nav.training.family.augment import Light
from vla_nav.training.family.pictures import Pictures
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.recordings import Recording

# Raise this when what stands in a file, or how it is computed, changes.
_VERSION = 1
# Features computed again may differ by rounding (other batch sizes, another device), not more.
_SAME = 0.02


@dataclass(frozen=True)
class CacheSettings:
    """Where the cache lies and what is in it: ``variants`` lights, the first the true one."""

    folder: Path
    variants: int = 1
    augment: float = 0.0
    seed: int = 0
    batch: int = 64


class FeatureCache:
    """Windows of features [T, P], for recordings whose every picture has been encoded."""

    def __init__(self, features: Sequence[Sequence[Tensor]]) -> None:
        """Take features[recording][variant], each [N, P]; the first variant is the true light."""
        self._features = features

    def window(self, recording: int, rows: NDArray[np.int64],
               rng: np.random.Generator | None = None) -> Tensor:
        """Return float32 [T, P]; ``rng`` draws the light, None takes the true one."""
        variants = self._features[recording]
        variant = 0 if rng is None else int(rng.integers(len(variants)))
        return variants[variant][torch.from_numpy(rows)].float()


class FeatureStore:
    """The files of a cache that belong to one network and its recordings."""

    def __init__(self, policy: FamilyPolicy, recordings: Sequence[Recording],
                 instructions: Instructions, settings: CacheSettings,
                 lit: frozenset[str] = frozenset()) -> None:
        """Find the files' names; ``instructions`` has a row a recording.

        Recordings named in ``lit`` are kept in every light, the others in the true one.
        """
        self._policy, self._recordings, self._settings = policy, recordings, settings
        self._instructions = instructions
        self._pictures = Pictures(recordings, policy.config.backbone.height,
                                  policy.config.backbone.width)
        # Buffers that no checkpoint holds, such as a picture's mean and scale, matter as well.
        weights = hashlib.sha256(' '.join([policy.fingerprint(), *(
            f'{name} {_checksum(value)}' for name, value in
            policy.backbones.named_buffers())]).encode()).hexdigest()
        folder = settings.folder / weights[:16]
        backbone = policy.config.backbone.model_dump(mode='json')
        self._paths: list[list[Path]] = []
        for index, recording in enumerate(recordings):
            words = instructions.select([index])
            with open_episode(recording.ref) as episode:
                same = [_VERSION, weights, backbone, content_hash(episode), words.texts,
                        words.features.tolist()]
            lights = [None, *([settings.augment, settings.seed, variant]
                              for variant in range(1, settings.variants))]
            self._paths.append([
                folder / f'{hashlib.sha256(json.dumps([same, light]).encode()).hexdigest()}'
                '.safetensors' for light in lights[:None if recording.name in lit else 1]])

    def fill(self, rank: int = 0, ranks: int = 1,
             note: Callable[[int], None] = lambda pictures: None) -> int:
        """Encode what is missing or damaged and return how many pictures that were.

        Of ``ranks`` processes each does its share. ``note`` is told of each bunch of pictures.
        Raises TrainingError where the disk has no room for what all of them lack.
        """
        # By path: recordings that are the same twice have one file.
        missing = {path: (index, variant) for index, paths in enumerate(self._paths)
                   for variant, path in enumerate(paths)
                   if not _intact(path, len(self._recordings[index]))}
        self._check_room(sum(len(self._recordings[index]) for index, _ in missing.values()))
        own = [one for one in missing.values() if one[0] % ranks == rank]
        done = sum(len(self._recordings[index]) for index, _ in own)
        for index, variant in own:
            length = len(self._recordings[index])
            features = self._encode(index, np.arange(length), self._light(index, variant))
            _write(self._paths[index][variant], features, self._recordings[index].name)
            note(length)
        self._pictures.close()
        return done

    def open(self) -> FeatureCache:
        """Map what :meth:`fill` wrote, after some of it was compared with the network.

        Raises TrainingError where the kept features are not what the network gives: something
        that the names of the files do not cover has changed, or others put their files there.
        """
        cache = FeatureCache([[load_file(path)['features'] for path in paths]
                              for paths in self._paths])
        count = len(self._recordings)
        for index in sorted({0, count // 2, count - 1}):
            rows = np.array([len(self._recordings[index]) // 2])
            now, kept = self._encode(index, rows).float(), cache.window(index, rows)
            # Each backbone by itself, or a large one hides what is wrong with another.
            off = max(float((a - b).norm() / b.norm().clamp_min(1e-6)) for a, b in zip(
                *(part.split(self._policy.kept_sizes, 1) for part in (kept, now))))
            if not off <= _SAME:
                raise TrainingError(
                    f'{self._settings.folder}: the kept features of '
                    f'{self._recordings[index].name} differ by {off:.0%} from what the backbones '
                    'give now: the cache is stale or of another network; delete the folder, it '
                    'is then computed again')
        self._pictures.close()
        return cache

    def _check_room(self, pictures: int) -> None:
        folder = self._settings.folder
        folder.mkdir(parents=True, exist_ok=True)
        needed = pictures * sum(self._policy.kept_sizes) * torch.half.itemsize
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise TrainingError(
                f'{folder}: features of {pictures} pictures take {needed / 1e6:,.0f} MB, '
                f'{free / 1e6:,.0f} MB are free there: set train.lights=1, give a folder on '
                'another disk with --cache, or train with train.cache=false')

    def _encode(self, index: int, rows: NDArray[np.int64], light: Light | None = None) -> Tensor:
        words = self._instructions.select([index]).to(next(self._policy.parameters()).device)
        was_training = self._policy.training
        self._policy.eval()  # no dropout in what is kept
        parts = []
        for some in np.array_split(rows, -(-len(rows) // self._settings.batch)):
            images = self._pictures.read(index, some)
            seen = torch.from_numpy(images if light is None else light.on(images))
            with torch.inference_mode():
                parts.append(self._policy.precompute(
                    seen.to(words.features.device),
                    words.select([0] * len(some))).half().cpu())
        self._policy.train(was_training)
        features = torch.cat(parts)
        if not torch.isfinite(features).all():
            raise TrainingError(f'{self._recordings[index].name}: the backbones gave features '
                                'that are not finite in half precision: use '
                                'backbone.dtype=float32, or train.cache=false')
        return features

    def _light(self, index: int, variant: int) -> Light | None:
        if not variant:
            return None
        # The same drive gets the same lights in every training, or nothing would be found again.
        drive = int(self._recordings[index].pictures[:16], 16)
        rng = np.random.default_rng([self._settings.seed, drive, variant])
        return Light.draw(rng, self._settings.augment)


def content_hash(episode: Episode) -> str:
    """Return a hash of all pictures of an episode, as they are stored."""
    digest = hashlib.sha256()
    for index in range(len(episode)):
        if isinstance(episode.images, JpegPictures):
            digest.update(episode.images.encoded(index))
        else:
            image = np.ascontiguousarray(episode.images[index])
            digest.update(f'{image.shape}'.encode())
            digest.update(image.data)
    return digest.hexdigest()


def _checksum(features: Tensor) -> str:
    values = features.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
    return hashlib.sha256(values.data).hexdigest()


def _write(path: Path, features: Tensor, recording: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f'.{os.getpid()}.partial')
    save_file({'features': features}, partial,
              {'checksum': _checksum(features), 'name': path.stem, 'recording': recording})
    partial.replace(path)


def _intact(path: Path, length: int) -> bool:
    """Tell whether the file is there, whole, under its own name, and for that many pictures."""
    if not path.exists():
        return False
    try:
        with safe_open(path, 'pt') as file:
            said = file.metadata() or {}
            features = file.get_tensor('features')
    except (OSError, SafetensorError):
        return False
    return (said.get('name') == path.stem and len(features) == length
            and said.get('checksum') == _checksum(features))
