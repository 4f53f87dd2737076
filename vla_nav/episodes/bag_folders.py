"""Where bags lie below folders, also such as a crash has cut off, and what their files are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vla_nav.episodes.schema import EpisodeError

METADATA = 'metadata.yaml'
# How rosbag2 calls a file that it has compressed as a whole: take_0.db3.zstd.
PACKED = '.zstd'
_STORAGE = ('.mcap', '.db3')


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
    """Return how large the files of a bag are together, as they lie on disk."""
    return sum(file.stat().st_size for file in storage_files(bag))


def storage_files(bag: Path) -> list[Path]:
    """Return the files in which a bag keeps its messages, in no order.

    A recorder that died while it compressed a file leaves both; only the first one is whole.
    """
    if bag.is_file():
        return [bag]
    return [file for file in bag.iterdir() if _is_storage(file)
            and not (file.suffix == PACKED and file.with_suffix('').exists())]


def _is_bag(path: Path) -> bool:
    return path.is_dir() and any(_is_storage(file) or file.name == METADATA
                                 for file in path.iterdir())


def _is_storage(file: Path) -> bool:
    return Path(file.name.removesuffix(PACKED)).suffix in _STORAGE
