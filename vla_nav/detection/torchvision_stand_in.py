"""What ultralytics needs of torchvision, where torchvision cannot be imported.

The only torchvision on PyPI is built for CUDA and does not import beside a CPU build of torch;
boards with a torch of their own have the same trouble. For detection ultralytics asks for the
version, and for ``ops.nms``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

import torch
from torch import Tensor

_NAME = 'torchvision'


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Return the numbers of the boxes to keep, best first.

    ``boxes`` float [N, 4] are left, top, right, bottom; ``scores`` float [N]. A box goes where
    it overlaps a better one that stays by an IoU above ``iou_threshold``.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    stays = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    for i in range(len(boxes) - 1):
        if stays[i]:
            rest = boxes[i + 1:]
            shared = (torch.minimum(rest[:, 2:], boxes[i, 2:]) -
                      torch.maximum(rest[:, :2], boxes[i, :2])).clamp(min=0).prod(1)
            stays[i + 1:] &= shared <= iou_threshold * (areas[i + 1:] + areas[i] - shared)
    return order[stays]


def version() -> str:
    """Return the version of torchvision that belongs to the installed torch, 2.x."""
    return f'0.{int(torch.__version__.split(".")[1]) + 15}.0'


@contextmanager
def in_place() -> Iterator[None]:
    """Let ``import torchvision`` succeed within this context, by the stand-in if need be.

    It goes afterwards: other libraries would take it for the whole of torchvision.
    """
    if _can_be_imported():
        yield
        return
    finder = _Distribution.Finder()
    modules = _modules()
    sys.modules.update(modules)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in modules:
            sys.modules.pop(name, None)


def _can_be_imported() -> bool:
    try:
        importlib.import_module(_NAME)
    except (ImportError, OSError, RuntimeError, AttributeError):  # built for another torch
        for name in [name for name in sys.modules if name.partition('.')[0] == _NAME]:
            del sys.modules[name]
        return False
    return True


def _modules() -> dict[str, ModuleType]:
    whole, ops = ModuleType(_NAME), ModuleType(f'{_NAME}.ops')
    whole.__version__ = version()  # type: ignore[attr-defined]
    whole.__spec__, ops.__spec__ = ModuleSpec(_NAME, None), ModuleSpec(ops.__name__, None)
    ops.nms = nms  # type: ignore[attr-defined]
    whole.ops = ops  # type: ignore[attr-defined]
    return {_NAME: whole, ops.__name__: ops}


class _Distribution(importlib.metadata.Distribution):
    """The metadata of a distribution that consists of a name and a version."""

    class Finder(importlib.metadata.DistributionFinder):
        """Find this distribution, and no module."""

        def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
            """Leave all modules to the other finders."""

        def find_distributions(
            self, context: importlib.metadata.DistributionFinder.Context
                = importlib.metadata.DistributionFinder.Context(),  # noqa: B008
        ) -> Iterator[importlib.metadata.Distribution]:
            """Yield the stand-in's metadata to who asks for its name."""
            if context.name == _NAME:
                yield _Distribution()

    def read_text(self, filename: str) -> str | None:
        """Return the text of the metadata file."""
        wanted = filename == 'METADATA'
        return f'Metadata-Version: 2.1\nName: {_NAME}\nVersion: {version()}\n' if wanted else None

    def locate_file(self, path: object) -> None:  # type: ignore[override]
        """Return nothing: there are no files."""
