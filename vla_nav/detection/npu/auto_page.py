"""The search for people: its tables as Markdown and HTML, and a plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vla_nav.detection.npu.report import number
from vla_nav.evaluation.html import FIGURES, HEAD, inline, render
from vla_nav.evaluation.markdown import table_lines
from vla_nav.evaluation.png import to_png

_PLOT = 'front.png'
_COLUMNS = ('model', 'mAP50', 'mAP50-95', 'cost', 'parameters', 'operators on the NPU',
            'MACs on the NPU', 'kept')
_ALL_COLUMNS = ('candidate', 'cost', 'MACs', 'operators on the NPU', 'MACs on the NPU', 'trained')
_TEMPLATE = HEAD + FIGURES + """
</style></head><body>
<h1>{{ title }}</h1>
{% for line in intro %}<p class="dim">{{ line }}</p>{% endfor %}
<img alt="mAP50 against cost" src="{{ plot }}">
{% for heading, columns, rows in tables %}<h2>{{ heading }}</h2>
<table><tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}
</table>{% endfor %}</body></html>
"""


def write_pages(out: Path, summary: Mapping[str, Any]) -> None:
    """Write ``auto.md``, ``index.html`` and the plot of a search's summary."""
    plot = _plot(summary)
    (out / _PLOT).write_bytes(plot)
    title, intro, tables = f'Search for {summary["target"]}', _intro(summary), _tables(summary)
    lines = [f'# {title}', '', *(part for line in intro for part in (line, '')),
             f'![mAP50 against cost]({_PLOT})', '']
    for heading, columns, rows in tables:
        lines += [f'## {heading}', '', *table_lines(columns, rows), '']
    (out / 'auto.md').write_text('\n'.join(lines).rstrip() + '\n', 'utf-8')
    (out / 'index.html').write_text(render(_TEMPLATE, title=title, intro=intro, tables=tables,
                                           plot=inline(plot)), 'utf-8')


def unit(summary: Mapping[str, Any]) -> str:
    """Return what a cost is counted in."""
    timed = any(one['estimated_ms'] is not None for one in summary['compiled'].values())
    return 'estimated ms' if timed else '1e9 MACs (no time is estimated)'


def _intro(summary: Mapping[str, Any]) -> list[str]:
    return [f'{len(summary["compiled"])} candidates compiled at {summary["image_size"]} pixels '
            f'with random weights, {len(summary["models"])} trained: those nearest to even steps '
            'of the logarithm of cost between the cheapest and the dearest, of those that run '
            f'nearly wholly on the NPU. Cost: {unit(summary)}, an estimate. '
            f'{summary["assumptions"]}.',
            f'mAP is that of the fp32 graph on the validation pictures of {summary["data"]}, '
            f'{summary["recipe"]["epochs"]} epochs at {summary["recipe"]["image_size"]} pixels. '
            'Kept is what no other beats in both mAP50 and cost.',
            summary['command']]


def _tables(summary: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
    models, compiled = summary['models'], summary['compiled']
    trained = [[name, f'{one["map50"]:.3f}', f'{one["map50_95"]:.3f}', number(one['cost'], 2),
                f'{one["parameters"]:,}', f'{one["operator_share"]:.1%}',
                f'{one["mac_share"]:.2%}', 'yes' if name in summary['front'] else '']
               for name, one in sorted(models.items(), key=lambda item: item[1]['cost'])]
    every = [[name, number(one['cost'], 2), f'{one["macs"] / 1e9:.2f} G',
              f'{one["operator_share"]:.1%}', f'{one["mac_share"]:.2%}',
              'yes' if name in models else '']
             for name, one in sorted(compiled.items(), key=lambda item: item[1]['cost'])]
    return [('Trained', _COLUMNS, trained), ('Compiled', _ALL_COLUMNS, every)]


def _plot(summary: Mapping[str, Any]) -> bytes:
    figure = Figure(figsize=(7.5, 4.2), layout='constrained')
    axes = figure.subplots()
    models = summary['models']
    kept = [models[name] for name in summary['front']]
    axes.plot([one['cost'] for one in kept], [one['map50'] for one in kept], '-', color='C0',
              alpha=0.5)
    for name, one in models.items():
        on_front = name in summary['front']
        axes.plot(one['cost'], one['map50'], 'o', color='C0' if on_front else '0.6')
        axes.annotate(name, (one['cost'], one['map50']), (5, -9), textcoords='offset points',
                      fontsize=8, color='0.2' if on_front else '0.5')
    axes.margins(x=0.2, y=0.15)
    axes.set(xlabel=unit(summary), ylabel='mAP50, validation')
    axes.grid(alpha=0.3)
    return to_png(figure, 110)
