"""Presets: they load, overrides reach them, and what is wrong is named with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_nav.policies.config import ConfigError, load_preset, presets

MEMBERS = {'kosmos2_clip_hybrid', 'simple_lstm_extended', 'robovlms_3d', 'clip_lstm',
           'hybrid_small', 'hybrid_wide', 'simple_lstm_small', 'robovlms_small'}


def test_every_member_has_a_preset_of_its_name() -> None:
    assert set(presets()) >= MEMBERS
    for name in presets():
        assert load_preset(name).name == name


def test_the_stated_heads() -> None:
    hybrid = load_preset('kosmos2_clip_hybrid').head
    assert (hybrid.kind, hybrid.layers, hybrid.hidden, hybrid.dropout) == ('lstm', 4, 4096, 0.1)
    assert hybrid.predictor == (1024, 512, 256)
    robovlms = load_preset('robovlms_3d')
    assert (robovlms.head.hidden, robovlms.window, robovlms.action.chunk) == (1024, 8, 10)
    assert load_preset('simple_lstm_extended').action.space.names == ('linear_x', 'linear_y')


def test_overrides_are_yaml_and_reach_into_sections() -> None:
    config = load_preset('hybrid_small', [
        'head.hidden=1024', 'train.lr=1e-5', 'backbone.resampler=null',
        'action.limits={linear_x: [0, 0.4], angular_z: 1}', 'backbone.clip.tune=lora'])
    assert config.head.hidden == 1024
    assert config.train.lr == 1e-5
    assert config.backbone.resampler is None
    assert config.action.space.low == (0.0, -1.0) and config.action.space.high == (0.4, 1.0)
    assert config.backbone.clip is not None and config.backbone.clip.tune == 'lora'


def test_windows_span_time_whatever_the_rate() -> None:
    assert load_preset('robovlms_3d', ['action.step_s=0.2']).window == 4
    assert load_preset('robovlms_3d', ['head.window_s=0.01']).window == 1


@pytest.mark.parametrize(('override', 'words'), [
    ('head.hiden=3', ('head.hiden', '3', 'hidden')),
    ('head.hidden=many', ('head.hidden', "'many'", 'integer')),
    ('head.kind=rnn', ('head.kind', "'rnn'", "'lstm'")),
    ('action.limits={sideways: 1}', ('action.limits', 'sideways', 'linear_x')),
    ('action.limits={linear_x: [0.1, 0.2]}', ('action.limits', 'contain 0')),
    ('train.precision=fp8', ('train.precision', "'fp8'", 'bf16')),
    ('backbone.small_vlm.widht=3', ('backbone.small_vlm.widht', 'width')),
    ('backbone={height: 96, width: 128}', ('backbone', 'nothing sees', 'small_conv')),
    ('backbone.small_conv=null', ('backbone', 'resampler=null')),
    ('head={kind: transformer, hidden: 9}', ('head', 'attention_heads')),
    ('head.hidden', ('expected key=value',)),
    ('name.first=a', ('name', 'no keys')),
    ('colour=blue', ('colour', 'backbone, fusion, head')),
])
def test_a_wrong_value_is_named_with_its_remedy(override: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as error:
        load_preset('hybrid_small', [override])
    for word in words:
        assert word in str(error.value).replace('[', '').replace(']', '') or \
            word in str(error.value)


def test_weights_that_train_are_not_kept_in_half_precision() -> None:
    with pytest.raises(ConfigError, match=r'backbone\.dtype=float32'):
        load_preset('clip_lstm', ['backbone.clip.tune=full'])


def test_a_preset_that_is_not_there_and_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='clip_lstm'):
        load_preset('cilp_lstm')
    with pytest.raises(ConfigError, match='cannot be read'):
        load_preset(tmp_path / 'none.yaml')
    for text in ('- a\n- b\n', 'a: [', '\x00'):
        path = tmp_path / 'bad.yaml'
        path.write_text(text)
        with pytest.raises(ConfigError, match=r'bad\.yaml'):
            load_preset(path)


def test_a_copy_of_a_preset_is_a_preset(tmp_path: Path) -> None:
    config = load_preset('clip_lstm')
    path = tmp_path / 'mine.yaml'
    path.write_text(config.model_dump_json())  # JSON is YAML
    assert load_preset(path) == config
