"""Checkpoints that are missing, incomplete or of another size: the message says what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import checkpoints
import huggingface_hub.constants
import pytest

from vla_nav.policies.config import load_preset
from vla_nav.policies.family import FamilyPolicy, WeightsError


def build(folders: dict[str, Path], *more: str) -> FamilyPolicy:
    name = 'clip_lstm' if 'kosmos2' not in folders else 'simple_lstm_extended'
    return FamilyPolicy(load_preset(name, [*checkpoints.overrides(folders), *more]))


@pytest.mark.parametrize(('missing', 'says'), [
    ('config.json', 'there is no config.json'),
    ('model.safetensors.index.json', 'there is no model.safetensors'),
    ('tokenizer.json', 'tokenizer.json'),
    ('preprocessor_config.json', 'there is no preprocessor_config.json')])
def test_a_missing_file_is_named(missing: str, says: str, tiny_checkpoints: dict[str, Path],
                                 tmp_path: Path) -> None:
    folder = tmp_path / 'clip'
    shutil.copytree(tiny_checkpoints['clip'], folder)
    (folder / missing).unlink()
    if missing == 'tokenizer.json':
        (folder / 'tokenizer_config.json').unlink()
    with pytest.raises(WeightsError) as error:
        build({'clip': folder})
    assert f'backbone.clip.source={folder}' in str(error.value)
    assert says in str(error.value) and 'Place' in str(error.value)


def test_without_the_hub_the_message_says_which_files_to_place(
        tiny_checkpoints: dict[str, Path], tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(WeightsError) as error:
        FamilyPolicy(load_preset('simple_lstm_extended'))
    for word in ('backbone.kosmos2.source=DIRECTORY', 'model.safetensors', 'tokenizer.json',
                 'preprocessor_config.json', 'hf download microsoft/kosmos-2-patch14-224'):
        assert word in str(error.value)


def test_an_incomplete_checkpoint_is_not_filled_with_random_weights(
        tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    folder = tmp_path / 'kosmos2'
    shutil.copytree(tiny_checkpoints['kosmos2'], folder)
    shards = sorted(folder.glob('*.safetensors'))
    tensors = {k: v for shard in shards for k, v in load_file(shard).items()}
    tensors = {k: v for k, v in tensors.items() if 'image_to_text_projection.dense' not in k}
    for shard in shards:
        shard.unlink()
    (folder / 'model.safetensors.index.json').unlink()
    save_file(tensors, folder / 'model.safetensors', {'format': 'pt'})
    with pytest.raises(WeightsError, match='image_to_text_projection'):
        build({'kosmos2': folder})


def test_a_damaged_shard_is_refused(tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / 'clip'
    shutil.copytree(tiny_checkpoints['clip'], folder)
    shard = sorted(folder.glob('*.safetensors'))[0]
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(WeightsError, match='cannot be used'):
        build({'clip': folder})


def test_pictures_of_another_size_are_refused_with_the_right_one(
        tiny_checkpoints: dict[str, Path]) -> None:
    with pytest.raises(WeightsError, match='set both to 32'):
        build({'clip': tiny_checkpoints['clip']}, 'backbone.height=48')
