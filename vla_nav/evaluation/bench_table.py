"""The figures of ``vla-nav bench policy`` as rows: for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla_nav.evaluation.markdown import table_lines

COLUMNS = ('policy · runtime', 'on', 'decode p50', 'network p50', 'p95', 'p99', 'encode p50',
           'head p50', 'total p50', 'p99', '× floor', 'eager ÷', 'steps/s, all cores', 'start, s',
           'peak, MB')


def cells(label: str, row: Mapping[str, Any]) -> list[str]:
    """Return one row of the table."""
    decode, network, total = (row[f'{stage}_ms'] for stage in ('decode', 'network', 'total'))
    faster, floor = row['faster_than_eager'], row['times_floor']
    return [label, row['provider'] + (' (fallen back)' if row['fallback'] else ''),
            f'{decode["p50"]:.2f}', *(f'{network[key]:.2f}' for key in ('p50', 'p95', 'p99')),
            *('–' if row[key] is None else f'{row[key]["p50"]:.2f}'
              for key in ('encode_ms', 'head_ms')),
            f'{total["p50"]:.2f}', f'{total["p99"]:.2f}',
            '–' if floor is None else f'{floor:.1f}', '–' if faster is None else f'{faster:.2f}',
            f'{row["steps_per_s_all_cores"]:.0f}', f'{row["start_s"]:.2f}',
            f'{row["peak_mb"]:.0f}']


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table of a whole result, with what it was measured on."""
    machine = result['machine']
    versions = ', '.join(f'{name} {version}' for name, version in machine['versions'].items())
    lines = table_lines(COLUMNS, (cells(*subject) for subject in result['subjects'].items()))
    lines += ['', f'{machine["processor"]}, {machine["cores"]} cores, {result["threads"]} '
              f'thread(s) a network; {result["picture"]}; {result["steps"]} steps, ten at a turn '
              f'after {result["warm_up"]}; ms where nothing else is said. Head: what is behind '
              f'the encoder, alone; encode: the rest of the network. {versions}. Floor: '
              f'{machine["bytes_per_s"] / 1e9:.1f} GB/s and '
              f'{machine["operations_per_s"] / 1e9:.0f} GFLOP/s measured.']
    lines += [f'- {label}: not measured: {why}' for label, why in result['not_measured'].items()]
    return '\n'.join(lines) + '\n'
