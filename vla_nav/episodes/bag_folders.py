"""Where bags lie below folders, also such as a crash has cut off."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vla_nav.episodes.schema import EpisodeError

STORAGE = ('.mcap', '.db3')
METADATA = 'metadata.yaml'


def bags_below(paths: Iterable[Path]) -> list[Path]:
    """Return the bags at and below ``paths``, each once, in the order of their names.

    Raises EpisodeError for a path that does not exist.
    """
    bags: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise EpisodeError(path, 'bag', 'no such bag, or folder of bags')
        for bag in [path] if path.is_file() or _is_bag(path) else sorted(
                folder for folder in path.rglob('*') if _is_bag(folder)):
            bags.setdefault(bag.resolve(), bag)
    return [*bags.values()]


def bag_bytes(bag: Path) -> int:
    """Return how large the files of a bag are together."""
    files = [bag] if bag.is_file() else [path for path in bag.iterdir() if path.suffix in STORAGE]
    return sum(file.stat().st_size for file in files)


def _is_bag(path: Path) -> bool:
    return path.is_dir() and any(file.suffix in STORAGE or file.name == METADATA
                                 for file in path.iterdir())
