"""The page of a suite: how policies fare in each row, beside each other, and how they fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vla_nav.evaluation.closed_loop import Settings
from vla_nav.evaluation.folder import draw_failures
from vla_nav.evaluation.html import FIGURES, HEAD, inline, render
from vla_nav.evaluation.page import FAILURES
from vla_nav.evaluation.png import to_png
from vla_nav.evaluation.suite import Suite
from vla_nav.evaluation.suite_summary import Records

_TEMPLATE = HEAD + FIGURES + """
  td { white-space: nowrap } td:first-child, td:last-child { white-space: normal }
  .card { background: #fff; border: 1px solid #dde4e8; padding: 10px; margin: 12px 0 }
</style></head><body>
<h1>{{ title }}</h1>
<p class="dim">Suite {{ suite.name }} {{ suite.version }} ({{ suite.digest }}), scenarios
{{ scenario_version }}, {{ episodes }} episodes a row from seed {{ suite.first_seed }} on. Shares
in percent, with intervals of 95&nbsp;%.</p>
<table><tr><th>policy</th><th>success over all rows</th><th>interval, by scene</th></tr>
{% for line in overall %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<img alt="success by row" src="{{ rates }}">
<h2>Rows</h2>
<table><tr><th>row</th><th>policy</th><th>success</th><th>interval</th><th>lost</th>
<th>interval</th><th>collisions</th><th>side</th><th>object</th><th>SPL</th></tr>
{% for line in rows %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<p class="dim">Lost: success in the plain scenes minus success in the same scenes of this row.</p>
{% for comparison in comparisons %}
<h2>{{ comparison.title }}</h2>
<p>Over all rows {{ comparison.overall }}.</p>
<img alt="differences by row" src="{{ comparison.plot }}">
<table><tr><th>row</th><th>difference</th><th>interval</th><th>only this one</th>
<th>only the first</th><th>McNemar p</th><th>all rows together</th></tr>
{% for line in comparison.lines %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endfor %}
<h2>Failures</h2>
<table><tr><th>policy</th><th>reason</th><th>episodes</th><th>rows</th></tr>
{% for line in reasons %}<tr>{% for cell in line %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>""" + FAILURES + """
</body></html>
"""


def write_page(path: Path, suite: Suite, summary: Mapping[str, Any], records: Records,
               pictures: int) -> None:
    """Write the page; ``pictures`` failures are driven again to draw and film them."""
    policies = summary['policies']
    path.write_text(render(
        _TEMPLATE, title=f'{", ".join(policies)}: closed loop', suite=suite,
        scenario_version=summary['scenario_version'],
        episodes=len(next(iter(next(iter(records.values())).values()))),
        overall=[[name, _percent(found['success']['value']), _bounds(found['success'])]
                 for name, found in policies.items()],
        rates=inline(_rates(summary)),
        rows=[_line('' if number else title, name, found['rows'][row])
              for row, title in summary['rows'].items()
              for number, (name, found) in enumerate(policies.items())],
        comparisons=[_comparison(summary, other) for other in summary['paired']],
        reasons=_reasons(policies),
        failures=_cards(suite, records, pictures)), 'utf-8')


def _line(title: str, policy: str, row: Mapping[str, Any]) -> list[str]:
    lost = row.get('lost')
    return [title, policy, _percent(row['success_rate']), _range(row['ci95']),
            _percent(lost['difference']) if lost else '', _range(lost['ci95']) if lost else '',
            *(_percent(row[key]) for key in ('collision_rate', 'side_accuracy', 'goal_accuracy')),
            f'{row["spl"]:.3f}']


def _comparison(summary: Mapping[str, Any], other: str) -> dict[str, Any]:
    first, found = next(iter(summary['policies'])), summary['paired'][other]
    whole = found['success']
    return {
        'title': f'{other} minus {first}', 'plot': inline(_differences(summary, other)),
        'overall': f'{_percent(whole["value"], "+")} ({_bounds(whole, "+")})',
        'lines': [[summary['rows'][name], _percent(row['difference'], '+'),
                   _range(row['ci95'], '+'), row['only_first'], row['only_second'],
                   f'{row["p"]:.3g}', f'{row["p_holm"]:.3g}']
                  for name, row in found['rows'].items()]}


def _reasons(policies: Mapping[str, Any]) -> list[list[Any]]:
    lines = []
    for name, found in policies.items():
        met: dict[str, dict[str, int]] = {}
        for row, figures in found['rows'].items():
            for reason, count in figures['failures'].items():
                met.setdefault(reason, {})[row] = count
        lines += [[name, reason, sum(rows.values()),
                   ', '.join(f'{row} {count}' for row, count in rows.items())]
                  for reason, rows in met.items()]
    return lines


def _cards(suite: Suite, records: Records, limit: int) -> list[dict[str, Any]]:
    """Return failures to look at: one of each row and policy first, where most fail."""
    worst = sorted(
        ((sum(not one.success for one in found), policy, row)
         for policy, rows in records.items() for row, found in rows.items()), reverse=True)
    failed = [(policy, row) for count, policy, row in worst if count]
    cards = []
    for place, (policy, row) in enumerate(failed[:limit]):
        # The rows that fail most often also take what is left over.
        share = limit // len(failed) + (place < limit % len(failed))
        settings: Settings = suite.settings(suite.row(row), policy)
        cards += [drawn.card(f'{policy}, {row},')
                  for drawn in draw_failures(settings, records[policy][row], share)]
    return cards


def _rates(summary: Mapping[str, Any]) -> bytes:
    """Draw the success of each policy in each row with Wilson's interval."""
    lines = {name: [(row['success_rate'], *row['ci95']) for row in found['rows'].values()]
             for name, found in summary['policies'].items()}
    return _plot(list(summary['rows'].values()), lines, 'success', (-0.02, 1.02))


def _differences(summary: Mapping[str, Any], other: str) -> bytes:
    """Draw a policy minus the first one in each row with Bonett and Price's interval."""
    found = summary['paired'][other]['rows']
    lines = {other: [(row['difference'], *row['ci95']) for row in found.values()]}
    return _plot(list(summary['rows'].values()), lines, 'difference in success', None)


def _plot(titles: Sequence[str], lines: Mapping[str, Sequence[tuple[float, float, float]]],
          label: str, limits: tuple[float, float] | None) -> bytes:
    figure = Figure(figsize=(8.6, 1.1 + (0.2 + 0.14 * len(lines)) * len(titles)),
                    layout='constrained')
    axes = figure.subplots()
    places = np.arange(len(titles))
    for number, (name, values) in enumerate(lines.items()):
        value, low, high = np.array(values).T
        # Rounding may leave a share a hair outside of its interval.
        axes.errorbar(value, places + (number - (len(lines) - 1) / 2) * 0.8 / len(lines),
                      xerr=np.maximum(0, [value - low, high - value]), fmt='o', markersize=4,
                      capsize=2, elinewidth=1, label=name)
    axes.set_yticks(places, titles, fontsize=8)
    axes.set_xlabel(label)
    if limits:
        axes.set_xlim(*limits)
    else:
        axes.axvline(0, color='#24323d', linewidth=0.8)
    axes.set_ylim(len(titles) - 0.5, -0.5)
    axes.grid(axis='x', alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    if len(lines) > 1:
        figure.legend(loc='outside upper center', ncols=min(3, len(lines)), fontsize=8)
    return to_png(figure, 110)


def _percent(share: float, sign: str = '') -> str:
    return f'{100 * share:{sign}.1f}'


def _range(bounds: Sequence[float], sign: str = '') -> str:
    low, high = bounds
    return f'{100 * low:{sign}.1f} to {100 * high:{sign}.1f}'


def _bounds(interval: Mapping[str, Any], sign: str = '') -> str:
    low, high = interval['low'], interval['high']
    return '' if low is None else _range((low, high), sign)
