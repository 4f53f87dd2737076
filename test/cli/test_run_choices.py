"""What `vla-nav run` takes where nothing is said: the bundle for the source, and its phrase."""

from __future__ import annotations

import pytest

from vla_nav.cli.run import _made_for, _plan_simulation, _plan_source


def test_a_tub_is_driven_by_the_policy_made_for_it(tmp_path):
    (tmp_path / 'tub').mkdir()
    assert _made_for(str(tmp_path / 'tub')) == 'models/compact'
    (tmp_path / 'tub' / 'manifest.json').write_text('[]\n{}\n')
    assert _made_for(str(tmp_path / 'tub')) == 'models/tub'
    assert _made_for('drives/tub.tar.gz') == 'models/tub'
    assert _made_for('drive.mp4') == _made_for('0') == 'models/compact'


def test_a_policy_with_one_task_is_told_that_task():
    plan = _plan_source('drives/tub.tar.gz', '', 'models/tub', '')
    assert plan.instruction == plan.arguments['instruction'] == 'follow the track'
    assert plan.arguments['policy'].endswith('models/tub')
    said = _plan_source('drive.mp4', '', 'models/compact', '').instruction
    assert 'box' in said
    assert _plan_source('tub.tar.gz', 'turn round', 'models/tub', '').instruction == 'turn round'


def test_the_simulator_has_no_such_task():
    with pytest.raises(ValueError, match='knows one task, "follow the track"'):
        _plan_simulation('', '', 1_000_000, 'models/tub', '')
