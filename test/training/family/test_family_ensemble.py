"""Weights of an ensemble, by hand and from bundles."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import recorded
from bundles import write_bundle
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.contracts import Frame
from vla_nav.evaluation.bundle_facts import known_drives
from vla_nav.runtimes import load_policy
from vla_nav.training.family.ensemble import (
    Predictions,
    choose_drives,
    fit_ensemble,
    fit_weights,
    predict,
)
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.recordings import read_recordings

AXES = ('linear_x', 'linear_y', 'angular_z')


def predictions(labels, *errors):
    members = np.stack([labels + error for error in errors])
    return Predictions(members, labels, np.arange(len(labels)) // 10)


def error(found, weights):
    return ((np.tensordot(weights, found.members, 1) - found.labels) ** 2).mean()


@given(st.integers(0, 1000), st.integers(2, 4))
def test_weights_are_convex_and_never_worse_than_one_member(seed, count):
    rng = np.random.default_rng(seed)
    labels = rng.normal(size=(60, 2))
    found = predictions(labels, *(rng.normal(0, rng.uniform(0.1, 1), (60, 2)) + rng.normal(0, 0.2)
                                  for _ in range(count)))
    weights = fit_weights(found)
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
    assert error(found, weights) <= min(error(found, one) for one in np.eye(count)) + 1e-9
    assert error(found, weights) <= error(found, np.full(count, 1 / count)) + 1e-4


def test_opposite_errors_cancel_and_a_hopeless_member_gets_no_weight():
    rng = np.random.default_rng(0)
    labels, off = rng.normal(size=(200, 2)), rng.normal(size=(200, 2))
    found = predictions(labels, off, -off, rng.normal(0, 30, (200, 2)))
    assert fit_weights(found) == pytest.approx([0.5, 0.5, 0], abs=0.02)


@pytest.fixture
def data(tmp_path):
    """Return drives on which 0.4 and 0.2 m/s are half right each."""
    from vla_nav.episodes.store import EpisodeRef, write_episode
    folder = tmp_path / 'data'
    folder.mkdir()
    for seed in range(1, 9):
        episode = recorded.drive(seed, 10)
        actions = np.zeros((10, 3), np.float32)
        actions[:, 0] = 0.3 + 0.01 * (-1) ** seed
        write_episode(EpisodeRef(folder / f'{seed}.h5'),
                      replace(episode, actions=actions, action_names=AXES))
    return folder


def test_two_bundles_become_one_that_runs(tmp_path, data):
    slow = write_bundle(tmp_path / 'slow', actions=(0.2, 0, 0))
    fast = write_bundle(tmp_path / 'fast', actions=(0.4, 0, 0))
    metrics = fit_ensemble([slow, fast], [data], tmp_path / 'both')
    assert metrics['weights'] == pytest.approx([0.5, 0.5], abs=0.06)
    assert metrics['ensemble_minus_best']['value'] < -0.02
    policy = load_policy(tmp_path / 'both')
    policy.set_instruction('go')
    chunk = policy.act(Frame(np.zeros((96, 128, 3), np.uint8), 1))
    assert chunk.velocities[0, 0] == pytest.approx(0.3, abs=0.02)
    assert len(known_drives(str(tmp_path / 'both'))) == metrics['validation_episodes']


def test_the_same_pictures_under_two_instructions_are_one_drive(tmp_path, data):
    recordings = read_recordings([data], AXES)
    twice = [recordings[0], recordings[1], replace(recordings[0], instruction='stop')]
    found = predict([load_policy(write_bundle(tmp_path / 'bundle'))], twice)
    first, second, again = np.split(found.episode, 3)
    assert first[0] == again[0] != second[0] and len({*found.episode.tolist()}) == 2


def test_drives_that_a_member_learned_from_are_left_out(tmp_path, data):
    recordings = read_recordings([data], AXES)
    bundle = write_bundle(tmp_path / 'bundle')
    prints = [r.pictures for r in recordings]
    (bundle / 'split.json').write_text(json.dumps({'train': prints[:4],
                                                   'validation': prints[4:6]}))
    drives = choose_drives([bundle, write_bundle(tmp_path / 'other')], recordings)
    assert [r.pictures for r in drives.validation] == prints[4:6]
    assert [r.pictures for r in drives.test] == prints[6:]
    (bundle / 'split.json').write_text(json.dumps({'train': prints, 'validation': []}))
    with pytest.raises(TrainingError, match='0 are left'):
        choose_drives([bundle], recordings)
