"""The figures of ``vla-nav bench detector`` in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla_nav.evaluation.markdown import table_lines

_COLUMNS = ('', 'p50, ms', 'p95, ms', 'p99, ms', 'floor, ms')
_BOUNDS = {'network_p50_ms': 'network, p50, ms', 'picture_p50_ms': 'JPEG to boxes, p50, ms',
           'faster_than_ultralytics': 'times as fast as ultralytics predict',
           'peak_mb': 'peak memory, MB'}
_PEERS = {'square': 'ultralytics predict, square input',
          'rectangle': "ultralytics predict, input shortened to the picture's shape"}


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of the table of times."""
    found = []
    for threads, row in result['threads'].items():
        on = f'{threads} thread{"s" if threads != "1" else ""}'
        found.append([f'network, {on}', *_times(row['network_ms']), f'{row["floor_ms"]:.2f}'])
        found.append([f'JPEG to boxes, {on}', *_times(row['picture_ms']), ''])
    most = max(result['threads'])
    found += [[f'{_PEERS[name]}, {most} threads', *_times(times), '']
              for name, times in result['ultralytics_ms'].items()]
    return found


def bounds(result: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of the table of limits."""
    return [[_BOUNDS[name], f'{bound["value"]:.2f}', f'{bound["limit"]:g}',
             'yes' if bound['passed'] else 'NO'] for name, bound in result['bounds'].items()]


def markdown(result: Mapping[str, Any]) -> str:
    """Return the page of a whole result, with what it was measured on."""
    machine, most = result['machine'], max(result['threads'])
    versions = ', '.join(f'{name} {version}' for name, version in machine['versions'].items())
    rate, floor = result['rates'][most], result['threads'][most]
    work = ('operations not counted' if floor['operations'] is None else
            f'{floor["operations"] / 1e9:.2f} GFLOP a picture')
    against = (f' Ultralytics ran {result["against"]} in a process of its own, taking turns with '
               'the detector on the same files.' if result['against'] else '')
    height, width = result['input']
    lines = [f'# {result["name"]} at {result["image_size"]} pixels, input {width}x{height}', '',
             *table_lines(_COLUMNS, rows(result)), '',
             *table_lines(('2 threads', 'measured', 'limit', 'kept'), bounds(result)), '',
             f'{machine["processor"]}, {machine["cores"]} cores; {versions}. {result["graph"]}; '
             f'{result["pictures"]} pictures ({result["picture"]}), {result["boxes"]} boxes in '
             f'the first; {result["steps"]} steps after {result["warm_up"]}.{against}', '',
             f'Floor: {work} at the {rate["operations_per_s"] / 1e9:.0f} GFLOP/s in fp32, '
             f'or the weights at {rate["bytes_per_s"] / 1e9:.1f} GB/s, measured on {most} '
             'threads; eight-bit operations can be below it. '
             f'Start to first boxes: {result["start_s"]:.2f} s.']
    return '\n'.join(lines) + '\n'


def _times(times: Mapping[str, float]) -> list[str]:
    return [f'{times[key]:.2f}' for key in ('p50', 'p95', 'p99')]
