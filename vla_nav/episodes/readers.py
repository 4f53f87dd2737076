"""Open any recording: this package's format, or the older layouts without stamps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import h5py
import numpy as np

from vla_nav.episodes.schema import Episode, EpisodeError
from vla_nav.episodes.store import (
    EpisodeRef,
    named_damage,
    open_group,
    read_array,
    read_group,
    stored_images,
)
from vla_nav.spaces import AXES, OMNI_3D, ActionSpace

# Older recordings were driven by keyboard: every axis is one of 0 and +-1.15, whatever its unit.
KEYBOARD_FULL = 1.15

_LEGACY_NAME = re.compile(
    r'episode_(?P<date>[^_]+)_(?P<time>[^_]+)_(?P<boxes>[12])box_(?P<layout>hori|vert)_'
    r'(?P<side>left|right)_(?P<variant>core|variant)_(?P<distance>close|medium|far)\.h5')


class LegacyName(NamedTuple):
    """What an older recording's file name tells: the scenario, the side and the task's text."""

    scenario: str
    side: str
    instruction: str


def parse_legacy_name(name: str) -> LegacyName | None:
    """Read ``episode_<date>_<time>_2box_vert_left_core_close.h5``; None for any other name.

    The scenario is the cell ('2box_vert_left_close'), with '_variant' behind it for the layout
    variants, so that these can be held out. The instruction is the canonical one of that task.
    """
    match = _LEGACY_NAME.fullmatch(name)
    if match is None:
        return None
    part = match.groupdict()
    scenario = f'{part["boxes"]}box_{part["layout"]}_{part["side"]}_{part["distance"]}'
    if part['variant'] == 'variant':
        scenario += '_variant'
    obstacle = 'box on its' if part['boxes'] == '1' else 'boxes on their'
    return LegacyName(scenario, part['side'],
                      f'go around the {obstacle} {part["side"]} and stop at the cup')


@contextmanager
def open_episode(ref: EpisodeRef, profile: ActionSpace = OMNI_3D) -> Iterator[Episode]:
    """Open a recording of any known layout; its pictures are read while it is open.

    ``profile`` is the embodiment that older recordings were driven on: a key held down, 1.15 in
    the file, becomes its limit in SI units. Raises EpisodeError naming the file and the field.
    """
    with open_group(ref) as group:
        with named_damage(str(ref), 'format_version'):
            ours = 'format_version' in group.attrs
        if ours:
            yield read_group(group, str(ref))
        else:
            yield _read_legacy(group, ref, profile)


def _read_legacy(group: h5py.Group, ref: EpisodeRef, profile: ActionSpace) -> Episode:
    source = str(ref)
    if profile.names != AXES:
        raise EpisodeError(source, 'actions', f'older recordings have the axes {list(AXES)}, the '
                           f'profile has {list(profile.names)}')
    with named_damage(source, 'images'):
        field = 'images' if 'images' in group else 'observations/images'
        missing = field not in group
    if missing:
        raise EpisodeError(source, 'images', 'there is neither the attribute format_version nor '
                           f'images or observations/images; the file holds {sorted(group)}')
    keys = read_array(group, 'actions', np.float32, source)
    if keys.ndim != 2 or keys.shape[1] != len(AXES):
        raise EpisodeError(source, 'actions', f'the shape is {keys.shape}, expected [T, 3]')
    off = np.argwhere(~(np.isclose(keys, 0) | np.isclose(np.abs(keys), KEYBOARD_FULL)))
    if len(off):
        row, column = off[0]
        raise EpisodeError(source, f'actions[{row}, {column}]', f'is {keys[row, column]}, but a '
                           'recording without format_version holds keyboard units, 0 and '
                           f'+-{KEYBOARD_FULL}; store it with format_version and SI units')
    name = parse_legacy_name(ref.path.name)
    episode = Episode(
        images=stored_images(group, field, source),
        actions=profile.denormalise(keys / KEYBOARD_FULL),
        stamps_ns=None,
        instruction=name.instruction if name else '',
        scenario=name.scenario if name else '',
        embodiment='keyboard',
    )
    episode.check(source)
    return episode
