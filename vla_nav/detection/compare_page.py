"""The comparison for people: the same tables as Markdown and as one HTML file, with plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vla_nav.detection.compare_choice import CPU, time_ms
from vla_nav.evaluation.html import FIGURES, HEAD, inline, render
from vla_nav.evaluation.markdown import table_lines
from vla_nav.evaluation.png import to_png

PLOTS = {'accuracy.png': 'mAP50 of each model and graph',
         'trade_off.png': 'mAP50 against time'}
_TITLE = 'Detectors compared'
_NONE = '–'
_TEMPLATE = HEAD + FIGURES + """
  td { white-space: nowrap } .scroll { overflow-x: auto }
</style></head><body>
<h1>{{ title }}</h1>
{% for line in intro %}<p class="dim">{{ line }}</p>{% endfor %}
{% for section in sections %}<h2>{{ section.title }}</h2>
<div class="scroll"><table>
<tr>{% for name in section.columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in section.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% for line in section.notes %}<p class="dim">{{ line }}</p>{% endfor %}
{% if section.plot %}<img alt="{{ section.plot }}" src="{{ plots[section.plot] }}">{% endif %}
{% endfor %}</body></html>
"""


@dataclass(frozen=True)
class Section:
    """A table with a heading, what is to be said of it, and the plot below it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    plot: str = ''


def write_pages(out: Path, summary: Mapping[str, Any]) -> None:
    """Write ``compare.md``, ``index.html`` and the plots."""
    plots = {'accuracy.png': _accuracy_plot(summary), 'trade_off.png': _trade_off_plot(summary)}
    for name, content in plots.items():
        (out / name).write_bytes(content)
    intro, sections = _intro(summary), _sections(summary)
    lines = [f'# {_TITLE}', '', *(part for line in intro for part in (line, ''))]
    for section in sections:
        lines += [f'## {section.title}', '', *table_lines(section.columns, section.rows), '',
                  *(part for note in section.notes for part in (note, ''))]
        if section.plot:
            lines += [f'![{PLOTS[section.plot]}]({section.plot})', '']
    (out / 'compare.md').write_text('\n'.join(lines).rstrip() + '\n', 'utf-8')
    (out / 'index.html').write_text(render(
        _TEMPLATE, title=_TITLE, intro=intro, sections=sections,
        plots={name: inline(content) for name, content in plots.items()}), 'utf-8')


def _intro(summary: Mapping[str, Any]) -> list[str]:
    machine = summary['machine']
    return [f'{summary["pictures"]} pictures of the split {summary["split"]} of '
            f'{summary["data"]}; latency on {summary["threads"]} threads of '
            f'{machine["processor"]}, {summary["rounds"]} rounds in which the models take turns. '
            'Boxes come from the detector that a robot runs. Intervals of 95 % draw the pictures '
            '200 times.']


def _sections(summary: Mapping[str, Any]) -> list[Section]:
    models: Mapping[str, Mapping[str, Any]] = summary['models']
    sections = [_recommended(summary), _accuracy(models), _by_class(summary), _sizes(summary)]
    if summary['groups']:
        sections.insert(3, _by_group(summary))
    if summary['targets']:
        sections += [_npu(summary), _fallbacks(summary)]
    return [section for section in sections if section.rows]


def _recommended(summary: Mapping[str, Any]) -> Section:
    rows = [[target, *(_choice(summary['models'], choice[kind], target)
                       for kind in ('safest', 'balanced', 'fastest'))]
            for target, choice in summary['recommendations'].items()]
    # A paragraph each, without marks: the rule reads the same on both pages.
    rule = [' '.join(part.replace('**', '').split())
            for part in summary['rule'].replace('\n- ', '\n\n- ').split('\n\n')]
    return Section('Recommendation', ('target', 'safest', 'balanced', 'fastest'), rows,
                   rule, 'trade_off.png')


def _choice(models: Mapping[str, Mapping[str, Any]], name: str | None, target: str) -> str:
    if name is None:
        return 'none'
    figures = _deployed(models[name])
    return (f'{name} ({_percent(figures["map50"])} %, recall {_percent(figures["recall"])} %, '
            f'{_number(time_ms(models[name], target))} ms)')


def _accuracy(models: Mapping[str, Mapping[str, Any]]) -> Section:
    rows = []
    for name, model in models.items():
        change = model['change']
        for precision, found in model['accuracy'].items():
            int8 = change if precision == 'int8' else None
            rows.append([
                name, precision + (' *' if precision == model['deployed'] else ''),
                _percent(found['map50']), _span(found['interval']), _percent(found['map50_95']),
                _percent(found['precision']), _percent(found['recall']),
                f'{100 * int8["map50"]:+.2f} ({_span(int8["interval"], "+.2f")})' if int8
                else ''])
    return Section('Accuracy', ('model', 'graph', 'mAP50 %', '95 %', 'mAP50-95 %', 'precision %',
                                'recall %', 'mAP50, int8 − fp32'), rows,
                   ['Precision and recall are at IoU 0.5 and the score that the detector drives '
                    'with. * deployed: the graph that config.json names.'], 'accuracy.png')


def _by_class(summary: Mapping[str, Any]) -> Section:
    models = summary['models']
    rows = []
    for name in summary['classes']:
        cells = [_deployed(model)['classes'][name] for model in models.values()]
        rows.append([name, str(cells[0]['instances']), *(
            ' / '.join(_percent(cell[key]) for key in ('ap50', 'precision', 'recall'))
            for cell in cells)])
    return Section('By class', ('class', 'instances', *models), rows,
                   ['AP50 / precision / recall in %, of the deployed graph.'])


def _by_group(summary: Mapping[str, Any]) -> Section:
    models = summary['models']
    rows = [[group, str(count), *(
        ' / '.join(_percent(_deployed(model)['groups'][group][key]) for key in ('map50', 'recall'))
        for model in models.values())] for group, count in summary['groups'].items()]
    return Section('By scenes and camera', ('pictures of', 'pictures', *models), rows,
                   ['mAP50 / recall in %, of the deployed graph. Layouts and appearance are held '
                    'out: training never showed them.'])


def _sizes(summary: Mapping[str, Any]) -> Section:
    rows = []
    for name, model in summary['models'].items():
        latency = model['latency_ms']
        rows.append([
            name, model['level'], model['activation'], f'{model["parameters"] / 1e6:.2f}',
            f'{model["gflops"]:.2f} at {model["image_size"]}',
            *(_NONE if size is None else f'{size / 1e6:.2f}' for size in model['bytes'].values()),
            *(_number(latency.get(precision, {}).get(kind, {}).get('p50'))
              for precision, kind in (('fp32', 'network'), ('int8', 'network'),
                                      ('fp32', 'frame'), ('int8', 'frame')))])
    return Section('Size and time on this CPU', (
        'model', 'level', 'activation', 'parameters, M', 'GFLOPs', 'fp32, MB', 'fp16, MB',
        'int8, MB', 'network fp32, ms', 'network int8, ms', 'frame fp32, ms', 'frame int8, ms'),
        rows, [f'Medians. A frame is from a {summary["frame"]} to boxes.'])


def _npu(summary: Mapping[str, Any]) -> Section:
    rows = []
    for target in summary['targets']:
        for name, model in summary['models'].items():
            found = model['npu'][target]
            rows.append([target, name, *([
                f'{_share(found, "operators")} ({found["operators_on_npu"]} of '
                f'{found["operators"]})', _share(found, 'macs'),
                _number(found['estimated_ms']), _number(found['sram_kib'], 0),
                '{name} {version}'.format(**found['tool'])] if found else [_NONE] * 5)])
    return Section('NPUs', ('target', 'model', 'operators %', 'MACs %', 'estimated ms',
                            'SRAM, KiB', 'by'), rows, [
        'Estimates by a compiler or by published rules, not measured on a chip.',
        *(f'{name}: {text}.' for name, text in summary['targets'].items()),
        f'{_NONE}: not compiled; run `vla-nav detector compile` for that model and target.'])


def _fallbacks(summary: Mapping[str, Any]) -> Section:
    rows = [[target, name, reason] for target in summary['targets']
            for name, model in summary['models'].items()
            for reason in (model['npu'][target] or {'reasons': ()})['reasons']]
    return Section('What is left to the CPU, and why', ('target', 'model', 'reason'), rows)


def _accuracy_plot(summary: Mapping[str, Any]) -> bytes:
    models = summary['models']
    figure = Figure(figsize=(8.6, 1.4 + 0.42 * len(models)), layout='constrained')
    axes = figure.subplots()
    for shift, precision in ((-0.2, 'fp32'), (0.0, 'fp16'), (0.2, 'int8')):
        rows = [(place, model['accuracy'][precision]) for place, model in
                enumerate(models.values()) if precision in model['accuracy']]
        if rows:
            value = np.array([found['map50'] or 0.0 for _, found in rows])
            low, high = np.array([found['interval'] for _, found in rows]).T
            axes.errorbar(value, [place + shift for place, _ in rows],
                          xerr=np.maximum(0, [value - low, high - value]), fmt='o', markersize=4,
                          capsize=2, elinewidth=1, label=precision)
    axes.set_yticks(range(len(models)), models, fontsize=8)
    axes.set_xlabel('mAP50, 95 % interval')
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.grid(axis='x', alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside upper center', ncols=3, fontsize=8)
    return to_png(figure, 110)


def _trade_off_plot(summary: Mapping[str, Any]) -> bytes:
    models = summary['models']
    timed = [target for target in (*summary['targets'], CPU)
             if any(time_ms(model, target) is not None for model in models.values())]
    figure = Figure(figsize=(4.6 * min(2, len(timed) or 1), 3.4 * -(-len(timed) // 2) or 3.4),
                    layout='constrained')
    grid = figure.subplots(-(-len(timed) // 2) or 1, min(2, len(timed) or 1), squeeze=False)
    for axes, target in zip(grid.flat, timed):
        for number, (name, model) in enumerate(models.items()):
            time = time_ms(model, target)
            if time is not None:
                axes.plot(time, _deployed(model)['map50'] or 0.0, color=f'C{number % 10}',
                          marker='o' if number < 10 else 's', linestyle='none', label=name)
        axes.set(xlabel='network on this CPU, ms' if target == CPU else
                 f'{target}, estimated ms', ylabel='mAP50')
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    for axes in grid.flat[len(timed):]:
        axes.set_visible(False)
    if timed:
        # The CPU's panel, the last one, holds all models.
        figure.legend(*grid.flat[len(timed) - 1].get_legend_handles_labels(),
                      loc='outside lower center', ncols=4, fontsize=7)
    return to_png(figure, 110)


def _deployed(model: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = model['accuracy'][model['deployed']]
    return found


def _percent(share: float | None) -> str:
    return _NONE if share is None else f'{100 * share:.1f}'


def _share(found: Mapping[str, Any], what: str) -> str:
    return _percent(found[f'{what}_on_npu'] / found[what]) if found[what] else _NONE


def _span(bounds: Sequence[float], form: str = '.1f') -> str:
    low, high = bounds
    return f'{100 * low:{form}} to {100 * high:{form}}'


def _number(value: float | None, digits: int = 2) -> str:
    return _NONE if value is None else f'{value:.{digits}f}'
