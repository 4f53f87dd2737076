"""The figures of ``vla-nav bench ablation`` as rows and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from vla_nav.evaluation.markdown import table_lines
from vla_nav.evaluation.png import to_png

COLUMNS = ('optimisation', 'work', 'off, ms', 'on, ms', '× faster', 'off, MB', 'on, MB',
           '× less memory')
_TIME, _MEMORY = '#2a6f97', '#9db4c0'


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return one row of the table; medians, – where memory is not measured."""
    memory = [f'{row[key]:.{digits}f}' if row[key] is not None else '–'
              for key, digits in (('off_mb', 0), ('on_mb', 0), ('times_less', 2))]
    return [row['optimisation'], row['work'], f'{row["off_ms"]["p50"]:.2f}',
            f'{row["on_ms"]["p50"]:.2f}', f'{row["times_faster"]:.2f}', *memory]


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table of a whole result, with what it was measured on."""
    machine = result['machine']
    versions = ', '.join(f'{name} {version}' for name, version in machine['versions'].items())
    lines = table_lines(COLUMNS, map(cells, result['rows']))
    lines += ['', f'{" ".join([result["preset"], *result["overrides"]])} on {result["device"]}: '
              f'{machine["processor"]}, {result["threads"]} thread(s); medians of '
              f'{result["steps"]} control steps at batch 1 and of {result["training_steps"]} '
              f'training steps on {result["batch"]} windows of {result["window"]} pictures, in '
              f'turns. {versions}.']
    lines += [f'- {name}: not measured: {why}' for name, why in result['not_measured'].items()]
    return '\n'.join(lines) + '\n'


def plot(result: Mapping[str, Any]) -> bytes:
    """Return a PNG: how many times faster, and how many times less memory."""
    rows = result['rows']
    figure = Figure(figsize=(7.5, 1.4 + 0.6 * len(rows)), layout='constrained')
    axes = figure.subplots()
    for shift, key, colour, label in ((-0.18, 'times_faster', _TIME, 'time off ÷ on'),
                                      (0.18, 'times_less', _MEMORY, 'memory off ÷ on')):
        found = [(place, row[key]) for place, row in enumerate(rows) if row[key] is not None]
        bars = axes.barh([place + shift for place, _ in found], [value for _, value in found],
                         0.34, color=colour, label=label)
        axes.bar_label(bars, fmt='%.2f', padding=2, fontsize=8)
    axes.axvline(1.0, color='black', linewidth=0.8)
    most = max(row[key] or 0.0 for row in rows for key in ('times_faster', 'times_less'))
    axes.set(yticks=range(len(rows)), xlim=(0, 1.12 * max(most, 1.0)),
             yticklabels=[f'{row["optimisation"]}\n{row["work"]}' for row in rows],
             title=f'{result["preset"]} on {result["device"]}')
    axes.invert_yaxis()
    figure.legend(loc='outside lower center', ncols=2, fontsize=8)
    return to_png(figure, 120)
