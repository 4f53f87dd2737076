"""What the results page is made of: measurements, the figures read from them, and bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# Training stays below 1,000,000 and chooses its checkpoint on seeds from there on: the table
# must stand on scenes that nothing was chosen by.
FIRST_SEED = 2_000_000
QUICK_EPISODES = 24
# Where measurements are kept, and in a measurement's folder the bundle that it exports.
FOLDER, BUNDLE = 'runs/results', 'bundle'
DETECTOR = 'models/detector'


@dataclass(frozen=True)
class Measurement:
    """One run of ``vla-nav``: its sub-command, and options beside ``--policy`` and ``--out``.

    ``key`` names its folder. ``baseline`` is driven instead of the bundle where it is given, and
    with ``export`` what the measurement of that key has exported. ``of`` is what is measured: a
    policy or the shipped detector. ``smoke`` holds options that
    replace those of the same name in a quick run. What takes hours is not run for the page:
    ``kept`` names the file beside it in which ``command``, complete, has left its summary.
    """

    key: str
    command: str
    options: Mapping[str, str] = field(default_factory=dict)
    episodes: int = 0
    baseline: str = ''
    of: Literal['policy', 'detector'] = 'policy'
    smoke: Mapping[str, str] = field(default_factory=dict)
    export: str = ''
    kept: str = ''

    def driven(self, policy: str, folder: str = FOLDER) -> str:
        """Return what is measured: a bundle, or the name of a baseline."""
        if self.of == 'detector':
            return DETECTOR
        return f'{folder}/{self.export}/{BUNDLE}' if self.export else self.baseline or policy

    def bundles(self, policy: str, folder: str = FOLDER) -> tuple[str, ...]:
        """Return all that it depends on: what is measured, and a detector beside it."""
        beside = self.options.get('detector')
        return (self.driven(policy, folder), *([beside] if beside else []))

    def line(self, policy: str, quick: bool = False, folder: str = FOLDER) -> str:
        """Return the command line that repeats it, an evaluation's without ``--out``."""
        if self.kept:
            return f'vla-nav {self.command}'
        words = ['vla-nav', self.command, f'--{self.of}', self.driven(policy, folder)]
        if self.episodes:
            episodes = min(self.episodes, QUICK_EPISODES) if quick else self.episodes
            words += ['--episodes', str(episodes), '--first-seed', str(FIRST_SEED)]
        for name, value in {**self.options, **(self.smoke if quick else {})}.items():
            words += [f'--{name}', value] if value else [f'--{name}']
        if self.command == 'export':
            words += ['--out', f'{folder}/{self.key}/{BUNDLE}']
        return ' '.join(words)


@dataclass(frozen=True)
class Figure:
    """A measured value, its 95 % interval where it has one, and the number of samples."""

    value: float
    n: int
    low: float | None = None
    high: float | None = None


Taken = Mapping[str, Mapping[str, Any]]  # measurement key -> its summary


@dataclass(frozen=True)
class Row:
    """A line of the table: ``must`` is a bound on the value, from above where ``at_most``.

    ``sources`` are the keys of the measurements that ``figure`` reads. ``note`` is what must be
    known to judge the value; it stands below the table.
    """

    title: str
    sources: tuple[str, ...]
    figure: Callable[[Taken], Figure]
    must: float
    aim: float | None = None
    at_most: bool = False
    note: str = ''

    def met(self, figure: Figure) -> bool:
        """Tell whether the value is within the bound."""
        return figure.value <= self.must if self.at_most else figure.value >= self.must


@dataclass(frozen=True)
class Section:
    """Rows that belong together."""

    title: str
    rows: tuple[Row, ...]
