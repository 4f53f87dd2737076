"""``vla-nav data`` from the shell: exit status, JSON, conversion of a real tub."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from vla_nav.cli.data import app


@pytest.fixture
def run():
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


def test_a_real_tub_becomes_episodes_that_lint_accepts(donkeycar_tub, tmp_path, run):
    out = tmp_path / 'episodes'
    assert run('from-tub', donkeycar_tub, out, '--rate', 20).exit_code == 0
    told = json.loads(run('info', out, '--json').stdout)
    assert sum(episode['frames'] for episode in told['episodes']) == 1000
    assert {episode['rate_hz'] for episode in told['episodes']} == {20.0}
    assert '1000' not in run('info', out).stdout and 'tub_0004.h5' in run('info', out).stdout
    linted = run('lint', out, '--json')
    assert linted.exit_code == 0 and json.loads(linted.stdout) == []


def test_a_converted_tub_needs_its_true_rate(donkeycar_tub, tmp_path, run):
    run('from-tub', donkeycar_tub, tmp_path)
    linted = run('lint', tmp_path)
    assert linted.exit_code == 1 and '--rate' in linted.stdout


def test_errors_give_a_status_and_name_the_file(donkeycar_tub, tmp_path, run):
    run('from-tub', donkeycar_tub, tmp_path, '--rate', 20)
    cut = tmp_path / 'tub_0002.h5'
    cut.write_bytes(cut.read_bytes()[:5000])
    linted = run('lint', tmp_path)
    assert linted.exit_code == 1 and str(cut) in linted.stdout
    told = run('info', tmp_path, '--json')
    assert told.exit_code == 1 and str(cut) in json.loads(told.stdout)['unreadable'][0]
    found = json.loads(run('lint', tmp_path, '--validation', tmp_path, '--json').stdout)
    assert {(f['severity'], f['field']) for f in found} == {('error', 'file'),
                                                            ('error', 'actions')}


def test_a_path_that_is_not_there_is_told_without_a_traceback(tmp_path, run):
    for command in (['lint', tmp_path / 'x'], ['info', tmp_path / 'x'],
                    ['from-tub', tmp_path / 'x', tmp_path / 'out']):
        result = run(*command)
        assert result.exit_code == 2 and 'no such' in result.stderr
