"""The rows of what must be shown, as plain values and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from vla_nav.evaluation.must import MEASUREMENTS, SECTIONS
from vla_nav.evaluation.table import FOLDER, Row, Taken

_HEAD = ['| | must | aim | measured | 95 % interval | n | met | command |', '|---' * 8 + '|']


def rows(taken: Taken) -> list[dict[str, Any]]:
    """Return the rows that were measured, as plain values."""
    done = []
    for section in SECTIONS:
        for row in section.rows:
            if all(key in taken for key in row.sources):
                found = row.figure(taken)
                done.append({'section': section.title, 'title': row.title, 'must': row.must,
                             'at_most': row.at_most, 'aim': row.aim, 'met': row.met(found),
                             **asdict(found)})
    return done


def markdown(taken: Taken, made: Mapping[str, str], policy: str, quick: bool,
             folder: str = FOLDER) -> str:
    """Return a table a section; a row whose measurement is missing says so.

    ``made`` says with which commit and when a measurement was made, where that is known.
    """
    lines = {m.key: m.line(policy, quick, folder) for m in MEASUREMENTS if m.key in taken}
    number = {key: n for n, key in enumerate(lines, 1)}
    out: list[str] = []
    for section in SECTIONS:
        out += [f'## {section.title}', '', *_HEAD, *(_line(row, taken, number)
                                                     for row in section.rows), '']
    out += ['## Commands', '']
    out += [f'{number[key]}. `{line}`' + (f' ({made[key]})' if key in made else '')
            for key, line in lines.items()]
    return '\n'.join([*out, ''])


def _line(row: Row, taken: Taken, number: dict[str, int]) -> str:
    sign, aim = '≤' if row.at_most else '≥', '–' if row.aim is None else f'{row.aim:g}'
    start = f'| {row.title} | {sign} {row.must:g} | {aim} | '
    if any(key not in taken for key in row.sources):
        return start + 'not measured | | | | |'
    found = row.figure(taken)
    interval = '' if found.low is None else f'{found.low:.3f} to {found.high:.3f}'
    commands = ', '.join(str(number[key]) for key in row.sources)
    return start + (f'{found.value:.3f} | {interval} | {found.n} '
                    f'| {"yes" if row.met(found) else "**no**"} | {commands} |')
