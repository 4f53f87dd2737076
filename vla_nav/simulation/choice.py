"""Choose a scene by what a person writes: a part of a cell's name, or an instruction."""

from __future__ import annotations

from dataclasses import dataclass

from vla_nav.language.intent import HELD_OUT_COLOURS, HELD_OUT_KINDS, OTHER_KINDS, Intent
from vla_nav.simulation.layout import Scenario
from vla_nav.simulation.scenario import ALL_CELLS, HARD_CELLS, PLAIN_CELLS, sample

_MOST_TRIES = 3000


@dataclass(frozen=True)
class Scene:
    """The arguments that make :func:`vla_nav.simulation.scenario.sample` give a scene."""

    seed: int
    cell: str
    split: str = 'train'

    def sample(self) -> Scenario:
        """Return the scene."""
        return sample(self.seed, self.cell, self.split)


def cells_matching(text: str) -> tuple[str, ...]:
    """Return the cells that ``text`` begins: a cell, a family, or '2box_vert_left'.

    Empty text means the plain cells. Raises ValueError where nothing matches.
    """
    if text in ('', 'plain'):
        return PLAIN_CELLS
    cells = HARD_CELLS.get(text) or tuple(c for c in ALL_CELLS
                                          if c == text or c.startswith(f'{text}_'))
    if not cells:
        raise ValueError(f'scenario: no cell begins with "{text}"; known are the families plain, '
                         f'{", ".join(HARD_CELLS)} and the cells {", ".join(ALL_CELLS)}')
    return cells


def choose_scene(text: str, seed: int, intent: Intent | None = None,
                 split: str = 'train') -> Scene:
    """Return the scene of ``seed`` among the cells that ``text`` names.

    With an ``intent`` the seeds from ``seed`` on are tried until one gives a scene in which the
    intent is the task; held-out colours and kinds are looked for among held-out looks.
    """
    cells = cells_matching(text)
    if intent is None:
        return Scene(seed, cells[seed % len(cells)], split)
    if not text and intent.second_side:
        cells = cells_matching('two_step')
    if intent.colour in HELD_OUT_COLOURS or intent.kind in HELD_OUT_KINDS:
        split = 'appearance'
    sides = [side for side in (intent.first_side, intent.second_side) if side]
    cells = tuple(c for c in cells if _sides(c) == sides)
    for tried in range(seed, seed + _MOST_TRIES if cells else seed):
        scene = Scene(tried, cells[tried % len(cells)], split)
        if _is_the_task(scene.sample(), intent):
            return scene
    raise ValueError(f'no scene of "{text or "plain"}" has the task "{intent.describe()}"; '
                     'choose another scenario, or an object that exists there')


def _sides(cell: str) -> list[str]:
    return [word for word in cell.split('_') if word in ('left', 'right')]


def _is_the_task(scenario: Scenario, intent: Intent) -> bool:
    goal = scenario.goal
    if not _is_kind(goal.kind, intent.kind) or intent.colour not in (None, goal.colour):
        return False
    others = [o for o in scenario.objects if o is not goal and _is_kind(o.kind, intent.kind)]
    # Without a colour the kind alone must say which object is meant.
    return all(intent.colour is not None and o.colour != intent.colour for o in others)


def _is_kind(kind: str, named: str) -> bool:
    return kind == named or {kind, named} <= set(OTHER_KINDS)
