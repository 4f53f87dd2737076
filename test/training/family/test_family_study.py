"""Simulated drives as recordings, and the study that goes on where it was cut off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vla_nav.contracts import NotUnderstood
from vla_nav.episodes.lint import lint
from vla_nav.language.intent import Intent
from vla_nav.spaces import OMNI_3D
from vla_nav.training.family import study
from vla_nav.training.family.partition import partition
from vla_nav.training.family.problems import TrainingError
from vla_nav.training.family.recordings import read_recordings
from vla_nav.training.family.simulated import intent_of, wording, write_recordings
from vla_nav.training.pictures import save_pictures

INTENTS = (Intent('left', 'cup', 'red'), Intent('right', 'ball', 'blue'))


class Willing:
    """Takes every sentence."""

    def read(self, text):
        return text


def rollouts(folder: Path, drives: int = 9) -> Path:
    """Write shards as the compact policy's collection does."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = [(seed, INTENTS) for seed in range(drives) for _ in range(6)]
    count = len(rows)
    fields = {
        'chunks': rng.uniform(-1, 1, (count, 2, 8, 3)).astype(np.float32),
        'features': np.stack([np.stack([i.features() for i in intents]) for _, intents in rows]),
        'episode': np.array([seed for seed, _ in rows]), 'family': np.zeros(count, np.int64),
        'arrived': (np.arange(count) % 6 == 5)[:, None] * np.float32([1, 0])}
    save_pictures(folder / '0000000', list(rng.integers(0, 255, (count, 24, 32, 3), np.uint8)))
    for name, values in fields.items():
        np.save(folder / f'0000000.{name}.npy', values)
    return folder


@pytest.mark.parametrize('intent', [
    *INTENTS, Intent('left', 'thing'), Intent('right', 'cone', 'green', 'left')])
def test_features_tell_the_intent(intent):
    tint = np.zeros(13, np.float32)
    tint[10:] = 0.05 * (intent.colour is not None)
    assert intent_of(intent.features() + tint) == intent


def test_each_drive_becomes_two_recordings_of_the_same_pictures(tmp_path):
    source = rollouts(tmp_path / 'expert')
    noted = []
    assert write_recordings(source, tmp_path / 'out', Willing(), lambda: noted.append(1)) == 18
    assert len(noted) == 9 and not lint(tmp_path / 'out')
    recordings = read_recordings([tmp_path / 'out'], OMNI_3D.names)
    driven, other = recordings[:2]
    assert (driven.success, other.success) == (True, False)
    assert driven.pictures == other.pictures and driven.driven != other.driven
    assert {r.scenario for r in recordings} == {'plain_left', 'plain_right'}
    wanted = OMNI_3D.denormalise(np.load(source / '0000000.chunks.npy')[:6, 0, 0])
    np.testing.assert_allclose(driven.actions, wanted)
    # One drive under two texts must not be in two parts.
    for part in partition(recordings, 'scenario', 0.2, 0.2):
        assert len(part) == 2 * len({r.pictures for r in part})
    # What is there is kept.
    assert write_recordings(source, tmp_path / 'out', Willing(), lambda: noted.append(1)) == 18
    assert len(noted) == 9


def test_words_that_the_reader_refuses_are_not_written():
    class Picky:
        def read(self, text):
            if 'cup' not in text.lower():
                raise NotUnderstood(text)
    text = wording(INTENTS[0], Picky(), np.random.default_rng(0))
    assert 'cup' in text.lower()
    with pytest.raises(NotUnderstood, match='train the reader'):
        wording(INTENTS[1], Picky(), np.random.default_rng(0))


OFFLINE = {'mae': {name: {'value': value, 'low': value / 2, 'high': 2 * value} for name, value in {
    'policy': 0.1, 'constant mean': 0.3, 'step-index': 0.2, 'image-blind': 0.05,
    'text-blind': 0.2}.items()}}
LOOP = {'success_rate': 0.75, 'ci95': [0.6, 0.9], 'episodes': 4, 'side_accuracy': 1.0,
        'goal_accuracy': 1.0}
TRAINED = {'parameters': 1000, 'frames': 90_000, 'episodes': 600, 'steps': 7000,
           'memory_steps': 3000, 'seconds': 60.0, 'weights': [0.5, 0.3, 0.2],
           'validation_episodes': 3, 'test_episodes': 4,
           'ensemble_minus_best': {'value': -0.01, 'low': -0.02, 'high': 0.0}}


def test_a_study_goes_on_where_it_was_and_gives_a_table(tmp_path, monkeypatch):
    commands, broken = [], ['robovlms_small']

    def run(words, check):
        words = words[3:]
        commands.append(words)
        out = Path(words[words.index('--out') + 1])
        if out.name in broken:
            return SimpleNamespace(returncode=1)
        out.mkdir(parents=True)
        (out / 'metrics.json').write_text(json.dumps(TRAINED))
        (out / 'config.json').write_text('{}')
        (out / 'summary.json').write_text(json.dumps(LOOP))
        if 'offline' in words:
            for name in (Path(word).name for word in words if words[words.index(word) - 1]
                         == '--policy'):
                (out / name).mkdir()
                (out / name / 'summary.json').write_text(json.dumps(OFFLINE))
            (out / 'index.html').touch()
        return SimpleNamespace(returncode=0)
    monkeypatch.setattr(study.subprocess, 'run', run)
    for name in ('_drive', '_record'):
        monkeypatch.setattr(study, name, lambda *arguments: None)
    monkeypatch.setattr(study, 'made', lambda: f'commit {len(broken)}')
    said = []
    with pytest.raises(TrainingError, match=r'failed: vla-nav train small robovlms_small'):
        study.run_study(tmp_path / 'work', study.QUICK, tmp_path, said.append)
    done = len(commands)
    broken.clear()
    page = study.run_study(tmp_path / 'work', study.QUICK, tmp_path, said.append)
    assert commands[done][2] == 'robovlms_small'  # what was done is not done again
    # One training, the ensemble, all four compared, each driven with three texts.
    assert len(commands) - done == 3 + 4 * 3
    row = next(line for line in page.splitlines() if line.startswith('| hybrid_small'))
    assert '0.1000' in row and '0.333' in row and 'yes, **no**, yes' in row and '0.750' in row
    assert '| hybrid_small | 1,000 | 90,000 | 600 | 7,000 | 3,000 | 1 |' in row
    assert 'vla-nav evaluate closed-loop' in page
    kept = json.loads((tmp_path / 'work' / 'study.json').read_text())
    for key in ('frames', 'episodes', 'steps', 'memory_steps', 'seconds'):
        assert kept['members']['hybrid_small'][f'training_{key}'] == TRAINED[key]
    # Two members are of the first sitting, by the commit of that time.
    assert set(kept['made'].split(' and ')) == {'commit 1', 'commit 0'}
    assert kept['machine']['cores'] > 0
    # Nobody is validated on what it learns from, and all learn from the same.
    for words in commands[:3]:
        frames, unseen = (words[words.index(f'--{name}') + 1] for name in ('frames', 'unseen'))
        assert frames != unseen and (frames, unseen) == (
            str(tmp_path / 'work' / 'drives'), str(tmp_path / 'work' / 'unseen'))


def test_frames_that_are_not_there_are_named_before_anything_is_driven(tmp_path):
    plan = replace(study.QUICK, frames=tmp_path / 'nothing')
    with pytest.raises(TrainingError, match=r'no frames in .*nothing.*vla-nav train compact'):
        study.run_study(tmp_path / 'work', plan, tmp_path)
    assert not (tmp_path / 'work').exists()
