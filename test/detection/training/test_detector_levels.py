from __future__ import annotations

import pytest
from torch import nn

from vla_nav.detection.training import levels
from vla_nav.detection.training.yolo import ultralytics

_CLASSES = tuple(f'class {i}' for i in range(15))


def _build(level: str, activation: str = 'relu', width: float | None = None) -> nn.Module:
    return levels.build(levels.read_level(level, activation, width), _CLASSES)


@pytest.mark.parametrize('level, millions, gflops', [
    ('L0', 2.59, 6.51), ('L1', 2.84, 8.79), ('L2', 3.35, 10.49), ('L3', 3.57, 10.59),
    ('L4', 3.26, 9.32)])
def test_levels_have_their_published_size(level, millions, gflops):
    model = _build(level)
    assert levels.parameters(model) / 1e6 == pytest.approx(millions, abs=0.005)
    assert levels.gflops(model, 640) == pytest.approx(gflops, abs=0.01)


def _kinds(model: nn.Module) -> set[str]:
    return {type(module).__name__ for module in model.modules()}


def test_levels_replace_what_they_say():
    kinds = {level: _kinds(_build(level, width=0.0625)) for level in levels.LEVELS}
    assert {'C3k2', 'C2PSA', 'SPPF', 'DFL'} <= kinds['L0']
    assert 'C2f' in kinds['L1'] and 'C3k2' in kinds['L1']
    assert 'C3k2' not in kinds['L2'] and 'C2PSA' in kinds['L2']
    assert 'C2PSA' not in kinds['L3'] and {'SPPF', 'DFL'} <= kinds['L3']
    assert not {'C3k2', 'C2PSA', 'DFL'} & kinds['L4'] and 'SPPF' in kinds['L4']


def test_width_scales_the_channels_and_a_yaml_of_ones_own_is_taken(tmp_path):
    assert levels.parameters(_build('L3', width=0.125)) < 0.4 * levels.parameters(_build('L3'))
    own = tmp_path / 'mine.yaml'
    text = (levels.share_directory() / 'config' / 'detector' / 'L3.yaml').read_text()
    own.write_text(text.replace('width_multiple: 0.25', 'width_multiple: 0.125'))
    assert levels.parameters(_build(str(own))) == levels.parameters(_build('L3', width=0.125))


@pytest.mark.parametrize('arguments, word', [
    (('L9', 'relu'), 'L0, L1, L2, L3, L4'), (('L3', 'gelu'), 'leaky'),
    (('L3', 'relu', 0.0), '0.25')])
def test_what_does_not_exist_is_named_with_what_does(arguments, word):
    with pytest.raises(levels.LevelError, match=word):
        levels.read_level(*arguments)


def test_a_yaml_that_is_no_level_is_refused(tmp_path):
    for text, word in (('names: [a]', 'backbone'),
                       ('backbone: []\nhead: []\nend2end: true', 'end2end')):
        (tmp_path / 'own.yaml').write_text(text)
        with pytest.raises(levels.LevelError, match=word):
            levels.read_level(str(tmp_path / 'own.yaml'), 'relu')


def test_what_a_bundle_says_of_its_network_is_not_run_as_python(tmp_path):
    trace = tmp_path / 'trace'
    architecture = levels.read_level('L3', 'relu', 0.0625)
    architecture['activation'] = f'open({str(trace)!r}, "w")'
    with pytest.raises(TypeError):
        levels.build(architecture, _CLASSES)
    assert not trace.exists()


def test_the_library_is_offline_and_sends_nothing():
    with ultralytics('utils') as tools:
        assert not tools.AUTOINSTALL and not tools.ONLINE and not tools.SETTINGS['sync']
