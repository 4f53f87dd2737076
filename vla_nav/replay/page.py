"""The page of a bag's evaluation: one self-contained HTML file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla_nav.evaluation.html import FIGURES, HEAD, inline, render

_TEMPLATE = HEAD + FIGURES + """
  .problems { background: #fff6e5; border: 1px solid #e8c27a;
    border-radius: 8px; padding: 6px 14px } .problems li { margin: 4px 0 }
  .moments { display: grid; gap: 12px;
    grid-template-columns: repeat(auto-fill, minmax(480px, 1fr)) }
</style></head><body>
<h1>{{ title }}</h1>
<p class="dim">{{ subtitle }}</p>
{% if problems %}<div class="problems"><b>What is wrong with the recording</b><ul>
{% for problem in problems %}<li>{{ problem }}</li>{% endfor %}</ul></div>{% endif %}
{% if rows %}<h2>Against what was driven</h2>
<p class="dim">The velocity that is due at once against the command that answered the same
picture, over all axes; 95&nbsp;% intervals resample stretches of 10&nbsp;s. Red: not above the
policy. A recording is driven by someone else: no error here leads to another picture.</p>
<table><tr><th></th><th>MAE</th><th>95 %</th><th>RMSE</th><th>within 0.05</th><th>sign</th>
{% for name in axes %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr><td>{{ row.name }}</td>{% for cell in row.cells %}
<td{% if row.worse and loop.first %} class="worse"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<img alt="mean absolute errors" src="{{ bars }}">{% endif %}
{% if over_time %}<h2>Over time</h2><img alt="over time" src="{{ over_time }}">{% endif %}
<h2>What the guard would have done</h2>
<table><tr><th>reason</th><th>seconds</th><th>times</th></tr>
{% for line in guard %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% if seen %}<h2>What the detector saw</h2><p class="dim">{{ looked }}</p>
<table><tr><th>class</th><th>boxes</th><th>pictures</th></tr>
{% for line in seen %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endif %}
{% if moments %}<h2>The worst moments</h2><div class="moments">
{% for one in moments %}<div><b>{{ one.at_s }} s</b> <span class="dim">{{ one.text }}</span><br>
driven {{ one.driven }}, policy {{ one.policy }}<br><img alt="" src="{{ one.picture }}"></div>
{% endfor %}</div>{% endif %}
<h2>Pictures, ages, latency</h2>
<table>{% for key, value in counts %}<tr><td>{{ key }}</td><td>{{ value }}</td></tr>{% endfor %}
</table><p></p><table><tr><th>ms</th><th>p50</th><th>p95</th><th>p99</th><th>max</th></tr>
{% for line in timing %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Settings</h2>
<table>{% for key, value in settings %}<tr><td>{{ key }}</td><td>{{ value }}</td></tr>
{% endfor %}</table>
</body></html>
"""
_SAID = {True: '; the operator called it a success', False: '; the operator called it a failure',
         None: ''}


def write_page(path: Path, summary: Mapping[str, Any], moments: Sequence[Mapping[str, Any]],
               over_time: bytes | None, bars: bytes | None) -> None:
    """Write the page of a summary; ``moments`` are its worst ones with their pictures (PNG)."""
    errors = summary['errors']
    stops = Counter(stop['reason'] for stop in summary['guard']['stops'])
    settings = summary['settings']
    path.write_text(render(
        _TEMPLATE, title=f'{settings["policy"]} on {Path(settings["bag"]).name}',
        subtitle=f'{summary["seconds"]:.1f} s, {summary["pictures"]["evaluated"]} pictures '
                 f'evaluated, instructions: {"; ".join(summary["instructions"]) or "none"}'
                 f'{_SAID[summary["recorded_success"]]}',
        problems=summary['problems'], rows=_rows(errors) if errors else [],
        axes=list(errors['predictors']['policy'])[:-1] if errors else [],
        bars=inline(bars), over_time=inline(over_time),
        guard=[(reason, f'{seconds:.2f}', stops[reason] or '')
               for reason, seconds in summary['guard']['seconds'].items()],
        **_seen(summary.get('detections')),
        moments=[{**one, 'picture': inline(one['picture'])} for one in moments],
        counts=list(summary['pictures'].items()), timing=_timing(summary),
        settings=[(key, value) for key, value in settings.items() if value not in ('', None)],
    ), 'utf-8')


def _seen(detections: Mapping[str, Any] | None) -> dict[str, Any]:
    if detections is None:
        return {'seen': []}
    rows = [(name, one['boxes'], one['pictures']) for name, one in detections['classes'].items()]
    return {'looked': f'{detections["detector"]} looked at {detections["pictures"]} pictures.',
            'seen': rows or [('nothing', '', '')]}


def _rows(errors: Mapping[str, Any]) -> list[dict[str, Any]]:
    own = errors['mae']['policy']['value']
    rows = []
    for name, table in errors['predictors'].items():
        mae, joint = errors['mae'][name], table['joint']
        rows.append({
            'name': name, 'worse': not name.startswith('policy') and mae['value'] <= own,
            'cells': [f'{mae["value"]:.4f}',
                      '' if mae['low'] is None else f'{mae["low"]:.4f} to {mae["high"]:.4f}',
                      f'{joint["rmse"]:.4f}', f'{joint["within"]:.3f}', _share(joint['sign']),
                      *(f'{values["mae"]:.4f}' for axis, values in table.items()
                        if axis != 'joint')]})
    return rows


def _timing(summary: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    stages = {**summary['ages_ms'], **{f'{name}, on this machine': figures
                                       for name, figures in summary['latency_ms'].items()}}
    return [(name, *(figures.get(key, '–') for key in ('p50', 'p95', 'p99', 'max')))
            for name, figures in stages.items()]


def _share(value: float | None) -> str:
    return '–' if value is None else f'{value:.3f}'
