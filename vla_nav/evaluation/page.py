"""The evaluation page: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_nav.evaluation.drawing import rate_bars
from vla_nav.evaluation.html import HEAD, inline, render
from vla_nav.evaluation.records import EpisodeRecord

# Takes ``failures``: the card of each :class:`FailurePictures`.
FAILURES = """
{% for failure in failures %}<div class="card">
<b>{{ failure.where }}</b> · {{ failure.record.cell }} · {{ failure.record.reason }}
<br>“{{ failure.record.instruction }}”<br>
<img alt="top view" src="{{ failure.top }}">
<video controls muted width="384" src="{{ failure.video }}"></video><br>
<img alt="camera" src="{{ failure.film }}"></div>
{% endfor %}"""
TEMPLATE = HEAD + """
  .tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px }
  .tile, .card { background: #fff; border: 1px solid #dde4e8; border-radius: 8px; padding: 10px }
  .tile b { display: block; font-size: 1.45rem } .tile small { color: #5d6d78 }
  .card { margin: 12px 0 } img { max-width: 100%; vertical-align: top }
  table { border-collapse: collapse } td { padding: 1px 14px 1px 0 } .dim { color: #5d6d78 }
</style></head><body>
<h1>{{ title }}</h1>
<p class="dim">{{ subtitle }}</p>
<div class="tiles">
{% for tile in tiles %}<div class="tile">{{ tile.label }}<b>{{ tile.value }}</b>
<small>{{ tile.note }}</small></div>
{% endfor %}</div>
<h2>Where it succeeds</h2>
{% for plot in plots %}<div class="card"><img alt="" src="{{ plot }}"></div>
{% endfor %}
<h2>Failures</h2>
{% if not reasons %}<p>None.</p>{% endif %}
<table>{% for reason, count in reasons %}<tr><td>{{ reason }}</td><td>{{ count }}</td></tr>
{% endfor %}</table>
""" + FAILURES + """
<h2>Settings</h2>
<table>{% for key, value in settings %}<tr><td>{{ key }}</td><td>{{ value }}</td></tr>
{% endfor %}</table>
</body></html>
"""


@dataclass(frozen=True)
class FailurePictures:
    """One failed episode, driven again: PNGs of the top view and of the camera, and a video."""

    record: EpisodeRecord
    top: bytes
    film: bytes
    video: bytes

    def card(self, where: str = '') -> dict[str, Any]:
        """Return what a page shows of it."""
        return {'where': f'{where} seed {self.record.seed}'.strip(), 'record': self.record,
                'top': inline(self.top), 'film': inline(self.film),
                'video': inline(self.video, 'video/mp4')}


def write_page(path: Path, summary: Mapping[str, Any],
               failures: Sequence[FailurePictures]) -> None:
    """Write the page of a ``summary.json`` to ``path``."""
    groups = [('families', 'By family'), ('cells', 'By cell'), ('languages', 'By language'),
              ('distractor', "By distractor of the goal's kind or colour")]
    settings = summary['settings']
    html = render(
        TEMPLATE, title=f'{settings["policy"]}: closed loop',
        subtitle=f'{summary["episodes"]} episodes, scenarios {summary["scenario_version"]}',
        tiles=_tiles(summary),
        plots=[inline(rate_bars(summary[key], title)) for key, title in groups
               if len(summary[key]) > 1],
        reasons=list(summary['failures'].items()),
        failures=[failure.card() for failure in failures],
        settings=list(settings.items()))
    path.write_text(html, encoding='utf-8')


def _tiles(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    def percent(key: str, label: str, bounds: Sequence[float]) -> dict[str, str]:
        return {'label': label, 'value': f'{100 * summary[key]:.1f} %',
                'note': f'{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}'}
    intervals = summary['intervals']
    time_s = summary['time_to_goal_s']
    return [
        percent('success_rate', 'success', summary['ci95']),
        percent('oracle_success_rate', 'oracle success', intervals['oracle_success_rate']),
        percent('collision_rate', 'collisions', intervals['collision_rate']),
        percent('side_accuracy', 'side', intervals['side_accuracy']),
        percent('goal_accuracy', 'goal object', intervals['goal_accuracy']),
        {'label': 'SPL', 'value': f'{summary["spl"]:.3f}', 'note': 'success by path length'},
        {'label': 'time to goal', 'value': '–' if time_s is None else f'{time_s:.1f} s',
         'note': 'mean of successes'},
        {'label': 'jerk', 'value': f'{summary["jerk"]["linear_x"]:.2f} m/s³', 'note': 'RMS ahead'},
    ]
