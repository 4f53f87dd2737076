"""The two READMEs tell the same: commands, links, and the figures of their tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_REMEDY = 'README.md and README.ko.md differ: change both'


@pytest.fixture(scope='module')
def readmes():
    return [(_ROOT / name).read_text('utf-8') for name in ('README.md', 'README.ko.md')]


def _blocks(text):
    """Return the lines of all fenced code, without the indent of lists."""
    return [line.strip() for block in re.findall(r'^ *```\w*\n(.*?)^ *```', text, re.M | re.S)
            for line in block.splitlines()]


def _commands(text):
    """Return the commands within sentences; line breaks inside them do not count."""
    spans = re.findall(r'`([^`]+)`', re.sub(r'^ *```.*?^ *```', '', text, flags=re.M | re.S))
    return {' '.join(span.split()) for span in spans
            if re.match(r'(vla-nav|make|ros2|pip|colcon)\b', span)}


def _figures(text):
    """Return the numbers of each row of each table; the first column is prose."""
    rows = [line.strip('|').split('|')[1:] for line in text.splitlines() if line.startswith('|')]
    return [re.findall(r'\d+(?:\.\d+)?', ' '.join(cells)) for cells in rows]


def _links(text):
    return sorted(link for link in re.findall(r'\]\(([^)]+)\)', text)
                  if not link.startswith('README'))


@pytest.mark.parametrize('of', [_blocks, _commands, _figures, _links])
def test_both_readmes_tell_the_same(readmes, of):
    english, korean = map(of, readmes)
    assert english, 'there is nothing to compare: has the form of the README changed?'
    assert korean == english, _REMEDY


def test_they_lead_to_each_other_and_the_version_is_the_packages(readmes):
    english, korean = readmes
    assert '](README.ko.md)' in english and '](README.md)' in korean
    version, = re.findall(r"version='([^']+)'", (_ROOT / 'setup.py').read_text('utf-8'))
    assert f'README.md {version}판' in korean
