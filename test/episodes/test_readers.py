"""Older recordings: the scenario from the name, SI units from the keyboard's."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from vla_nav.episodes.readers import open_episode, parse_legacy_name
from vla_nav.episodes.schema import EpisodeError
from vla_nav.episodes.store import EpisodeRef, find_episodes
from vla_nav.spaces import OMNI_2D, ActionSpace

_NAME = 'episode_20251204_101530_2box_vert_left_core_close.h5'
_KEYS = np.float32([[1.15, 0, 0], [0, -1.15, 0], [0, 0, 1.15], [0, 0, 0]])
_IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), np.uint8)


def _record(path, images='images', actions=_KEYS) -> EpisodeRef:
    with h5py.File(path, 'w') as file:
        file[images] = _IMAGES
        file['actions'] = actions
    return EpisodeRef(path)


@pytest.mark.parametrize('layout', ['images', 'observations/images'])
def test_both_layouts_open_with_scenario_text_and_si_units(tmp_path, layout):
    ref = _record(tmp_path / _NAME, layout)
    assert find_episodes(tmp_path) == ([ref], [])
    profile = ActionSpace.symmetric(linear_x=0.5, linear_y=0.4, angular_z=1.0)
    with open_episode(ref, profile) as episode:
        np.testing.assert_allclose(
            episode.actions, [[0.5, 0, 0], [0, -0.4, 0], [0, 0, 1.0], [0, 0, 0]])
        np.testing.assert_array_equal(episode.images[2], _IMAGES[2])
        assert episode.scenario == '2box_vert_left_close'
        assert episode.instruction == 'go around the boxes on their left and stop at the cup'
        assert episode.stamps_ns is None and episode.odometry is None


@pytest.mark.parametrize('boxes', ['1', '2'])
@pytest.mark.parametrize('side', ['left', 'right'])
@pytest.mark.parametrize('variant', ['core', 'variant'])
def test_names_tell_scenario_side_and_instruction(boxes, side, variant):
    name = parse_legacy_name(f'episode_2025_0930_{boxes}box_hori_{side}_{variant}_far.h5')
    assert name.scenario == (f'{boxes}box_hori_{side}_far'
                             + ('_variant' if variant == 'variant' else ''))
    assert name.side == side
    assert side in name.instruction.split()


@pytest.mark.parametrize('name', [
    'episode_1_2_3box_hori_left_core_far.h5', 'episode_1_2_1box_hori_up_core_far.h5',
    'run_1_2_1box_hori_left_core_far.h5', 'episode_1_2_1box_hori_left_core_far.h5.part'])
def test_other_names_tell_nothing(name):
    assert parse_legacy_name(name) is None


def test_a_name_of_another_kind_leaves_scenario_and_text_empty(tmp_path):
    with open_episode(_record(tmp_path / 'monday.h5')) as episode:
        assert (episode.scenario, episode.instruction) == ('', '')


def test_values_that_no_key_gives_are_refused(tmp_path):
    keys = _KEYS.copy()
    keys[2, 1] = 0.4
    with pytest.raises(EpisodeError, match=r'actions\[2, 1\].*0\.4.*keyboard'), \
            open_episode(_record(tmp_path / _NAME, actions=keys)):
        pass


@pytest.mark.parametrize('change, field', [
    (lambda file: file.pop('images'), 'images'), (lambda file: file.pop('actions'), 'actions')])
def test_a_missing_field_is_named(tmp_path, change, field):
    ref = _record(tmp_path / _NAME)
    with h5py.File(ref.path, 'r+') as file:
        change(file)
    with pytest.raises(EpisodeError) as caught, open_episode(ref):
        pass
    assert caught.value.field == field


def test_wrong_widths_and_profiles_are_refused(tmp_path):
    with pytest.raises(EpisodeError, match='expected'), \
            open_episode(_record(tmp_path / _NAME, actions=_KEYS[:, :2])):
        pass
    with pytest.raises(EpisodeError, match='profile'), \
            open_episode(_record(tmp_path / _NAME), OMNI_2D):
        pass
