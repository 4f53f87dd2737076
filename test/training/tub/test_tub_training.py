"""The track policy on a tub: blocks that do not touch, labels that do not leak, signs, parity."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from vla_nav.cli import train as cli
from vla_nav.contracts import Frame, NotUnderstood
from vla_nav.episodes.schema import EpisodeError
from vla_nav.episodes.tub import read_tub
from vla_nav.policies.track import Gradients, TrackConfig, TrackPolicy, blend, mirrored
from vla_nav.runtimes import load_policy
from vla_nav.training.graph import PARITY_BOUND
from vla_nav.training.tub import study
from vla_nav.training.tub.baselines import HistogramRidge, gradient_histogram
from vla_nav.training.tub.build import build_bundle
from vla_nav.training.tub.export import export_policy
from vla_nav.training.tub.fit import LinearMap, fit, predict
from vla_nav.training.tub.frames import (
    GAP,
    SPACE,
    TubFrames,
    blocked,
    chunk_labels,
    load_frames,
)
from vla_nav.training.tub.members import Material, Recipe
from vla_nav.training.tub.report import write_report
from vla_nav.training.tub.ridge import STRENGTHS, Ridge

_NETWORK = TrackConfig(height=40, width=80, chunk=4, channels=4, hidden=8, members=2)
_RECIPE = Recipe(network=_NETWORK, sizes=((4, 8), (6, 12)), augmentations=(0.5, 1.0), copies=2,
                 steps=40, every=20, batch=16, inner=2)


def _line(steering: float, shape: tuple[int, int]) -> np.ndarray:
    """Draw a road whose line leans to where a driver would steer, + to the right."""
    rows, columns = shape
    picture = np.full((rows, columns, 3), 60, np.uint8)
    foot = (columns // 2, rows - 1)
    head = (round(columns * (0.5 + 0.45 * steering)), 0)
    return cv2.line(picture, foot, head, (230, 200, 40), 5)


def _steering(count: int) -> np.ndarray:
    return np.sin(np.arange(count) / 5)


def _frames(count: int) -> TubFrames:
    steering = _steering(count)
    images = np.stack([_line(s, (40, 80)) for s in steering])
    actions = np.stack([0.5 + 0.1 * np.cos(np.arange(count) / 5), -steering], 1)
    return TubFrames(images, images[..., 0], actions.astype(np.float32), np.ones(count, np.int64))


@pytest.fixture(scope='module')
def tub(tmp_path_factory):
    """Return a small tub of which steering can be learned."""
    path = tmp_path_factory.mktemp('tub')
    (path / 'images').mkdir()
    lines = []
    for index, steering in enumerate(_steering(130)):
        name = f'{index}_cam_image_array_.jpg'
        cv2.imwrite(str(path / 'images' / name), _line(steering, (48, 96))[..., ::-1])
        lines.append(json.dumps({
            '_index': index, '_timestamp_ms': 1_600_000_000_000 + 50 * index,
            'user/angle': steering, 'user/throttle': 0.5, 'cam/image_array': name}))
    (path / 'catalog_0.catalog').write_text('\n'.join(lines) + '\n')
    (path / 'manifest.json').write_text('[]\n' + json.dumps(
        {'paths': ['catalog_0.catalog'], 'deleted_indexes': []}) + '\n')
    return path


@given(st.integers(120, 400), st.integers(2, 5), st.integers(0, GAP))
def test_blocks_cover_all_frames_and_never_touch(count, folds, gap):
    found = blocked(np.arange(count), folds, gap)
    assert np.concatenate([fold.test for fold in found]).tolist() == list(range(count))
    for fold in found:
        assert (np.diff(fold.test) == 1).all()
        assert np.abs(fold.train[:, None] - fold.test).min() > gap
        assert len(fold.train) >= count - len(fold.test) - 2 * gap


@given(st.integers(250, 400), st.integers(0, 4))
def test_inner_blocks_stay_inside_the_training_frames_and_apart(count, number):
    outer = blocked(np.arange(count), 5)[number]
    for fold in blocked(outer.train, 3):
        assert set(fold.test) | set(fold.train) <= set(outer.train)
        assert np.abs(fold.train[:, None] - fold.test).min() > GAP


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match='100 frames are too few for 5 blocks'):
        blocked(np.arange(100), 5)


@given(st.integers(0, 4), st.integers(0, 199), st.integers(1, 12))
def test_no_label_comes_out_of_a_gap_a_test_block_or_another_run(number, breaks, chunk):
    driven = np.repeat(np.arange(200, dtype=np.float32)[:, None], 2, 1)
    frames = TubFrames(np.zeros((200, 1, 1, 3), np.uint8), np.zeros((200, 1, 1), np.uint8),
                       driven, (np.arange(200) >= breaks).astype(np.int64))
    train = blocked(np.arange(200), 5)[number].train
    labels, known = chunk_labels(frames, train, chunk)
    allowed = set(train.tolist())
    for row, frame in enumerate(train):
        steps = [frame + k for k in range(chunk)]
        right = [all(s in allowed and (s >= breaks) == (frame >= breaks) for s in steps[:k + 1])
                 for k in range(chunk)]
        assert known[row].tolist() == right
        assert labels[row, known[row], 0].tolist() == [s for s, ok in zip(steps, right) if ok]


def test_steering_to_the_right_is_a_turn_to_the_right(tub):
    frames = load_frames(tub, 40, 80)
    assert SPACE.names == ('linear_x', 'angular_z')
    steering = np.array([record.steering for record in read_tub(tub)])
    np.testing.assert_allclose(frames.actions[:, 1], -steering, atol=1e-6)
    np.testing.assert_allclose(frames.actions[:, 0], 0.5, atol=1e-6)


def test_an_empty_tub_is_refused(tub, tmp_path):
    (tmp_path / 'manifest.json').write_text('[]\n{"paths": [], "deleted_indexes": []}\n')
    with pytest.raises(EpisodeError, match='there is none; record a drive'):
        load_frames(tmp_path, 40, 80)


def test_a_mirrored_picture_has_mirrored_features_and_the_networks_turn_round():
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (3, 40, 80, 3), dtype=torch.uint8)
    gradients = Gradients()
    torch.testing.assert_close(gradients(pictures.flip(2)), mirrored(gradients(pictures)))
    policy = TrackPolicy(_NETWORK).eval()
    torch.nn.init.zeros_(policy.linear.weight)
    torch.nn.init.zeros_(policy.linear.bias)
    state = torch.zeros(3, _NETWORK.state_size)
    there, back = policy(pictures, state)[0], policy(pictures.flip(2), state)[0]
    torch.testing.assert_close(there * torch.tensor([1.0, -1.0]), back, rtol=1e-4, atol=1e-5)
    assert there.abs().max() > 0.01


def test_light_and_shadow_change_no_orientation():
    picture = torch.from_numpy(_line(0.4, (40, 80)))[None]
    features = Gradients()(torch.cat([picture, picture // 2]))
    assert (features[0, :9] - features[1, :9]).abs().max() < 0.05 < features[0, :9].max()


def test_the_memory_is_the_weighted_mean_of_what_was_foretold():
    torch.manual_seed(0)
    chunks, memory = torch.randn(6, 1, 4, 2), torch.zeros(1, 4, 3)
    for number, chunk in enumerate(chunks):
        blended, memory = blend(chunk, memory, 0.6)
        ages = range(min(number + 1, 4))
        weights = torch.tensor([0.6 ** age for age in ages])
        foretold = torch.stack([chunks[number - age, 0, age] for age in ages])
        torch.testing.assert_close(blended[0, 0], (weights[:, None] * foretold).sum(0)
                                   / weights.sum())


@pytest.mark.parametrize('centred', [True, False])
def test_the_dual_ridge_is_the_primal_one(centred):
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(30, 7)), rng.normal(size=(30, 2))
    train, test, strength = np.arange(20), np.arange(20, 30), 8
    ridge = Ridge(features @ features.T, target[train], train, centred)
    mean, offset = features[train].mean(0) * centred, target[train].mean(0) * centred
    rows = features[train] - mean
    penalty = STRENGTHS[strength] * np.trace(rows @ rows.T) / 20 * np.eye(7)
    weights = np.linalg.solve(rows.T @ rows + penalty, rows.T @ (target[train] - offset))
    expected = (features[test] - mean) @ weights + offset
    np.testing.assert_allclose(ridge.predict(test, strength), expected)
    found, bias = ridge.weights(features, strength)
    np.testing.assert_allclose(features[test] @ found + bias, expected)


def test_histograms_tell_the_direction_of_an_edge_and_not_its_contrast():
    flat, upright = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    flat[16:], upright[:, 16:] = 200, 200
    across, along = gradient_histogram(flat), gradient_histogram(upright)
    assert len(across) == 3 * 3 * 4 * 9
    assert across @ along < 0.1 * (across @ across)
    np.testing.assert_allclose(gradient_histogram(upright // 2), along, atol=1e-3)


def test_mirrored_ridge_is_ridge_on_both_ways_round():
    frames = _frames(130)
    fold = blocked(np.arange(130), 3)[1]
    grey = np.concatenate([frames.grey, frames.grey[:, :, ::-1]])
    features = np.stack([gradient_histogram(picture) for picture in grey]).astype(np.float64)
    ridge = HistogramRidge(frames.grey, mirrored=True)
    found = ridge.predict(frames.actions, fold.train, fold.test, 2)
    both = np.concatenate([fold.train, fold.train + 130])
    target = np.concatenate([frames.actions[fold.train], frames.actions[fold.train] * [1, -1]])
    candidates = [Ridge(features @ features.T, target, both, True).predict(fold.test, strength)
                  for strength in range(len(STRENGTHS))]
    # The strength is scaled by another trace, so only nearly the same one is among them.
    assert min(np.abs(c[:, 1] - found[:, 1]).max() for c in candidates) < 0.1
    assert np.abs(found - frames.actions[fold.test]).mean() < 0.15


def test_the_linear_maps_weights_are_its_predictions():
    material = Material(_frames(80), _RECIPE)
    train, test = np.arange(50), np.arange(50, 80)
    linear = LinearMap(material, train, 4, (6, 8))
    weights, offsets = linear.weights(material)
    plain = torch.einsum('kaf,nf->nka', weights, material.features[test].flatten(1)) + offsets
    torch.testing.assert_close(plain, linear.predict(test), rtol=1e-4, atol=1e-5)


def test_a_fit_learns_steering_from_pictures_and_is_what_the_graph_runs(tmp_path):
    frames = _frames(130)
    material, fold = Material(frames, _RECIPE), blocked(np.arange(130), 3)[1]
    policy, tuned = fit(material, fold.train, _RECIPE)
    chunks = predict(policy, material, fold.test)
    driven = frames.actions[fold.test]
    assert np.abs(chunks[:, 0, 1] - driven[:, 1]).mean() < 0.6 * np.abs(driven[:, 1]).mean()
    state = torch.zeros(1, _NETWORK.state_size)
    with torch.inference_mode():
        for row, index in enumerate(fold.test[:6]):
            chunk, arrived, state = policy(torch.from_numpy(frames.images[index])[None], state)
            np.testing.assert_allclose(chunk[0].numpy(), chunks[row], atol=1e-5)
            assert float(arrived) == 0.0
    assert tuned.steps in (20, 40) and tuned.form in _RECIPE.forms()
    assert (policy.config.channels, policy.config.hidden) in _RECIPE.sizes
    assert export_policy(policy, tmp_path / 'policy.onnx') <= PARITY_BOUND


def test_what_is_tested_on_has_no_part_in_the_fit():
    frames = _frames(130)
    fold = blocked(np.arange(130), 3)[1]
    poisoned = frames.actions.copy()
    outside = np.setdiff1d(np.arange(130), fold.train)
    poisoned[outside] = 1.0
    other = TubFrames(frames.images, frames.grey, poisoned, frames.runs)
    first, second = (fit(Material(f, _RECIPE), fold.train, _RECIPE) for f in (frames, other))
    assert first[1] == second[1]
    for name, value in first[0].state_dict().items():
        torch.testing.assert_close(value, second[0].state_dict()[name], rtol=0, atol=0, msg=name)


def test_the_bundle_turns_the_way_the_road_does_and_takes_its_phrases_only(tub, tmp_path):
    config = build_bundle(tub, tmp_path / 'tub', _RECIPE, tmp_path / 'no-results.json')
    assert config.phrases and config.action_space.names == SPACE.names
    policy = load_policy(tmp_path / 'tub')
    with pytest.raises(NotUnderstood):
        policy.set_instruction('stop')
    policy.set_instruction('follow the track')
    right = policy.act(Frame(_line(0.8, (48, 96)), 0)).velocities
    policy.reset()
    left = policy.act(Frame(_line(-0.8, (48, 96)), 0)).velocities
    assert (right[0, 1] < -0.3) and (left[0, 1] > 0.3)
    assert 'not measured' in (tmp_path / 'tub' / 'README.md').read_text()


def test_a_study_is_kept_fold_by_fold_and_told(tub, tmp_path, monkeypatch):
    frames, said = load_frames(tub, 40, 80), []
    results = study.run_study(frames, _RECIPE, tmp_path, only=2, say=said.append)
    assert [r['fold'] for r in results] == [2]
    mae = results[0]['mae']
    assert mae['policy']['steering'] < 0.7 * mae['constant_mean']['steering']
    assert mae['policy']['both'] == pytest.approx(
        (mae['policy']['steering'] + mae['policy']['throttle']) / 2)
    assert results[0]['chunk']['hold'][0] == 0.0
    monkeypatch.setattr(study, '_run_fold', None)  # what is kept is not computed again
    assert study.run_study(frames, _RECIPE, tmp_path, only=2, say=said.append) == results
    page = write_report(results, _RECIPE, 'drive.tar.gz', tmp_path / 'docs').read_text('utf-8')
    assert '--tub drive.tar.gz --fold 2' in page
    assert (tmp_path / 'docs' / 'images' / 'tub.png').stat().st_size > 10_000
    kept = json.loads((tmp_path / 'docs' / 'tub.json').read_text())
    assert kept['summary']['folds'] == 1 and kept['made'] == results[0]['made']


def test_a_full_memory_names_a_smaller_batch_and_leaves_the_bundle(tub, tmp_path, monkeypatch):
    out = tmp_path / 'tub'
    out.mkdir()
    (out / 'config.json').write_text('of an earlier training')

    def full(*arguments):
        raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB')
    monkeypatch.setattr('vla_nav.training.tub.fit.train_member', full)
    result = CliRunner().invoke(cli.app, ['tub', '--tub', str(tub), '--out', str(out),
                                          '--batch', '8'])
    said = ' '.join(result.stderr.split())
    assert result.exit_code == 1 and 'error: out of memory: CUDA' in said, result.output
    assert '--batch 4, now 8' in said and 'is kept' in said
    assert [file.name for file in out.iterdir()] == ['config.json']
