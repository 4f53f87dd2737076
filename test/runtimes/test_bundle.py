"""A bundle that is not exactly what it says is refused, naming file, key, value and remedy."""

from __future__ import annotations

import json

import pytest
from bundles import write_bundle

from vla_nav.contracts import PolicyError
from vla_nav.runtimes.bundle import BundleConfig, load_config, read_file


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / 'bundle')


def _edit(bundle, change):
    path = bundle / 'config.json'
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_config_survives_save_and_load(bundle, tmp_path):
    config = load_config(bundle)
    assert isinstance(config, BundleConfig)
    config.save(tmp_path)
    assert load_config(tmp_path) == config


@pytest.mark.parametrize('key, value, told', [
    ('format_version', 2, 'format_version is 2'),
    ('format_version', None, 'format_version is None'),
    ('chunk', 0, 'chunk is 0'),
    ('step_ns', -1, 'step_ns is -1'),
    ('max_observation_age_s', 0.0, 'max_observation_age_s is 0.0'),
    ('arrived_threshold', 1.5, 'arrived_threshold is 1.5'),
    ('image', {'height': 0, 'width': 128}, 'image.height is 0'),
    ('action_space', {'names': ['yaw'], 'low': [-1], 'high': [1]}, 'unknown action names'),
    ('files', {}, 'files.policy'),
    ('extra', 1, 'extra is 1'),
])
def test_wrong_keys_are_named_with_file_and_value(bundle, key, value, told):
    _edit(bundle, lambda data: data.update({key: value}))
    with pytest.raises(PolicyError) as caught:
        load_config(bundle)
    assert told in str(caught.value) and str(bundle / 'config.json') in str(caught.value)


@pytest.mark.parametrize('name', ['../policy.onnx', '/etc/passwd', 'sub/policy.onnx', '..', ''])
def test_files_outside_of_the_bundle_are_refused(bundle, name):
    _edit(bundle, lambda data: data['files']['policy'].update(name=name))
    with pytest.raises(PolicyError, match=r'files\.policy\.name'):
        load_config(bundle)


def test_a_changed_file_is_refused_before_it_is_parsed(bundle):
    with (bundle / 'policy.onnx').open('ab') as file:
        file.write(b'x')
    with pytest.raises(PolicyError, match=r'policy\.onnx: sha256 is .* copy the whole bundle'):
        read_file(bundle, load_config(bundle).files.policy)


def test_what_is_missing_is_named(bundle, tmp_path):
    with pytest.raises(PolicyError, match='no such policy bundle'):
        load_config(tmp_path / 'nowhere')
    with pytest.raises(PolicyError, match=r'config\.json: missing'):
        load_config(tmp_path)
    file = load_config(bundle).files.instruction
    (bundle / 'instruction.onnx').unlink()
    with pytest.raises(PolicyError, match=r'instruction\.onnx: cannot be read'):
        read_file(bundle, file)


def test_a_config_that_is_not_json_is_refused(bundle):
    (bundle / 'config.json').write_text('{"format_version": 1')
    with pytest.raises(PolicyError, match='cannot be read'):
        load_config(bundle)
    (bundle / 'config.json').write_text('[]')
    with pytest.raises(PolicyError, match='format_version is None'):
        load_config(bundle)
