"""Full size, without memory for the weights: counts, and the published checkpoints' shapes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import checkpoints
import pytest
import torch
from typer.testing import CliRunner

from vla_nav.cli import policies as command
from vla_nav.policies.config import FamilyConfig, load_preset, presets
from vla_nav.policies.counts import Counts, count
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.family_page import page

HERE = Path(__file__).parent
Counted = list[tuple[Counts, FamilyConfig]]


@pytest.fixture(scope='module')
def counted() -> Counted:
    """Return every preset and variant with its counts."""
    configs = [config for name in presets() for config in command._variants(name)]
    return [(count(config), config) for config in configs]


def test_every_preset_builds_at_full_size_and_all_is_counted(counted: Counted) -> None:
    assert {config.name for _, config in counted} == set(presets())
    for counts, _ in counted:
        assert sum(counts.parts.values()) == counts.total
        assert 0 < counts.learns <= counts.total


def test_the_stated_head_is_what_it_must_be(counted: Counted) -> None:
    sizes = {(config.name, config.head.hidden): counts for counts, config in counted}
    # Four gates, each with input, recurrent and two bias weights, in four layers.
    lstm = sum(4 * (inputs * 4096 + 4096 * 4096 + 2 * 4096) for inputs in (2048, *[4096] * 3))
    hybrid = sizes['kosmos2_clip_hybrid', 4096]
    assert hybrid.parts['head'] == lstm > 0.5e9
    assert 1.66e9 < sum(v for k, v in hybrid.parts.items() if k.startswith('Kosmos')) < 1.67e9
    assert 0.150e9 < sum(v for k, v in hybrid.parts.items() if k.startswith('CLIP')) < 0.152e9
    assert hybrid.total > 2.3e9 > 1.9e9 > sizes['kosmos2_clip_hybrid', 1024].total
    assert hybrid.learns < hybrid.total - 1.8e9  # both backbones are frozen


def test_the_page_is_what_the_networks_say(counted: Counted) -> None:
    written = (HERE.parents[1] / 'docs' / 'family.md').read_text('utf-8')
    assert written == page(counted), \
        'run: vla-nav policies list --format markdown > docs/family.md'


@pytest.mark.parametrize('part', ['kosmos2', 'clip'])
def test_full_size_backbones_have_the_names_and_shapes_of_the_published(part: str) -> None:
    manifest = json.loads(gzip.decompress((HERE / 'manifest.json.gz').read_bytes()))
    with torch.device('meta'):
        policy = FamilyPolicy(load_preset('kosmos2_clip_hybrid'), 'random')
    mine = {name: list(value.shape)
            for name, value in policy.backbones[part].model.state_dict().items()}
    published = manifest[part]['parameters']
    for name in manifest[part]['not_used']:
        del published[name]
    assert mine == published


def test_a_forward_at_any_size_reports_itself(tiny_checkpoints: dict[str, Path]) -> None:
    arguments = ['forward', 'robovlms_3d', '--steps', '2',
                 *checkpoints.overrides(tiny_checkpoints)]
    for more in ([], ['--pretrained']):
        result = CliRunner().invoke(command.app, [*arguments, *more])
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert report['finite'] and 0 < report['p50_ms'] <= report['p99_ms']
        assert report['weights'] == ('pretrained' if more else 'random')
        assert report['peak_memory_gib'] > 0


def test_a_wrong_override_is_told_without_a_traceback() -> None:
    result = CliRunner().invoke(command.app, ['forward', 'robovlms_3d', 'head.hidden=[]'])
    assert result.exit_code == 1
    assert 'head.hidden' in result.output and 'Traceback' not in result.output
