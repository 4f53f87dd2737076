"""A policy with one task: it takes the ways to name that task, and nothing else."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from bundles import write_bundle

from vla_nav.contracts import Frame, NotUnderstood, PolicyError
from vla_nav.language.phrases import match_phrase
from vla_nav.runtimes import load_policy
from vla_nav.runtimes.bundle import BundleFile

_PHRASES = ('follow the track', '트랙을 따라가 주세요')


@pytest.mark.parametrize('text', ['follow the track', ' Follow  the\tTRACK.', 'Follow the track!'])
def test_case_spaces_and_a_final_stop_do_not_matter(text):
    assert match_phrase(text, _PHRASES) == 'follow the track'
    assert match_phrase('트랙을 따라가 주세요.', _PHRASES) == _PHRASES[1]


@pytest.mark.parametrize('text', ['', '.', 'stop', "don't follow the track", 'follow the track?',
                                  'follow the track and stop', 'follow', '트랙을 따라가지 마세요'])
def test_anything_else_is_refused_with_what_is_taken(text):
    with pytest.raises(NotUnderstood, match='takes only: "follow the track", "트랙을'):
        match_phrase(text, _PHRASES)


@pytest.fixture
def bundle(tmp_path):
    """Return a bundle without an instruction reader, whose graph takes no text."""
    path = write_bundle(tmp_path, actions=(0.3, 0.0, 0.5))
    (path / 'instruction.onnx').unlink()
    model = onnx.load(path / 'policy.onnx')
    model.graph.input.remove(next(i for i in model.graph.input if i.name == 'instruction'))
    onnx.save(model, path / 'policy.onnx')
    config = json.loads((path / 'config.json').read_text())
    config['phrases'] = list(_PHRASES)
    config['files'] = {'policy': BundleFile.of(path / 'policy.onnx').model_dump()}
    (path / 'config.json').write_text(json.dumps(config))
    return path


def test_a_bundle_with_phrases_drives_on_them_only(bundle, grey):
    policy = load_policy(bundle)
    assert policy.set_instruction('Follow the track.') == 'follow the track'
    assert policy.act(grey).velocities[0].tolist() == pytest.approx([0.3, 0.0, 0.5])
    with pytest.raises(NotUnderstood):
        policy.set_instruction('stop')
    with pytest.raises(PolicyError, match='no instruction'):
        policy.act(grey)


@pytest.mark.parametrize('phrases, told', [
    ([], 'either files.instruction'), (['follow', ' '], 'a phrase is empty')])
def test_one_way_to_read_there_must_be(bundle, phrases, told):
    config = json.loads((bundle / 'config.json').read_text())
    config['phrases'] = phrases
    (bundle / 'config.json').write_text(json.dumps(config))
    with pytest.raises(PolicyError, match=told):
        load_policy(bundle)


def test_a_reader_and_phrases_together_are_refused(tmp_path):
    path = write_bundle(tmp_path)
    config = json.loads((path / 'config.json').read_text())
    config['phrases'] = list(_PHRASES)
    (path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(PolicyError, match='give one of the two'):
        load_policy(path)


@pytest.fixture
def grey():
    """Return a grey picture."""
    return Frame(np.full((96, 128, 3), 128, np.uint8), 0)
