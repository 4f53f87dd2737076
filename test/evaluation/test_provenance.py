"""Figures say which code made them, and do not name a commit that is not theirs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from vla_nav.evaluation.provenance import made, provenance, together

_DAY = r'\d{4}-\d\d-\d\d'


def git(folder: Path, *words: str) -> str:
    who = ('-c', 'user.name=nobody', '-c', 'user.email=nobody@example.com')
    return subprocess.run(['git', '-C', str(folder), *who, *words], check=True, text=True,
                          capture_output=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """Return a repository that holds a package of this name."""
    module = tmp_path / 'vla_nav' / '__init__.py'
    module.parent.mkdir()
    module.write_text('')
    git(tmp_path, 'init')
    git(tmp_path, 'add', '.')
    git(tmp_path, 'commit', '-m', 'first')
    return tmp_path


def test_the_commit_and_whether_the_code_is_as_committed(checkout):
    commit = git(checkout, 'rev-parse', '--short', 'HEAD')
    assert re.fullmatch(f'{commit}, {_DAY}', made(checkout))
    (checkout / 'vla_nav' / '__init__.py').write_text('changed = True\n')
    assert re.fullmatch(f'{commit} with changes, {_DAY}', made(checkout))


def test_a_package_within_another_repository_has_no_commit(checkout):
    inner = checkout / 'installed' / 'vla_nav'
    inner.mkdir(parents=True)
    (inner / '__init__.py').write_text('')
    assert re.fullmatch(_DAY, made(inner.parent))


def test_parts_of_several_times_are_all_named():
    assert together(['b, 1', 'a, 2', '', 'b, 1']) == 'b, 1 and a, 2 and unknown'
    assert provenance(['b, 1'])['made'] == 'b, 1'


def test_figures_of_an_unknown_time_are_not_given_today():
    assert provenance(['', ''])['made'] == 'unknown'
    assert re.search(_DAY, provenance()['made']) and provenance()['machine']['cores'] > 0
