"""The report's rows as text, for terminal and page alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from vla_nav.fieldtest.take import UNREADABLE

COLUMNS = ('take', 'kind', 'result', 'scenario', 'driven m', 's', 'peak m/s', 'guard stops',
           'by hand', 'to cmd_vel p50 / p99 ms', 'pictures Hz', 'longest silence s')
_NONE = '–'


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one take's cells, in the order of ``COLUMNS``."""
    head = row['take'], row['kind'], row['result'], row['scenario'] or _NONE
    if row['kind'] == UNREADABLE:
        return *head, *(_NONE for _ in COLUMNS[len(head):])
    driven, pictures = row['driven'], row['topics'].get('pictures', {})
    latency = row['latency_ms'].get('picture to cmd_vel')
    metres = driven['commanded_m'] if driven['m'] is None else driven['m']
    return (*head, _number(metres, 1), _number(driven['seconds'], 1),
            _number(driven['peak_m_s'], 2), _stops(row['stops']), _stops(row['by_hand']),
            f'{latency["p50"]:.0f} / {latency["p99"]:.0f}' if latency else _NONE,
            _number(pictures.get('rate_hz'), 1), _number(pictures.get('longest_silence_s'), 2))


def intervals(success: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the lines of the table of successes: name, share, interval, n."""
    groups = [('all', success['all']),
              ('all, help being a failure', success['without a person stepping in']),
              *((f'scenario {name}', one) for name, one in success['by_scenario'].items()),
              *((f'“{name}”', one) for name, one in success['by_instruction'].items())]
    return [(name, _number(one['rate'], 3), f'{one["ci95"][0]:.3f} to {one["ci95"][1]:.3f}',
             str(one['n'])) for name, one in groups]


def shown_counts(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return what became of all takes, the sum first."""
    return [('takes', counts['takes']),
            *sorted((key, value) for key, value in counts.items()
                    if key not in ('takes', 'discarded')),
            ('discarded, not kept', counts['discarded'])]


def _stops(stops: list[dict[str, Any]]) -> str:
    reasons = Counter(stop['reason'] for stop in stops)
    seconds = sum(stop['seconds'] for stop in stops)
    return ', '.join(f'{count} x {reason}' for reason, count in reasons.most_common()) + (
        f' ({seconds:.1f} s)' if stops else _NONE)


def _number(value: float | None, digits: int) -> str:
    return _NONE if value is None else f'{value:.{digits}f}'
