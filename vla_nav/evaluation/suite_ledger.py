"""What a suite's run has driven so far: a line an episode, so that it can go on after a stop."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vla_nav.evaluation.records import EpisodeRecord, record_of
from vla_nav.evaluation.suite import Suite
from vla_nav.simulation.scenario import SCENARIO_VERSION

Key = tuple[str, str, int]  # policy, row, index of the episode


@dataclass(frozen=True)
class Line:
    """An episode of a policy in a row, and the kind of machine that drove it."""

    policy: str
    row: str
    machine: str
    record: EpisodeRecord

    @property
    def key(self) -> Key:
        """Return what tells this episode from all others of the run."""
        return self.policy, self.row, self.record.index


class Ledger:
    """The episodes in a folder's ``episodes.jsonl``; ``suite.json`` says of what they are."""

    def __init__(self, folder: Path, suite: Suite, hashes: Mapping[str, str]) -> None:
        """Go on with what is there; ``hashes`` names each policy's bundle.

        A ValueError says why what is there belongs to something else.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._identity, self._path = folder / 'suite.json', folder / 'episodes.jsonl'
        about = {'suite': suite.name, 'version': suite.version, 'digest': suite.digest,
                 'scenario_version': SCENARIO_VERSION}
        known: dict[str, Any] = {**about, 'policies': {}}
        if self._identity.is_file():
            known = json.loads(self._identity.read_text('utf-8'))
        bundles = {**known['policies'], **hashes}
        if {**known, 'policies': {}} != {**about, 'policies': {}} or any(
                bundles[policy] != sha for policy, sha in known['policies'].items()):
            raise ValueError(f'{folder} holds episodes of another version of the suite, of the '
                             'scenes or of a policy; choose another folder, or remove it')
        _replace(self._identity, json.dumps({**about, 'policies': bundles}, indent=2) + '\n')
        self.lines: dict[Key, Line] = {line.key: line for line in self._read()}

    def add(self, line: Line) -> None:
        """Take an episode and write it down at once."""
        self.lines[line.key] = line
        with self._path.open('a', encoding='utf-8') as file:
            file.write(_text(line))

    def sort(self) -> None:
        """Write the file in order, so that equal runs leave equal files."""
        _replace(self._path, ''.join(_text(self.lines[key]) for key in sorted(self.lines)))

    def _read(self) -> list[Line]:
        if not self._path.is_file():
            return []
        whole, newline, torn = self._path.read_text('utf-8').rpartition('\n')
        if torn:  # the run was killed while it wrote this line
            _replace(self._path, whole + newline)
        lines = []
        for number, text in enumerate(whole.splitlines(), 1):
            try:
                row = json.loads(text)
                lines.append(Line(**{**row, 'record': record_of(row['record'])}))
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f'{self._path}, line {number}: not an episode of a suite: '
                                 f'{error}; remove the line, and it is driven again') from error
        return lines


def _text(line: Line) -> str:
    return json.dumps(asdict(line), ensure_ascii=False) + '\n'


def _replace(path: Path, text: str) -> None:
    """Write a file that is never seen half written."""
    aside = path.with_name(path.name + '.new')
    aside.write_text(text, 'utf-8')
    os.replace(aside, path)
