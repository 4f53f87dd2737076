"""Each fault that a recording may have gives its finding, and honest recordings give none."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from vla_nav.episodes.lint import lint
from vla_nav.episodes.schema import Episode, JpegPictures
from vla_nav.episodes.store import EpisodeRef, write_episode

_CELLS = ('1box_hori_left_close', '1box_hori_right_close', '2box_vert_left_far',
          '2box_vert_right_far')


def _episode(cell: str, seed: int) -> Episode:
    rng = np.random.default_rng(seed)
    length = int(rng.integers(20, 30))
    side = 'left' if 'left' in cell else 'right'
    return Episode(
        images=rng.integers(0, 256, (length, 6, 8, 3), np.uint8),
        actions=np.clip(rng.normal(0, 0.2, (length, 3)), -0.6, 0.6).astype(np.float32),
        stamps_ns=np.arange(length) * 100_000_000,
        instruction=f'go round the box on its {side} and stop at the cup', scenario=cell)


@pytest.fixture
def episodes() -> dict[str, Episode]:
    return {f'{cell}_{i}.h5': _episode(cell, 10 * n + i)
            for n, cell in enumerate(_CELLS) for i in range(4)}


def _lint(tmp_path, episodes, name='train', validation=None):
    folder = tmp_path / name
    folder.mkdir()
    for file, episode in episodes.items():
        write_episode(EpisodeRef(folder / file), episode)
    return lint(folder, validation)


def _told(findings) -> set[tuple[str, str, str]]:
    return {(f.severity, f.file.rsplit('/', 1)[-1], f.field) for f in findings}


def test_honest_recordings_give_no_finding(tmp_path, episodes):
    assert _lint(tmp_path, episodes) == []


def _first(episodes, **changes):
    episodes[f'{_CELLS[0]}_0.h5'] = replace(episodes[f'{_CELLS[0]}_0.h5'], **changes)


_FIRST = f'{_CELLS[0]}_0.h5'


@pytest.mark.parametrize('text', ['', '  '])
def test_empty_text(tmp_path, episodes, text):
    _first(episodes, instruction=text)
    assert _told(_lint(tmp_path, episodes)) == {('error', _FIRST, 'instruction')}


@pytest.mark.parametrize('text, leaks', [
    ('go left at 0.4 m/s', True), ('1box_hori left', True), ('pass the 1box on the left', True),
    ('turn 30 degrees left', True), ('set angular_z to the left', True), ('왼쪽으로 2 미터', True),
    ('the left variant', True), ('stop at ball number 2 on the left', False)])
def test_text_with_identifiers_or_quantities(tmp_path, episodes, text, leaks):
    _first(episodes, instruction=text)
    told = _told(_lint(tmp_path, episodes))
    assert (('warning', _FIRST, 'instruction') in told) == leaks


def test_stamps_that_stand_or_skip(tmp_path, episodes):
    stamps = np.arange(len(episodes[_FIRST])) * 100_000_000
    stamps[7:] += 500_000_000
    _first(episodes, stamps_ns=stamps)
    second = f'{_CELLS[0]}_1.h5'
    standing = np.zeros(len(episodes[second]), np.int64)
    episodes[second] = replace(episodes[second], stamps_ns=standing)
    findings = _lint(tmp_path, episodes)
    assert _told(findings) == {('warning', _FIRST, 'stamps_ns'), ('error', second, 'stamps_ns')}
    assert '600 ms' in next(f.message for f in findings if f.severity == 'warning')
    assert findings[0].severity == 'error'  # the worst first


def test_stamps_of_a_conversion(tmp_path, episodes):
    _first(episodes, stamps_ns=episodes[_FIRST].stamps_ns // 30)
    assert _told(_lint(tmp_path, episodes)) == {('error', _FIRST, 'stamps_ns')}


def test_the_same_actions_twice(tmp_path, episodes):
    other = f'{_CELLS[2]}_1.h5'
    episodes[other] = replace(episodes[other], actions=np.round(episodes[other].actions, 2))
    original = episodes[other]
    # A copy that was converted, and so differs in the last digits, is a copy.
    _first(episodes, actions=original.actions + np.float32(1e-5), images=original.images[::-1],
           stamps_ns=original.stamps_ns)
    findings = _lint(tmp_path, episodes)
    assert _told(findings) == {('error', other, 'actions')}
    assert _FIRST in findings[0].message


def test_a_clock_that_foretells_the_actions(tmp_path, episodes):
    course = np.cumsum(np.random.default_rng(0).normal(0, 0.1, (30, 3)), axis=0)
    for file, episode in episodes.items():
        if episode.scenario == _CELLS[1]:
            noise = np.random.default_rng(int(file[-4])).normal(0, 0.01, episode.actions.shape)
            episodes[file] = replace(episode, actions=np.float32(course[:len(episode)] + noise))
    findings = _lint(tmp_path, episodes)
    assert _told(findings) == {('warning', _CELLS[1], 'actions')}
    assert 'step number' in findings[0].message


def test_scenarios_and_sides_out_of_balance(tmp_path, episodes):
    for file in [f for f in episodes if 'right' in f and not f.endswith('_0.h5')]:
        del episodes[file]
    findings = _lint(tmp_path, episodes)
    assert _told(findings) == {('warning', '(all)', 'scenario')}
    messages = ' '.join(f.message for f in findings)
    assert len(findings) == 2 and '8 episodes pass on the left, 2 on the right' in messages


def test_keys_that_are_only_on_or_off(tmp_path, episodes):
    actions = np.where(episodes[_FIRST].actions[:, :1] > -0.2, 0.9, 0.0) * np.float32([1, 0, 0])
    _first(episodes, actions=np.float32(actions))
    findings = _lint(tmp_path, episodes)
    assert _told(findings) == {('warning', _FIRST, 'actions[:, 0]')}


def test_text_that_tells_the_layout(tmp_path, episodes):
    for file, episode in episodes.items():
        side = 'left' if 'left' in episode.scenario else 'right'
        way = 'pass on the' if 'hori' in episode.scenario else 'keep to the'
        episodes[file] = replace(episode, instruction=f'{way} {side}')
    findings = _lint(tmp_path, episodes)
    assert _told(findings) == {('warning', '(all)', 'instruction')}
    assert len(findings) == 2  # for either side


@pytest.mark.parametrize('same', ['actions', 'images'])
def test_validation_that_was_trained_on(tmp_path, episodes, same):
    fresh = {f'v{i}.h5': _episode(_CELLS[i], 500 + i) for i in range(4)}
    old = episodes[_FIRST]
    changed = ({'images': old.images[::-1]} if same == 'actions'
               else {'actions': old.actions[::-1].copy()})
    _lint(tmp_path, fresh, 'clean')
    _lint(tmp_path, {**fresh, 'v4.h5': replace(old, **changed)}, 'leaking')
    assert _lint(tmp_path, episodes, 'one', tmp_path / 'clean') == []
    findings = _lint(tmp_path, episodes, 'two', tmp_path / 'leaking')
    assert _told(findings) == {('error', 'v4.h5', same)}
    assert _FIRST in findings[0].message


def test_bad_files_and_pictures_hide_nothing_else(tmp_path, episodes):
    folder = tmp_path / 'train'
    jpegs = [cv2.imencode('.jpg', picture)[1].tobytes() for picture in episodes[_FIRST].images]
    middle = len(jpegs) // 2
    jpegs[middle] = jpegs[middle][:-20]
    _first(episodes, images=JpegPictures(jpegs), instruction='')
    second = f'{_CELLS[0]}_1.h5'
    _lint(tmp_path, episodes)
    (folder / second).write_bytes((folder / second).read_bytes()[:900])
    findings = lint(folder)
    assert _told(findings) == {('error', _FIRST, 'instruction'), ('error', second, 'file'),
                               ('error', _FIRST, f'jpeg[{middle}]')}
    assert all(f.remedy for f in findings)


def test_an_empty_directory_is_a_finding(tmp_path):
    assert [f.message for f in lint(tmp_path)] == ['there are no episodes']
