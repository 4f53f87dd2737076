"""A suite: rows of episodes and what is done to them, as data with a version."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vla_nav.bringup.share import share_directory
from vla_nav.evaluation.closed_loop import Settings
from vla_nav.evaluation.conditions import Condition
from vla_nav.evaluation.disturbances import Disturbances
from vla_nav.simulation.scenario import FIRST_EVALUATION_SEED


class Row(BaseModel):
    """One line of a suite: which scenes and texts, and what disturbs the robot."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    name: str = Field(pattern='^[a-z0-9_]+$', description='What results call it.')
    title: str = Field(min_length=1, description='What it is, for people.')
    condition: Condition = Condition()
    disturbances: Disturbances = Disturbances()
    delay_ms: int = Field(default=0, ge=0, le=2000,
                          description='How long the model takes for a picture.')
    beside: str = Field(default='', description='The row that lacks only the disturbance.')


class Suite(BaseModel):
    """Rows with a version; ``episodes`` of each, on seeds from ``first_seed`` on."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    name: str = Field(pattern='^[a-z0-9_]+$')
    version: str = Field(min_length=1)
    first_seed: int = Field(ge=FIRST_EVALUATION_SEED)
    episodes: int = Field(ge=1)
    rows: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode='after')
    def _rows_know_each_other(self) -> Suite:
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            raise ValueError(f'rows have the same name: {names}')
        for row in self.rows:
            if row.disturbances.key:
                raise ValueError(f'{row.name}: the key of disturbances is made from the names')
            other = self.row(row.beside) if row.beside in names else None
            if row.beside and other is None:
                raise ValueError(f'{row.name}: beside is {row.beside!r}; rows are {names}')
            if other and _scenes(other) != _scenes(row):
                raise ValueError(f'{row.name}: {other.name} has other scenes')
        return self

    @property
    def digest(self) -> str:
        """Return what tells a suite from one that was changed under the same version."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def row(self, name: str) -> Row:
        """Return the row of a name."""
        return next(row for row in self.rows if row.name == name)

    def settings(self, row: Row, policy: str, episodes: int | None = None) -> Settings:
        """Return the closed-loop measurement that a row is, for a policy."""
        key = f'{self.name} {self.version} {row.name}'
        return Settings(policy, episodes or self.episodes, self.first_seed, row.condition,
                        row.delay_ms, row.disturbances.model_copy(update={'key': key}))

    def measurements(self, policies: list[str], episodes: int | None = None
                     ) -> Iterator[tuple[str, str, Settings]]:
        """Yield the policy, the name of the row and the settings of each measurement."""
        for policy in policies:
            for row in self.rows:
                yield policy, row.name, self.settings(row, policy, episodes)


def _scenes(row: Row) -> tuple[Any, ...]:
    """Return what decides which scenes a row draws, and what is judged in them."""
    drawn = row.condition
    swapped = drawn.text if drawn.text.startswith('swapped') else ''
    return drawn.drawn_cells, drawn.split, drawn.only_distractor, swapped


def load_suite(name: str) -> Suite:
    """Return the suite of a file, or the shipped one of that name; raise ValueError."""
    shipped = share_directory() / 'config' / 'suites'
    path = Path(name) if name.endswith(('.yaml', '.yml')) else shipped / f'{name}.yaml'
    if not path.is_file():
        known = ', '.join(sorted(file.stem for file in shipped.glob('*.yaml')))
        raise ValueError(f'{path}: there is no such suite; shipped are {known}, and a .yaml file '
                         'may be named instead')
    try:
        return Suite.model_validate(yaml.safe_load(path.read_text('utf-8')))
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f'{path}: {error}') from error
