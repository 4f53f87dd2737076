"""Several policies on the same recorded drives: one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from vla_nav.evaluation.bootstrap import bounds_text
from vla_nav.evaluation.curves import learning_curves
from vla_nav.evaluation.html import FIGURES, HEAD, inline, render
from vla_nav.evaluation.png import to_png

_TEMPLATE = HEAD + FIGURES + """
</style></head><body>
<h1>{{ title }}</h1>
<p class="dim">{{ episodes }} episodes, {{ samples }} pictures; errors of the velocity that is
driven at once, over all axes, in m/s and rad/s; 95&nbsp;% intervals resample episodes.</p>
<table><tr><th>policy</th><th>MAE</th><th>95 %</th><th>RMSE</th><th>within 0.05</th><th>sign</th>
{% for name in baselines %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr><td>{{ row.name }}</td><td>{{ row.mae }}</td><td>{{ row.interval }}</td>
<td>{{ row.rmse }}</td><td>{{ row.within }}</td><td>{{ row.sign }}</td>
{% for cell in row.baselines %}<td{% if cell.worse %} class="worse"{% endif %}>{{ cell.text }}</td>
{% endfor %}</tr>{% endfor %}</table>
<p class="dim">The columns on the right are the MAE of what needs no picture, no text, or nothing
at all; red where the policy is not below it.</p>
<h2>By axis</h2>
<table><tr><th>policy</th><th>axis</th><th>MAE</th><th>RMSE</th><th>within 0.05</th><th>sign</th>
</tr>
{% for line in axes %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% for kind, lines in groups.items() %}<h2>By {{ kind }}</h2>
<table><tr><th>{{ kind }}</th><th>episodes</th>{% for row in rows %}<th>{{ row.name }}</th>
{% endfor %}{% for name in clocks %}<th>{{ name }}</th>{% endfor %}</tr>
{% for line in lines %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% endfor %}<h2>By step of the chunk</h2><img alt="error by step of the chunk" src="{{ chunks }}">
{% if curves %}<h2>Learning curves</h2><img alt="learning curves" src="{{ curves }}">{% endif %}
</body></html>
"""
_BASELINES = ('text-blind', 'image-blind', 'previous action', 'step-index', 'constant mean',
              'constant median')
_CLOCKS = ('step-index', 'constant mean', 'constant median')


def write_comparison(path: Path, summaries: Mapping[str, Mapping[str, Any]],
                     histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write the page of ``offline`` summaries by policy; ``histories`` give learning curves."""
    first = next(iter(summaries.values()))
    curves = {name: rows for name, rows in histories.items() if rows}
    path.write_text(render(
        _TEMPLATE, title='Policies on recorded drives', episodes=first['episodes'],
        samples=first['samples'], baselines=_BASELINES, clocks=_CLOCKS,
        rows=[_row(name, summary) for name, summary in summaries.items()],
        axes=[[name, axis, *_figures(found)] for name, summary in summaries.items()
              for axis, found in summary['predictors']['policy'].items() if axis != 'joint'],
        groups={kind: _lines(summaries, f'{kind}s')
                for kind in ('scenario', 'language', 'wording')},
        chunks=inline(_chunk_plot(summaries)),
        curves=inline(learning_curves(curves) if curves else None)), 'utf-8')


def _lines(summaries: Mapping[str, Mapping[str, Any]], kind: str) -> list[list[str]]:
    """Return a row a group of episodes; a wording may be refused by some policies only."""
    groups = dict(sorted({name: found for summary in summaries.values()
                          for name, found in summary[kind].items()}.items()))
    return [[name or '(none)', ' / '.join(dict.fromkeys(
        str(summary[kind].get(name, {'episodes': 0})['episodes'])
        for summary in summaries.values())),
        *(_value(summary[kind][name]['policy']) if name in summary[kind] else '–'
          for summary in summaries.values()),
        *(_value(found[clock]) for clock in _CLOCKS)] for name, found in groups.items()]


def _row(name: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    mae = summary['mae']
    own = mae['policy']
    value, rmse, within, sign = _figures(summary['predictors']['policy']['joint'])
    return {
        'name': name, 'mae': value, 'interval': bounds_text(own), 'rmse': rmse, 'within': within,
        'sign': sign,
        'baselines': [{'text': f'{mae[other]["value"]:.4f}',
                       'worse': own['value'] >= mae[other]['value']} for other in _BASELINES]}


def _figures(found: Mapping[str, Any]) -> list[str]:
    """Return MAE, RMSE, share within the tolerance and share of the right sign as text."""
    return [f'{found["mae"]:.4f}', f'{found["rmse"]:.4f}', f'{found["within"]:.3f}',
            '–' if found['sign'] is None else f'{found["sign"]:.3f}']


def _value(interval: Mapping[str, Any]) -> str:
    bounds = bounds_text(interval)
    return f'{interval["value"]:.4f}' + (f' ({bounds})' if bounds else '')


def _chunk_plot(summaries: Mapping[str, Mapping[str, Any]]) -> bytes:
    figure = Figure(figsize=(7, 3.2), layout='constrained')
    axes = figure.subplots()
    for number, (name, summary) in enumerate(summaries.items()):
        axes.plot(summary['chunk_mae'], 'o-', markersize=3, color=f'C{number}', label=name)
        axes.plot(summary['hold_mae'], ':', color=f'C{number}')
    axes.set(xlabel='step of the chunk (dotted: the last action held)', ylabel='MAE',
             ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    return to_png(figure, 110)
