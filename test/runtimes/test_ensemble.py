"""Several policies acting together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bundles import NONSENSE, write_bundle
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.contracts import ActionChunk, Frame, NotUnderstood, PolicyError, PolicySpec
from vla_nav.runtimes import load_policy
from vla_nav.runtimes.bundle import EnsembleBundle
from vla_nav.runtimes.ensemble import Ensemble, networks
from vla_nav.spaces import OMNI_2D, OMNI_3D

FRAME = Frame(np.zeros((96, 128, 3), np.uint8), 0)


class Fixed:
    """Drives one velocity."""

    def __init__(self, name='fixed', velocity=(0.3, 0.0, 0.6), chunk=8, space=OMNI_3D,
                 arrived=0.0, threshold=0.5):
        self.spec = PolicySpec(name, space, 96, 128, 100_000_000, chunk, 0.5, threshold)
        self._chunk = np.tile(np.float32(velocity), (chunk, 1))
        self._arrived = arrived
        self.resets = 0

    def reset(self):
        self.resets += 1

    def set_instruction(self, text):
        return text

    def act(self, frame):
        return ActionChunk(self._chunk, 100_000_000, frame.stamp_ns, self._arrived)


def test_the_chunk_is_the_weighted_mean_as_long_as_the_shortest():
    ensemble = Ensemble([(Fixed('a', (0.3, 0.0, 0.0)), 3), (Fixed('b', (0.1, 0.4, 0.0), 5), 1)])
    chunk = ensemble.act(FRAME)
    assert chunk.velocities.shape == (5, 3)
    np.testing.assert_allclose(chunk.velocities[0], [0.25, 0.1, 0.0], atol=1e-6)
    assert ensemble.weights == {'a': 0.75, 'b': 0.25}


@given(a=st.floats(-0.6, 0.6), b=st.floats(-0.6, 0.6), weight=st.floats(0.05, 0.95))
def test_uncertainty_is_the_spread_as_a_share_of_the_limits(a, b, weight):
    ensemble = Ensemble([(Fixed('a', (a, 0, 0)), weight), (Fixed('b', (b, 0, 0)), 1 - weight)])
    chunk = ensemble.act(FRAME)
    expected = np.sqrt(weight * (1 - weight)) * abs(a - b) / 0.6
    assert chunk.uncertainty == pytest.approx(expected, abs=1e-5)
    assert min(a, b) - 1e-6 <= chunk.velocities[0, 0] <= max(a, b) + 1e-6


def test_members_that_agree_are_certain():
    assert Ensemble([(Fixed('a'), 1), (Fixed('b'), 1)]).act(FRAME).uncertainty == 0


def test_beliefs_of_different_thresholds_compare():
    sure = Fixed('a', arrived=0.9, threshold=0.9)
    unsure = Fixed('b', arrived=0.25, threshold=0.5)
    ensemble = Ensemble([(sure, 1), (unsure, 1)])
    assert ensemble.act(FRAME).arrived == pytest.approx((0.5 + 0.25) / 2)
    assert ensemble.spec.arrived_threshold == 0.5


def test_a_member_without_weight_is_not_run():
    class Broken(Fixed):
        def act(self, frame):
            raise PolicyError('broken')
    Ensemble([(Fixed(), 1), (Broken(), 0)]).act(FRAME)


@pytest.mark.parametrize('members', [
    [], [(Fixed(), 0)], [(Fixed(), 1), (Fixed(), -1)],
    [(Fixed(), 1), (Fixed(velocity=(0, 0), space=OMNI_2D), 1)]])
def test_what_cannot_act_together_is_refused(members):
    with pytest.raises(PolicyError):
        Ensemble(members)


def _save(directory: Path, *members: tuple[str, float]) -> Path:
    directory.mkdir()
    EnsembleBundle.model_validate({
        'name': 'both', 'architecture': 'ensemble', 'max_observation_age_s': 0.4,
        'members': [{'path': path, 'weight': weight} for path, weight in members]}).save(directory)
    return directory


def test_an_ensemble_of_bundles_loads_and_drives(tmp_path):
    write_bundle(tmp_path / 'a', (0.3, 0.0, 0.0))
    write_bundle(tmp_path / 'b', (0.1, 0.0, 0.0))
    policy = load_policy(_save(tmp_path / 'both', ('../a', 1), ('../b', 1)))
    with pytest.raises(NotUnderstood):
        policy.set_instruction(NONSENSE)
    with pytest.raises(PolicyError, match='no instruction'):
        policy.act(FRAME)
    policy.set_instruction('pass the box on its left and stop at the red ball')
    chunk = policy.act(FRAME)
    np.testing.assert_allclose(chunk.velocities[:, 0], 0.2, atol=1e-5)
    assert chunk.uncertainty == pytest.approx(0.1 / 0.6, abs=1e-5)
    assert policy.spec.max_observation_age_s == 0.4


@pytest.mark.parametrize(('change', 'says'), [
    ({'members': []}, 'members'), ({'members': [{'path': 'a', 'weight': 0}]}, 'weights are 0'),
    ({'members': [{'path': '../nowhere', 'weight': 1}]}, 'nowhere'),
    ({'members': [{'path': '.', 'weight': 1}]}, 'the ensemble itself')])
def test_a_wrong_ensemble_says_what_is_wrong(change, says, tmp_path):
    write_bundle(tmp_path / 'a')
    path = _save(tmp_path / 'both', ('../a', 1)) / 'config.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PolicyError, match=says):
        load_policy(path.parent)


def test_ensembles_that_name_each_other_are_refused(tmp_path):
    _save(tmp_path / 'one', ('../two', 1))
    _save(tmp_path / 'two', ('../one', 1))
    with pytest.raises(PolicyError, match=r"two/config\.json: members\.0\.path is '\.\./one', "
                                          'which has this ensemble .* name another bundle'):
        load_policy(tmp_path / 'one')
    with pytest.raises(PolicyError, match='name another bundle'):
        networks(tmp_path / 'one')


def test_the_networks_of_an_ensemble_of_ensembles(tmp_path):
    write_bundle(tmp_path / 'a')
    _save(tmp_path / 'one', ('../a', 1))
    found = networks(_save(tmp_path / 'both', ('../a', 3), ('../one', 1)))
    assert found == [(tmp_path / 'a', 0.75), (tmp_path / 'a', 0.25)]


def test_a_bundle_may_be_a_member_of_several_ensembles(tmp_path):
    write_bundle(tmp_path / 'a')
    for name in ('one', 'two'):
        _save(tmp_path / name, ('../a', 1))
    assert load_policy(_save(tmp_path / 'both', ('../one', 1), ('../two', 1))).spec.name == 'both'
