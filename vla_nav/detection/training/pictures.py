"""The training pictures, distorted by ultralytics, in an order that a resumed run repeats."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from vla_nav.detection.dataset.yolo import Dataset, label_file, read_labels
from vla_nav.detection.training.recipe import Recipe
from vla_nav.detection.training.yolo import ultralytics

# No file can lie below one that is no folder.
_NOWHERE = Path(os.devnull) / 'no.npy'


class Pictures:
    """Batches of an epoch, the same for the same seed, epoch, rank and number of workers.

    They are kept in memory, shrunk, where there is room. Nothing beside them is written, deleted
    or read but their labels: no cache, and no array that has their name. Raises DatasetError for
    unusable data.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe, loaders: int = 0) -> None:
        self._recipe = recipe
        self._loaders = loaders
        self._files = chosen(dataset.pictures('train'), recipe)
        labels = [_label(file, len(dataset.names)) for file in self._files]
        with ultralytics('data.dataset') as data, ultralytics('cfg') as configuration:
            class Labelled(data.YOLODataset):  # type: ignore[name-defined, misc]
                """ultralytics' data set with labels that this package has read."""

                def __setattr__(self, name: str, value: Any) -> None:
                    # It takes a.npy beside a.jpg for its cache: reads it, and overwrites or
                    # deletes it where it is something else, such as a depth map.
                    super().__setattr__(
                        name, [_NOWHERE] * len(value) if name == 'npy_files' else value)

                def get_img_files(self, img_path: Any) -> list[str]:
                    return [str(file) for file in img_path]

                def get_labels(self) -> list[dict[str, Any]]:
                    return labels

            hyper = configuration.get_cfg(overrides={'deterministic': False,
                                                     **recipe.augmentation(0)})
            self._set = Labelled(img_path=self._files, imgsz=recipe.image_size, augment=True,
                                 hyp=hyper, cache='ram', batch_size=recipe.batch,
                                 data={'names': dict(enumerate(dataset.names)), 'channels': 3})
        self._hyper = hyper
        self._collate = data.YOLODataset.collate_fn

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self._files)

    def batches(self) -> int:
        """Return how many batches an epoch has, the same in each worker."""
        return -(-len(self._files) // self._recipe.batch)

    def epoch(self, number: int, rank: int = 0, workers: int = 1) -> Iterator[dict[str, Any]]:
        """Yield the batches of an epoch as ultralytics' loss takes them, pictures as bytes."""
        seed = [self._recipe.seed, number]
        order = np.random.default_rng(seed).permutation(len(self._files))
        shares = [part[rank::workers] for part in np.array_split(order, self.batches())]
        generator = torch.Generator().manual_seed(
            int(np.random.default_rng([*seed, rank]).integers(1 << 62)))
        self._distort(self._recipe.augmentation(number))
        _seed(int(torch.randint(1 << 31, (1,), generator=generator)))
        yield from DataLoader(
            self._set, batch_sampler=[share.tolist() for share in shares if len(share)],
            num_workers=self._loaders, collate_fn=self._collate, generator=generator,
            worker_init_fn=_seed_loader)

    def _distort(self, augmentation: dict[str, Any]) -> None:
        """Change the distortions where an epoch's differ from the last one's."""
        if any(getattr(self._hyper, key) != value for key, value in augmentation.items()):
            for key, value in augmentation.items():
                setattr(self._hyper, key, value)
            with ultralytics():
                self._set.transforms = self._set.build_transforms(self._hyper)


def chosen(files: tuple[Path, ...], recipe: Recipe) -> list[Path]:
    """Return the pictures that a recipe trains on: all, or a random choice by its seed."""
    if not 0 < recipe.pictures < len(files):
        return list(files)
    order = np.random.default_rng(recipe.seed).permutation(len(files))[:recipe.pictures]
    return [files[number] for number in sorted(order)]


def _label(file: Path, classes: int) -> dict[str, Any]:
    rows = read_labels(label_file(file), classes).astype(np.float32)
    return {'im_file': str(file), 'cls': rows[:, :1], 'bboxes': rows[:, 1:], 'segments': [],
            'keypoints': None, 'normalized': True, 'bbox_format': 'xywh'}


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _seed_loader(_: int) -> None:
    cv2.setNumThreads(0)
    _seed(torch.initial_seed() % (1 << 32))
