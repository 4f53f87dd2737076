"""The page of many bags: what holds over all, and each bag with the way to its own page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from matplotlib.figure import Figure

from vla_nav.evaluation.bootstrap import bounds_text
from vla_nav.evaluation.html import FIGURES, HEAD, inline, render
from vla_nav.evaluation.png import to_png
from vla_nav.replay.evaluate import PAGE

_TEMPLATE = HEAD + FIGURES + """
</style></head><body>
<h1>{{ title }}</h1>
<p class="dim">{{ subtitle }}</p>
{% if errors %}<h2>Against what was driven</h2>
<p class="dim">The velocity that is due at once, over all axes and pictures; 95&nbsp;% intervals
resample whole bags.</p>
<table><tr><th></th><th>MAE</th><th>95 %</th><th>policy minus this</th><th>95 %</th></tr>
{% for line in errors %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<img alt="mean absolute error by bag" src="{{ plot }}">{% endif %}
<h2>What the guard would have done</h2>
<table><tr><th>reason</th><th>seconds</th><th>stops</th></tr>
{% for line in guard %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Bags</h2>
<table><tr><th>bag, largest error first</th><th>seconds</th><th>pictures</th><th>MAE</th>
<th>stops</th><th>damage</th></tr>
{% for bag in bags %}<tr><td><a href="{{ bag.link }}">{{ bag.name }}</a></td>
{% for cell in bag.cells %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}</table>
{% if failed %}<h2>Bags of which nothing could be read</h2>
<table>{% for name, error in failed %}<tr><td>{{ name }}</td><td>{{ error }}</td></tr>
{% endfor %}</table>{% endif %}
{% if cost %}<h2>What it took</h2>
<table>{% for key, value in cost %}<tr><td>{{ key }}</td><td>{{ value }}</td></tr>{% endfor %}
</table>{% endif %}
</body></html>
"""


def write_page(path: Path, policy: str, summary: Mapping[str, Any],
               summaries: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the page of the pooled ``summary`` and of each bag's own."""
    ranked = sorted(summaries, key=lambda name: -(_mae(summaries[name]) or 0.0))
    errors, guard, said = summary['errors'], summary['guard'], summary['recorded_success']
    success = f'; {said["successes"]} of {said["takes"]} called a success' if said else ''
    path.write_text(render(
        _TEMPLATE, title=f'{policy} on {summary["bags"]} bags',
        subtitle=f'{summary["hours"]:.2f} h, {summary["pictures"].get("evaluated", 0)} pictures '
                 f'evaluated{success}',
        errors=_error_lines(errors) if errors else [],
        plot=inline(_plot(summaries, ranked)) if errors else '',
        guard=[(reason, f'{seconds:.1f}', guard['stops'].get(reason, ''))
               for reason, seconds in guard['seconds'].items()],
        bags=[{'name': name, 'link': f'{quote(name)}/{PAGE}', 'cells': _cells(summaries[name])}
              for name in ranked],
        failed=sorted(summary['failed'].items()),
        cost=[(key.replace('_', ' '), value) for key, value in (summary['cost'] or {}).items()],
    ), 'utf-8')


def _error_lines(errors: Mapping[str, Any]) -> list[list[str]]:
    lines = []
    for name, mae in errors['mae'].items():
        less = errors['policy_minus'].get(name)
        lines.append([name, f'{mae["value"]:.4f}', bounds_text(mae),
                      f'{less["value"]:+.4f}' if less else '', bounds_text(less) if less else ''])
    return lines


def _cells(one: Mapping[str, Any]) -> list[str]:
    mae = _mae(one)
    return [f'{one["seconds"]:.1f}', str(one['pictures']['evaluated']),
            '–' if mae is None else f'{mae:.4f}', str(len(one['guard']['stops']) or ''),
            str(len(one['problems']) or '')]


def _mae(one: Mapping[str, Any]) -> float | None:
    return one['errors']['mae']['policy']['value'] if one['errors'] else None


def _plot(summaries: Mapping[str, Mapping[str, Any]], ranked: list[str]) -> bytes:
    """Draw each bag's error beside that of the two simplest baselines."""
    figure = Figure(figsize=(9, 3.2), layout='constrained')
    axes = figure.add_subplot()
    shown = [summaries[name]['errors']['mae'] for name in ranked if summaries[name]['errors']]
    for name, mark in (('constant mean', '.'), ('previous action', '.'), ('policy', 'o')):
        axes.plot([mae[name]['value'] for mae in shown], mark, label=name, markersize=5)
    axes.set_xlabel('bag')
    axes.set_ylabel('MAE')
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.grid(alpha=0.3)
    return to_png(figure, 100)
