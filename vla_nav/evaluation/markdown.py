"""Tables of our pages in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table_lines(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """Return the lines of a table."""
    return [_line(columns), '|---' * len(columns) + '|', *map(_line, rows)]


def _line(cells: Iterable[object]) -> str:
    return f'| {" | ".join(map(str, cells))} |'
