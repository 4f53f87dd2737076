"""The rows of what must be shown, as plain values and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from string import ascii_lowercase
from typing import Any

from vla_nav.evaluation.must import SECTIONS
from vla_nav.evaluation.table import Figure, Row, Taken

_HEAD = ['| | must | aim | measured | 95 % interval | n | met | command |', '|---' * 8 + '|']


@dataclass(frozen=True)
class Source:
    """Where a figure comes from: a command, with which commit and when it ran.

    ``sha256`` identifies what was measured; '' where that is not known.
    """

    command: str
    made: str = ''
    sha256: str = ''

    def repeats(self, other: Source) -> bool:
        """Tell whether this is the same measurement as ``other``, made at another time."""
        return self.command == other.command and (
            self.sha256 == other.sha256 or not (self.sha256 and other.sha256))


def rows(taken: Taken, sources: Mapping[str, Source],
         kept: Iterable[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """Return the rows that were measured, as plain values.

    ``sources`` are those of all measurements by key. Where one is not among ``taken``, its rows
    are found in ``kept``, which this function has returned before, unless what they stand on was
    another command or another bundle.
    """
    before = {row['title']: row for row in kept}
    done = []
    for section in SECTIONS:
        for row in section.rows:
            found = {key: sources[key] for key in row.sources if key in sources}
            if all(key in taken for key in row.sources):
                figure = row.figure(taken)
            elif (known := before.get(row.title)) and _still(row, known, sources):
                figure = Figure(*(known[name] for name in ('value', 'n', 'low', 'high')))
                found = {key: Source(**one) for key, one in known['sources'].items()}
            else:
                continue
            done.append({'section': section.title, 'title': row.title, 'must': row.must,
                         'at_most': row.at_most, 'aim': row.aim, 'met': row.met(figure),
                         'note': row.note, **asdict(figure),
                         'sources': {key: asdict(one) for key, one in found.items()}})
    return done


def _still(row: Row, known: Mapping[str, Any], sources: Mapping[str, Source]) -> bool:
    were = known.get('sources', {})  # pages of before had none
    return all(key in were and key in sources
               and sources[key].repeats(Source(**were[key])) for key in row.sources)


def markdown(found: Iterable[Mapping[str, Any]]) -> str:
    """Return a table a section of what :func:`rows` gave; what was not measured says so."""
    by_title = {row['title']: row for row in found}
    made: dict[str, set[str]] = {}
    for row in by_title.values():
        for one in row['sources'].values():
            made.setdefault(one['command'], set()).add(one['made'])
    number = {command: n for n, command in enumerate(made, 1)}
    out: list[str] = []
    for section in SECTIONS:
        # Notes on figures that are there, each once; letters, since numbers are commands.
        notes = dict.fromkeys(row.note for row in section.rows
                              if row.note and row.title in by_title)
        letters = dict(zip(notes, ascii_lowercase))
        out += [f'## {section.title}', '', *_HEAD,
                *(_line(row, by_title.get(row.title), number, letters) for row in section.rows),
                '', *(f'- <sup>{letter}</sup> {note}' for note, letter in letters.items()),
                *([''] if letters else [])]
    out += ['## Commands', '']
    for command, times in made.items():
        when = ' and '.join(sorted(filter(None, times)))
        out.append(f'{number[command]}. `{command}`' + (f' ({when})' if when else ''))
    return '\n'.join([*out, ''])


def _line(row: Row, found: Mapping[str, Any] | None, number: Mapping[str, int],
          letters: Mapping[str, str]) -> str:
    sign, aim = '≤' if row.at_most else '≥', '–' if row.aim is None else f'{row.aim:g}'
    letter = letters.get(row.note)
    title = row.title + (f' <sup>{letter}</sup>' if letter else '')
    start = f'| {title} | {sign} {row.must:g} | {aim} | '
    if found is None:
        return start + 'not measured | | | | |'
    interval = '' if found['low'] is None else f'{found["low"]:.3f} to {found["high"]:.3f}'
    commands = ', '.join(str(number[found['sources'][key]['command']]) for key in row.sources)
    return start + (f'{found["value"]:.3f} | {interval} | {found["n"]} '
                    f'| {"yes" if found["met"] else "**no**"} | {commands} |')
