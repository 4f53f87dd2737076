"""A bag is read message by message, and what is left of a damaged one too."""

from __future__ import annotations

import pytest
from bags import drive, write_bag

from vla_nav.episodes.bag_reader import open_recording
from vla_nav.episodes.schema import EpisodeError


def _read(path):
    with open_recording(path) as recording:
        found = [(one.topic.name, one.arrival_ns) for one in recording.messages()]
        return found, recording


@pytest.fixture(scope='module')
def messages():
    return drive(120, transport='raw', command='stamped')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_every_message_comes_in_its_turn(tmp_path, storage, messages):
    found, recording = _read(write_bag(tmp_path / 'bag', messages, storage))
    assert found == [(topic, at) for topic, at, _ in sorted(messages, key=lambda m: m[1])]
    assert recording.problems == []
    assert {(t.name, t.messages) for t in recording.topics} == {
        ('/camera/image_raw', 120), ('/odom', 120), ('/cmd_vel', 120)}


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_without_metadata_the_storage_files_are_read(tmp_path, storage, messages):
    bag = write_bag(tmp_path / 'bag', messages, storage)
    (bag / 'metadata.yaml').unlink()
    found, recording = _read(bag)
    assert len(found) == len(messages)
    problem, = recording.problems
    assert 'metadata.yaml is missing' in problem


@pytest.mark.parametrize('keep_metadata', [True, False])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_of_a_file_that_was_cut_off_the_whole_messages_come(tmp_path, storage, keep_metadata,
                                                            messages):
    custom = {'who': 'recorder'}
    bag = write_bag(tmp_path / 'bag', messages * 20, storage, custom)
    file = next(path for path in bag.iterdir() if path.suffix in ('.mcap', '.db3'))
    file.write_bytes(file.read_bytes()[:int(file.stat().st_size * 0.7)])
    if not keep_metadata:
        (bag / 'metadata.yaml').unlink()
    found, recording = _read(bag)
    assert 0.3 * len(messages) * 20 < len(found) < 0.8 * len(messages) * 20
    assert any('cut off' in problem for problem in recording.problems)
    assert recording.custom == (custom if keep_metadata else {})


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_where_nothing_is_left_it_says_so(tmp_path, storage, messages):
    bag = write_bag(tmp_path / 'bag', messages, storage)
    file = next(path for path in bag.iterdir() if path.suffix in ('.mcap', '.db3'))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(EpisodeError, match='nothing can be read'):
        _read(bag)


def test_a_bag_that_is_not_there_is_named(tmp_path):
    with pytest.raises(EpisodeError, match='no such bag'):
        _read(tmp_path / 'nowhere')


def test_a_time_window_is_all_that_is_read(tmp_path, messages):
    with open_recording(write_bag(tmp_path / 'bag', messages)) as recording:
        picture, = (topic for topic in recording.topics if 'image' in topic.name)
        at = sorted(at for topic, at, _ in messages if 'image' in topic)[7]
        found, = recording.messages([picture], at, at + 1)
        assert (found.topic, found.arrival_ns) == (picture, at)
