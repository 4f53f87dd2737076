"""The figures of ``vla-nav bench policy`` as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from vla_nav.evaluation.png import to_png

# A network of which nobody knows the parts is one piece.
_COLOURS = {'decode': '#9db4c0', 'encode': '#2a6f97', 'head': '#e09f3e', 'network': '#61a5c2'}


def plot(result: Mapping[str, Any]) -> bytes:
    """Return a PNG: the median of each stage, the 99th percentile of the whole, the floor."""
    rows = result['subjects']
    figure = Figure(figsize=(8, 1.2 + 0.5 * len(rows)), layout='constrained')
    axes = figure.subplots()
    places = range(len(rows))
    left = [0.0] * len(rows)
    for stage, colour in _COLOURS.items():
        widths = [_width(row, stage) for row in rows.values()]
        axes.barh(places, widths, left=left, color=colour, label=f'{stage}, median')
        left = [a + b for a, b in zip(left, widths)]
    axes.plot([row['total_ms']['p99'] for row in rows.values()], places, 'k|', markersize=12,
              label='total, 99th percentile')
    axes.plot([row['decode_ms']['p50'] + row['floor_ms'] for row in rows.values()], places, 'r|',
              markersize=12, label='floor of the network')
    axes.set(yticks=list(places), yticklabels=list(rows), xlabel='ms', xlim=(0, None))
    axes.invert_yaxis()
    axes.grid(axis='x', alpha=0.3)
    figure.legend(loc='outside lower center', ncols=3, fontsize=8)
    return to_png(figure, 120)


def _width(row: Mapping[str, Any], stage: str) -> float:
    if stage == 'network' and row['head_ms'] is not None:
        return 0.0
    found = row[f'{stage}_ms']
    return 0.0 if found is None else float(found['p50'])
