"""The page of the trials straight at a box: figures, stop distances, the worst cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from vla_nav.control.reckoning import out_of
from vla_nav.evaluation.drawing import DRIVEN, INK, draw_block
from vla_nav.evaluation.guard_trials import (
    Approach,
    Film,
    TrialSettings,
    drive_one,
    summarise,
    worst,
)
from vla_nav.evaluation.html import FIGURES, HEAD, inline, render
from vla_nav.evaluation.png import to_png
from vla_nav.monitoring.boxes import Box
from vla_nav.monitoring.overlay import overlay
from vla_nav.simulation.layout import ROBOT_RADIUS_M

_PAGE = HEAD + FIGURES + """
  figure { display: inline-block; margin: .5rem 1rem .5rem 0; max-width: 500px }
  figcaption { font-size: .85rem; color: #5d6d78 }
</style></head><body>
<h1>{{ title }}</h1>
<p>{{ s.collisions }} collisions in {{ s.episodes }} episodes (95 %:
{{ '%.3f' | format(s.ci95[0]) }} to {{ '%.3f' | format(s.ci95[1]) }}); {{ s.stopped }} came to
rest.{% if s.least_gap_m is not none %} Left between robot and box: median {{ s.gap_m.p50 }} m,
5 % {{ s.gap_m.p5 }} m, 95 % {{ s.gap_m.p95 }} m, least {{ s.least_gap_m }} m.{% endif %}</p>
<p class="dim">Detector {{ s.settings.detector }}, in the way of the robot's
{{ s.settings.aim }}, ten pictures a second of which
{{ '%.0f' | format(100 * s.settings.dropped) }} % are lost, seeds from
{{ s.settings.first_seed }}.</p>
<img src="{{ plot }}" alt="stop distances">
<h2>The worst</h2>
{% for one in pictures %}<figure><img src="{{ one.image }}" alt="">
<figcaption>{{ one.caption }}</figcaption></figure>{% endfor %}
</body></html>
"""


def write(out: Path, settings: TrialSettings, done: Sequence[Approach],
          pictures: int = 6) -> dict[str, Any]:
    """Write summary.json, trials.jsonl and index.html; return the summary."""
    out.mkdir(parents=True, exist_ok=True)
    summary = summarise(settings, done)
    (out / 'trials.jsonl').write_text(
        ''.join(json.dumps(asdict(one)) + '\n' for one in done), 'utf-8')
    shown = [{'image': inline(_case(settings, one)),
              'caption': f'seed {one.seed}: {"touched it" if one.collision else one.reason}, '
                         f'{one.gap_m:.3f} m left, at {one.speed:.2f} m/s'}
             for one in worst(done, pictures)]
    (out / 'index.html').write_text(render(
        _PAGE, title='Straight at a box', s=summary, plot=inline(plot(done)), pictures=shown),
        'utf-8')
    # Last, since a folder with a summary counts as complete.
    (out / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n', 'utf-8')
    return summary


def plot(done: Sequence[Approach]) -> bytes:
    """Draw what was left between robot and box, over the speed and as a histogram; PNG."""
    figure = Figure(figsize=(9, 3.4), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    for hit, colour, name in ((False, DRIVEN, 'stopped'), (True, '#d55e00', 'touched')):
        mine = [one for one in done if one.collision == hit]
        left.scatter([one.speed for one in mine], [one.gap_m for one in mine], s=14, color=colour,
                     label=f'{name} ({len(mine)})', alpha=0.8)
    left.set(xlabel='speed, m/s', ylabel='left between robot and box, m')
    left.axhline(0.0, color=INK, lw=0.8)
    left.legend(fontsize=8)
    right.hist([one.gap_m for one in done], bins=24, orientation='horizontal', color='#9ecae1',
               edgecolor=INK, linewidth=0.4)
    right.set(xlabel='episodes')
    for axes in (left, right):
        axes.spines[['top', 'right']].set_visible(False)
    return to_png(figure, 110)


def _case(settings: TrialSettings, one: Approach) -> bytes:
    film = Film()
    drive_one(settings, one.index, film)
    assert film.scenario is not None
    figure = Figure(figsize=(6.4, 2.8), layout='constrained')
    above, seen = figure.subplots(1, 2)
    draw_block(above, film.scenario.blocks[0])
    way = np.array(film.poses)
    above.plot(way[:, 0], way[:, 1], color=DRIVEN)
    above.add_patch(Circle(tuple(way[-1, :2]), ROBOT_RADIUS_M, fc=DRIVEN, alpha=0.3))
    if film.sighting is not None and film.sighting.obstacles is not None:
        points = out_of(film.sighting.obstacles, film.seen_from)
        above.plot(points[:, 0], points[:, 1], '.', color='#d55e00', ms=4)
    above.set_aspect('equal')
    above.tick_params(labelsize=7)
    if film.picture is not None and film.sighting is not None:
        seen.imshow(_with_boxes(film.picture, film.sighting))
    seen.axis('off')
    return to_png(figure, 90)


def _with_boxes(picture: NDArray[np.uint8], sighting: Any) -> NDArray[np.uint8]:
    found = sighting.detections
    large = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    boxes = [Box(left, top, right, bottom, f'{score:.2f}') for (left, top, right, bottom), score
             in zip((2 * found.boxes).tolist(), found.scores.tolist())]
    return overlay(np.asarray(large, np.uint8), (), boxes, '')


def rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures as lines for a terminal."""
    low, high = summary['ci95']
    gaps = summary['gap_m']
    return [('collisions', f'{summary["collisions"]} of {summary["episodes"]}, 95 %: {low:.3f} '
             f'to {high:.3f}'), ('came to rest', str(summary['stopped'])),
            ('left, m', f'median {gaps["p50"]}, 5 % {gaps["p5"]}, 95 % {gaps["p95"]}, least '
             f'{summary["least_gap_m"]}')]
