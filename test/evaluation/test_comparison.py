"""The page that compares policies, and what bundles say of their training."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bundles import write_bundle
from typer.testing import CliRunner

from vla_nav.cli import evaluate as cli
from vla_nav.episodes.fingerprint import picture_hash
from vla_nav.episodes.schema import Episode
from vla_nav.episodes.store import EpisodeRef, open_stored, write_episode
from vla_nav.evaluation import bundle_facts
from vla_nav.evaluation.baselines import DriveStatistics
from vla_nav.evaluation.comparison import write_comparison
from vla_nav.evaluation.curves import learning_curves
from vla_nav.evaluation.offline import PREDICTORS, measure, recorded_episodes

STATISTICS = DriveStatistics(np.full(3, 0.2), np.full(3, 0.2), np.full((4, 3), 0.2), 0, 0, 0)
HISTORY = [{'epoch': 1, 'train_loss': 0.4, 'validation_loss': 0.5, 'validation_mae': 0.3},
           {'epoch': 2, 'train_loss': 0.3, 'validation_loss': 0.4, 'validation_mae': 0.2}]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Return drives at 0.3 m/s, 20 pictures a second, in two scenarios and languages."""
    folder = tmp_path_factory.mktemp('data')
    rng = np.random.default_rng(0)
    for number in range(6):
        actions = np.zeros((12, 3), np.float32)
        actions[:, 0] = 0.3 + 0.01 * number
        write_episode(EpisodeRef(folder / f'{number}.h5'), Episode(
            rng.integers(0, 255, (12, 12, 16, 3), np.uint8), actions,
            np.arange(12) * 50_000_000 + number * 10**10, ('go', '가')[number % 2],
            scenario=f'cell_{number % 2}'))
    return folder


@pytest.fixture(scope='module')
def bundles(tmp_path_factory):
    root = tmp_path_factory.mktemp('bundles')
    return {name: write_bundle(root / name, (speed, 0, 0), image=(12, 16), chunk=3)
            for name, speed in (('near', 0.31), ('far', 0.5))}


def test_rows_of_a_chunk_are_compared_at_their_time(data, bundles):
    summary = measure(str(bundles['near']), recorded_episodes(data), STATISTICS)
    # 12 pictures 50 ms apart: row 2 is due 200 ms later, which 8 of them have a label for.
    assert len(summary['chunk_mae']) == 3
    assert summary['hold_mae'][2] == pytest.approx(
        np.mean([2 * (0.3 + 0.01 * n) for n in range(6)]) / 10 / 3, rel=0.5)
    for kind, names in (('scenarios', {'cell_0', 'cell_1'}), ('languages', {'en', 'ko'}),
                        ('wordings', {'put in other words'})):
        assert {*summary[kind]} == names
        assert all({*group} == {'episodes', *PREDICTORS} for group in summary[kind].values())
    low, high = (summary['mae']['policy'][key] for key in ('low', 'high'))
    assert low <= summary['mae']['policy']['value'] <= high
    assert summary['policy_minus']['constant mean']['high'] < 0


def test_the_page_stands_alone(data, bundles, tmp_path):
    summaries = {name: measure(str(bundle), recorded_episodes(data), STATISTICS)
                 for name, bundle in bundles.items()}
    write_comparison(tmp_path / 'index.html', summaries, {'near': HISTORY, 'far': []})
    page = (tmp_path / 'index.html').read_text()
    assert page.count('data:image/png;base64,') == 2 and 'src="http' not in page
    assert 'cell_1' in page and 'class="worse"' in page
    assert 'By language' in page and '<td>ko</td><td>3</td>' in page
    assert 'By wording' in page
    for name, speed in (('near', 0.31), ('far', 0.5)):
        off = np.mean([abs(speed - 0.3 - 0.01 * n) for n in range(6)])
        assert f'<td>{name}</td><td>linear_x</td><td>{off:.4f}</td>' in page


def test_curves_are_a_picture():
    assert learning_curves({'one': HISTORY}).startswith(b'\x89PNG')


def test_what_a_policy_was_trained_on_is_left_out(data, bundles, tmp_path):
    prints = []
    for path in sorted(data.glob('*.h5')):
        with open_stored(EpisodeRef(path)) as episode:
            prints.append(picture_hash(episode))
    bundle = write_bundle(tmp_path / 'seen', (0.3, 0, 0), image=(12, 16), chunk=3)
    (bundle / 'split.json').write_text(json.dumps(
        {'train': prints[:2], 'validation': prints[2:3], 'test': prints[3:]}))
    result = CliRunner().invoke(cli.app, [
        'offline', '--policy', str(bundle), '--policy', str(bundles['far']), '--data', str(data),
        '--out', str(tmp_path / 'out'), '--json'])
    assert result.exit_code == 0, (result.output, result.exception)
    both = json.loads(result.stdout)
    assert [summary['episodes'] for summary in both.values()] == [3, 3]
    assert (tmp_path / 'out' / 'index.html').exists()
    assert json.loads((tmp_path / 'out' / 'seen' / 'summary.json').read_text())['samples'] == 36


def test_baselines_know_what_the_bundle_was_trained_on(bundles, tmp_path):
    bundle = write_bundle(tmp_path / 'told', image=(12, 16), chunk=3)
    assert bundle_facts.training_statistics(str(bundle)) is None
    config = json.loads((bundle / 'config.json').read_text())
    config['training'] = {'statistics': {
        'axes': ['angular_z', 'linear_x'], 'mean': [0.5, 0.1], 'median': [0.4, 0.2],
        'by_step': [[0.0, 0.3], [0.6, 0.0]]}}
    (bundle / 'config.json').write_text(json.dumps(config))
    known = bundle_facts.training_statistics(str(bundle))
    assert known.mean.tolist() == [0.1, 0, 0.5]
    assert known.by_step.tolist() == [[0.3, 0, 0], [0, 0, 0.6]]
