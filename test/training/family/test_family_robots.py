"""One policy of an omnidirectional and a differential robot: each teaches the axes that it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import recorded
import torch
from train_child import run

from vla_nav.episodes.store import EpisodeRef, write_episode
from vla_nav.policies.family import FamilyPolicy
from vla_nav.spaces import AXES
from vla_nav.training.family.ensemble import Predictions, fit_weights
from vla_nav.training.family.material import gather
from vla_nav.training.family.objective import Imitation, sums
from vla_nav.training.family.pictures import Pictures
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.report import report
from vla_nav.training.family.steps import Share, TrainingSteps, whole_drives

_LIMITS = {'limits': {'linear_x': 0.6, 'linear_y': 0.5, 'angular_z': 1.5}, 'chunk': 3}
_SIDEWAYS = AXES.index('linear_y')


def write_omni(folder, episodes, first):
    """Write drives of a robot that also goes sideways, 0.3 m/s to the left."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + episodes):
        drive = recorded.drive(seed, side='left' if seed % 2 else 'right')
        actions = np.insert(drive.actions, _SIDEWAYS, 0.3, axis=1)
        write_episode(EpisodeRef(folder / f'drive_{seed:03d}.h5'), replace(
            drive, actions=actions, action_names=AXES, embodiment='omni'))


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('robots')
    recorded.write(root / 'differential', 8)
    write_omni(root / 'omni', 8, 101)
    return root


def config(**changes):
    return recorded.config(action=_LIMITS, **changes)


@pytest.fixture(scope='module')
def material(data):
    return gather(config(), [data], recorded.Reader())


def source(material):
    return Pictures(material.recordings, 32, 32)


def of_robot(material, part, name):
    return [m for m in material.members(part)
            if material.recordings[m].name.split('/')[1] == name]


def test_two_robots_train_one_policy(data, tmp_path):
    progress = run(data, tmp_path, config(train__epochs=8, train__lr=0.02))
    losses = [row['train_loss'] for row in progress.history]
    assert losses[-1] < losses[0] and np.isfinite(losses).all()
    # Were the axis that one robot lacks a label of 0, this (normalised) would be about 0.3.
    assert progress.history[-1]['validation_first']['linear_y'] < 0.15


def test_the_missing_axis_gives_neither_loss_nor_gradient(material):
    members = of_robot(material, material.parts.train, 'differential')
    batch, = TrainingSteps(source(material), material.labels, members, 4, 4, 0, Share())[0]
    assert batch.mask.shape == batch.targets.shape
    assert not batch.mask[..., _SIDEWAYS].any() and batch.mask[..., 0].any()
    chunks = torch.rand(batch.targets.shape).requires_grad_()
    arrived = torch.zeros(batch.arrived.shape)
    found = sums(chunks, arrived, batch, config().train)
    assert found.firsts[_SIDEWAYS] == 0 and found.first[_SIDEWAYS] == 0
    assert found.values == 2 * batch.mask[..., 0].sum()
    found.loss.backward()
    assert not chunks.grad[..., _SIDEWAYS].any()
    assert (chunks.grad[..., 0][batch.mask[..., 0]] != 0).all()
    far = chunks.detach().clone()
    far[..., _SIDEWAYS] = 50.0
    assert sums(far, arrived, batch, config().train).loss == found.loss


def test_the_other_robot_teaches_every_axis(material):
    members = of_robot(material, material.parts.train, 'omni')
    for drive in whole_drives(source(material), material.labels, members, 4, Share()):
        for batch in drive:
            assert (batch.mask == batch.mask[..., :1]).all()


def test_statistics_and_figures_of_an_axis_are_of_the_robots_that_have_it(material):
    assert material.statistics['mean'][_SIDEWAYS] == pytest.approx(0.3)
    assert material.statistics['by_step'][3][_SIDEWAYS] == pytest.approx(0.3)
    torch.manual_seed(0)
    model = Imitation(FamilyPolicy(config()), config().train, False)
    everybody = [*range(len(material.recordings))]
    both = report(model, material, source(material), everybody)['predictors']['constant mean']
    assert both['linear_y']['mae'] == pytest.approx(0.0, abs=1e-6)
    wheels = [m for m in everybody if not material.recordings[m].present.all()]
    alone = report(model, material, source(material), wheels)['predictors']['constant mean']
    assert alone['linear_y']['mae'] is None
    assert alone['joint']['mae'] == pytest.approx(
        (alone['linear_x']['mae'] + alone['angular_z']['mae']) / 2)


def test_an_axis_that_nobody_teaches_is_refused(data):
    with pytest.raises(TrainingError, match=r"none has \['linear_y'\].*"
                       r'action\.limits=\{linear_x: LIMIT, angular_z: LIMIT\}'):
        gather(config(), [data / 'differential'], recorded.Reader())


def test_weights_of_an_ensemble_ignore_axes_that_a_robot_lacks():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(40, 2))
    members = np.stack([labels + rng.normal(0, 0.1, labels.shape),
                        labels + rng.normal(0, 1.0, labels.shape)])
    members[0, :, 1] += 30.0
    labels[:, 1] = np.nan
    weights = fit_weights(Predictions(members, labels, np.arange(40) // 10))
    assert weights[0] > 0.9 and weights.sum() == pytest.approx(1.0)
