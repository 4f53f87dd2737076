"""What an evaluation varies: which episodes, which words, which pictures."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vla_nav.language.grammar import LANGUAGES, phrase
from vla_nav.language.intent import SIDES
from vla_nav.simulation.layout import Scenario
from vla_nav.simulation.scenario import (
    ALL_CELLS,
    FAMILIES,
    HARD_CELLS,
    PLAIN_CELLS,
    retarget,
    sample,
    with_sides,
)
from vla_nav.training.sentences import with_typos

TEXTS = ('true', 'swapped-side', 'swapped-goal', 'blind', 'misspelt')
IMAGES = ('true', 'blind')
HELD_OUT = ('none', 'layouts', 'phrasings', 'appearance')
_SLIPS_OF_THE_PEN = 3


@dataclass(frozen=True)
class Condition:
    """The settings of one closed-loop measurement, all of which the summary prints.

    ``text``: swapped-side and swapped-goal name the other side or another object of the same
    scene, and are judged by what they name; blind gives the policy no reading at all; misspelt
    has letters swapped, lost, doubled or mistaken.
    ``image``: blind gives it a grey picture. ``heldout`` picks the split of the scenes, or of
    the wordings. ``language`` is en, ko, or both in turn. ``families`` and ``cells`` choose
    scenes (no ``cells``: all of the families). ``only_distractor`` leaves out scenes in which
    no other object shares the goal's kind or colour.
    """

    text: str = 'true'
    image: str = 'true'
    heldout: str = 'none'
    language: str = 'both'
    families: tuple[str, ...] = ('plain',)
    cells: tuple[str, ...] = ()
    only_distractor: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown words."""
        for name, value, known in (
                ('text', self.text, TEXTS), ('image', self.image, IMAGES),
                ('heldout', self.heldout, HELD_OUT),
                ('language', self.language, (*LANGUAGES, 'both')),
                *(('families', family, FAMILIES) for family in self.families),
                *(('cells', cell, ALL_CELLS) for cell in self.cells)):
            if value not in known:
                raise ValueError(f'{name} must be one of {list(known)}, got {value!r}')

    @property
    def drawn_cells(self) -> tuple[str, ...]:
        """Return the cells that episodes go through in turn."""
        return self.cells or tuple(
            cell for family in self.families
            for cell in (PLAIN_CELLS if family == 'plain' else HARD_CELLS[family]))

    @property
    def split(self) -> str:
        """Return the split of scenes to sample from."""
        return self.heldout if self.heldout in ('layouts', 'appearance') else 'train'

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as written into a summary."""
        return asdict(self)


@dataclass(frozen=True)
class Task:
    """A scene with the words for it: ``scenario`` is judged by, ``instruction`` is given."""

    scenario: Scenario
    language: str
    instruction: str


def plan(condition: Condition, episodes: int, first_seed: int) -> list[tuple[int, str]]:
    """Return the (seed, cell) of each episode: cells in turn, seeds counted up."""
    cells, chosen, seed = condition.drawn_cells, list[tuple[int, str]](), first_seed
    while len(chosen) < episodes:
        cell = cells[len(chosen) % len(cells)]
        if not condition.only_distractor or draw(condition, seed, cell).confusable:
            chosen.append((seed, cell))
        seed += 1
    return chosen


def draw(condition: Condition, seed: int, cell: str) -> Scenario:
    """Return the scene of one episode."""
    return sample(seed, cell, condition.split)


def make_task(scenario: Scenario, condition: Condition, index: int) -> Task:
    """Return the task of episode ``index`` in a scene; the same arguments give the same words."""
    language = condition.language
    if language == 'both':  # in turn, and so that each cell meets each language
        language = LANGUAGES[sum(divmod(index, len(condition.drawn_cells))) % len(LANGUAGES)]
    # A generator of its own, so that the wording does not change with how a scene is drawn.
    rng = np.random.default_rng([scenario.seed, 0x7E47])
    if condition.text == 'swapped-side':
        scenario = swap_side(scenario)
    elif condition.text == 'swapped-goal':
        scenario = swap_goal(scenario)
    split = 'heldout' if condition.heldout == 'phrasings' else 'train'
    text = '' if condition.text == 'blind' else phrase(scenario.intent, rng, language, split)
    if condition.text == 'misspelt':
        text = unicodedata.normalize('NFC', with_typos(text, rng, _SLIPS_OF_THE_PEN))
    return Task(scenario, language, text)


def tasks(condition: Condition, episodes: int, first_seed: int) -> Iterator[Task]:
    """Yield the task of each episode in order."""
    for index, (seed, cell) in enumerate(plan(condition, episodes, first_seed)):
        yield make_task(draw(condition, seed, cell), condition, index)


def swap_side(scenario: Scenario) -> Scenario:
    """Return the scene with the other side of the box(es) named, and judged."""
    first, *rest = (gate.side for gate in scenario.gates)
    return with_sides(scenario, SIDES[1 - SIDES.index(first)], *rest)


def swap_goal(scenario: Scenario) -> Scenario:
    """Return the scene with another of its objects named, and judged; the seed picks which."""
    others = [index for index in range(len(scenario.objects)) if index != scenario.goal_index]
    return retarget(scenario, others[scenario.seed % len(others)])
