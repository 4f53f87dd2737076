"""Offline figures of a bundle that is known to the last digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import NONSENSE, write_bundle

from vla_nav.episodes.schema import Episode, EpisodeError
from vla_nav.episodes.store import EpisodeRef, write_episode
from vla_nav.evaluation.baselines import Drive, DriveStatistics
from vla_nav.evaluation.offline import PREDICTORS, measure, recorded_episodes

DRIVE = DriveStatistics.of([Drive(np.array([[0.2, 0.0, 0.0]] * 4), np.zeros((4, 2)))])


def episode(speeds, instruction='go', stamps=None):
    actions = np.zeros((len(speeds), 3), np.float32)
    actions[:, 0] = speeds
    pictures = np.zeros((len(speeds), 12, 16, 3), np.uint8)
    return Episode(pictures, actions, stamps, instruction)


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp('bundle'), actions=(0.3, 0.0, 0.0),
                        image=(12, 16), chunk=4)


def mae(result, name, axis='linear_x'):
    return result['predictors'][name][axis]['mae']


def test_every_predictor_by_hand(bundle):
    noted = []
    result = measure(str(bundle), [episode([0.3, 0.3, 0.5, 0.5])], DRIVE, lambda: noted.append(1))
    assert set(result['predictors']) == set(PREDICTORS) and noted == [1]
    assert (result['episodes'], result['samples']) == (1, 4)
    assert mae(result, 'policy') == pytest.approx(0.1, abs=1e-6)
    assert mae(result, 'previous action') == pytest.approx((0.3 + 0.2) / 4, abs=1e-6)
    for name in ('step-index', 'constant mean', 'constant median'):
        assert mae(result, name) == pytest.approx((0.1 + 0.1 + 0.3 + 0.3) / 4, abs=1e-6)
    assert mae(result, 'policy', 'angular_z') == 0.0
    # Row k of the chunk is due k steps later: labels 1.., 2.., 3.. of the same episode.
    rows = np.array(result['chunk_mae']) * 3
    assert rows == pytest.approx([0.1, 0.4 / 3, 0.2, 0.2], abs=1e-6)


def test_an_unread_instruction_counts_as_standstill_but_not_for_the_text_blind(bundle):
    result = measure(str(bundle), [episode([0.3, 0.3], NONSENSE)], DRIVE)
    assert mae(result, 'policy') == pytest.approx(0.3, abs=1e-6)
    assert mae(result, 'text-blind') == pytest.approx(0.0, abs=1e-6)


def test_refused_and_paraphrased_texts_stand_apart():
    compact = Path(__file__).parents[2] / 'models' / 'compact'
    texts = ('pass left of the box, stop at the red cup',
             '상자를 왼쪽으로 돌아서 빨간 컵 앞에서 멈춰 주세요.',
             'Go round the box on its left and stop at the red cup.',
             'Make me a sandwich.')
    result = measure(str(compact), [replace(episode([0.3, 0.3], text), images=np.zeros(
        (2, 96, 128, 3), np.uint8)) for text in texts], DRIVE)
    found = {name: group['episodes'] for name, group in result['wordings'].items()}
    assert found == {'canonical': 1, 'put in other words': 2, 'refused': 1}
    # A refused text is a robot that stands still.
    assert result['wordings']['refused']['policy']['value'] == pytest.approx(0.1)


def test_recordings_are_read_and_empty_folders_refused(bundle, tmp_path):
    stamps = np.arange(1, 4, dtype=np.int64) * 10**8
    write_episode(EpisodeRef(tmp_path / 'a.h5'), episode([0.3, 0.3, 0.3], stamps=stamps))
    assert mae(measure(str(bundle), recorded_episodes(tmp_path), DRIVE), 'policy') < 1e-6
    (tmp_path / 'none').mkdir()
    with pytest.raises(EpisodeError, match='no episodes'):
        list(recorded_episodes(tmp_path / 'none'))
    with pytest.raises(ValueError, match='no episodes'):
        measure(str(bundle), [], DRIVE)


def test_axes_that_the_policy_drives_must_be_recorded(bundle):
    flat = Episode(np.zeros((2, 12, 16, 3), np.uint8), np.zeros((2, 2), np.float32), None, 'go',
                   action_names=('linear_x', 'angular_z'))
    with pytest.raises(EpisodeError, match='linear_y'):
        measure(str(bundle), [flat], DRIVE)


def test_an_axis_is_measured_on_the_robots_that_have_it(bundle):
    whole = episode([0.3, 0.3])
    whole.actions[:, 1] = 0.1
    flat = Episode(np.zeros((2, 12, 16, 3), np.uint8), np.full((2, 2), 0.2, np.float32), None,
                   'go', action_names=('linear_x', 'angular_z'))
    result = measure(str(bundle), [whole, flat], DRIVE)
    assert mae(result, 'policy', 'linear_y') == pytest.approx(0.1, abs=1e-6)
    assert mae(result, 'policy', 'linear_x') == pytest.approx(0.05, abs=1e-6)
    joint = (0.1 * 2 + 0.1 * 2 + 0.2 * 2) / 10
    assert mae(result, 'policy', 'joint') == pytest.approx(joint, abs=1e-6)
    assert result['mae']['policy']['value'] == pytest.approx(joint, abs=1e-6)
    assert result['chunk_mae'][0] == pytest.approx(joint, abs=1e-6)
    assert result['mae']['previous action']['value'] == pytest.approx(
        (0.3 + 0.1 + 0.2 + 0.2) / 10, abs=1e-6)
