"""The page of a field test: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_nav.evaluation.drawing import rate_bars
from vla_nav.evaluation.html import FIGURES, HEAD, inline, render
from vla_nav.fieldtest.plot import timeline
from vla_nav.fieldtest.rows import COLUMNS, cells, intervals, shown_counts

_TEMPLATE = HEAD + FIGURES + """
  .problems { background: #fff6e5; border: 1px solid #e8c27a;
    border-radius: 8px; padding: 6px 14px } .wide { overflow-x: auto }
  .wide td, .wide th { white-space: nowrap; padding: 3px 8px }
</style></head><body>
<h1>{{ title }}</h1>
<p class="dim">{{ subtitle }}</p>
{% if problems %}<div class="problems"><b>Look at this first</b><ul>
{% for problem in problems %}<li>{{ problem }}</li>{% endfor %}</ul></div>{% endif %}
<h2>Success, as marked by the operator</h2>
<p class="dim">Trials with a mark only, with Wilson 95&nbsp;% intervals; the other takes are
counted below.</p>
<table><tr><th></th><th>success</th><th>95 %</th><th>n</th></tr>
{% for line in success %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% for plot in plots %}<p><img alt="" src="{{ plot }}"></p>{% endfor %}
<table>{% for key, value in counts %}<tr><td>{{ key }}</td><td>{{ value }}</td></tr>{% endfor %}
</table>
<h2>What happened</h2>
<img alt="each take over time" src="{{ timeline }}">
<h2>Stops</h2>
<table><tr><th>reason</th><th>times</th><th>seconds</th></tr>
{% for line in stops %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Real time, over trials and dry runs</h2>
<table><tr><th>ms</th><th>p50</th><th>p95</th><th>p99</th><th>max</th></tr>
{% for line in timing %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<h2>Take by take</h2>
<div class="wide"><table><tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for line in takes %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
</body></html>
"""


def write_page(path: Path, report: Mapping[str, Any]) -> None:
    """Write the page of a report."""
    driven = report['driven']
    scenarios = report['success']['by_scenario']
    # The fonts of plots know few scripts; the table has every name.
    bars = [inline(rate_bars(scenarios, 'By scenario'))] if len(scenarios) > 1 and all(
        map(str.isascii, scenarios)) else []
    path.write_text(render(
        _TEMPLATE, title='Field test', columns=COLUMNS,
        subtitle=f'{", ".join(report["sources"])} · trials drove {driven["m"]:.1f} m by odometry '
                 f'({driven["commanded_m"]:.1f} m by command) in {driven["seconds"]:.0f} s',
        problems=[*report['problems'], *(f'{row["take"]}: {problem}' for row in report['takes']
                                         for problem in row['problems'])],
        success=intervals(report['success']), plots=bars,
        counts=shown_counts(report['counts']), timeline=inline(timeline(report['takes'])),
        stops=[(reason, one['times'], f'{one["seconds"]:.1f}')
               for kind in ('stops', 'by_hand') for reason, one in report[kind].items()],
        timing=[(name, *(f'{figures[key]:.1f}' if figures else '–'
                         for key in ('p50', 'p95', 'p99', 'max')))
                for name, figures in report['latency_ms'].items()],
        takes=[cells(row) for row in report['takes']]), 'utf-8')
