"""A bag is read message by message, and what is left of a damaged one too."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing

import pytest
from bags import drive, write_bag

from vla_nav.episodes.bag_folders import bag_bytes, bags_below, storage_files
from vla_nav.episodes.bag_order import in_order
from vla_nav.episodes.bag_reader import open_recording
from vla_nav.episodes.schema import EpisodeError
from vla_nav.replay.topics import played_roles

# All that rosbags can write.
_COMPRESSED = [('mcap', 'message'), ('mcap', 'file'), ('mcap', 'storage'), ('sqlite3', 'message'),
               ('sqlite3', 'file')]


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
@pytest.mark.parametrize('storage, compression', _COMPRESSED)
def test_what_is_compressed_comes_as_it_was(tmp_path, storage, compression, keep_metadata,
                                            messages):
    plain, bag = (write_bag(tmp_path / name, messages, storage, compression=how)
                  for name, how in (('plain', 'none'), ('bag', compression)))
    if not keep_metadata:
        (bag / 'metadata.yaml').unlink()
    with open_recording(plain) as expected, open_recording(bag) as recording:
        for one, other in zip(expected.messages(), recording.messages(), strict=True):
            assert (one.topic.name, *one[1:]) == (other.topic.name, *other[1:])
        assert recording.problems == ([] if keep_metadata else [
            'metadata.yaml is missing; the 1 storage files are read'])
    file, = storage_files(bag)
    assert (file.suffix == '.zstd') == (compression == 'file')
    assert bag_bytes(bag) == file.stat().st_size > 0
    assert bags_below([tmp_path]) == [bag, plain]
    if compression == 'file':  # as a path of its own
        found, recording = _read(file)
        assert len(found) == len(messages) and recording.problems == []


@pytest.mark.parametrize('keep_metadata', [True, False])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_of_a_compressed_file_that_was_cut_off_the_whole_messages_come(
        tmp_path, storage, keep_metadata, messages):
    bag = write_bag(tmp_path / 'bag', messages * 20, storage, compression='file')
    file, = storage_files(bag)
    file.write_bytes(file.read_bytes()[:int(file.stat().st_size * 0.7)])
    if not keep_metadata:
        (bag / 'metadata.yaml').unlink()
    found, recording = _read(bag)
    assert 0.3 * len(messages) * 20 < len(found) < 0.8 * len(messages) * 20
    assert any(f'{file.name} was cut off' in problem for problem in recording.problems)


def test_what_was_being_compressed_in_a_crash_is_read_once(tmp_path, messages):
    bag, packed = (write_bag(tmp_path / how / 'bag', messages, compression=how)
                   for how in ('none', 'file'))
    (bag / 'metadata.yaml').unlink()
    (bag / 'bag.mcap.zstd').write_bytes((packed / 'bag.mcap.zstd').read_bytes()[:5000])
    found, _ = _read(bag)
    assert len(found) == len(messages)


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


@pytest.mark.parametrize('keep_metadata', [True, False])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_damaged_compressed_message_is_left_out_and_counted(tmp_path, storage, keep_metadata,
                                                              messages):
    bag = write_bag(tmp_path / 'bag', messages, storage, compression='message')
    file, = storage_files(bag)
    content = bytearray(file.read_bytes())
    frames = [one.start() for one in re.finditer(re.escape(b'\x28\xb5\x2f\xfd'), content)]
    # A reserved bit of the frame's header (RFC 8878, 3.1.1.1.1), in two messages of the first few.
    for at in frames[3:9:3]:
        content[at + 4] |= 0x08
    file.write_bytes(content)
    if not keep_metadata:
        (bag / 'metadata.yaml').unlink()
    found, recording = _read(bag)
    assert len(found) == len(messages) - 2
    counted = [problem for problem in recording.problems if 'compressed messages' in problem]
    assert sum(int(re.search(r': (\d+) ', problem)[1]) for problem in counted) == 2


def test_an_empty_topic_of_a_file_that_was_cut_off_is_told_from_a_full_one(tmp_path, messages):
    bag = write_bag(tmp_path / 'bag', messages * 20, 'sqlite3')
    file, = storage_files(bag)
    with closing(sqlite3.connect(file)) as database:
        database.execute("INSERT INTO topics SELECT 99, '/camera/image_raw/compressed', "
                         "'sensor_msgs/msg/CompressedImage', 'cdr', '', ''")
        database.commit()
    file.write_bytes(file.read_bytes()[:int(file.stat().st_size * 0.7)])
    found, recording = _read(bag)
    counts = {topic.name: topic.messages for topic in recording.topics}
    assert counts['/camera/image_raw/compressed'] == 0
    whole = [name for name, _ in found].count('/camera/image_raw')
    # Of the last messages no more than the heads may be there.
    assert 0 < whole <= counts['/camera/image_raw'] <= whole + 10
    with open_recording(bag) as recording:
        assert played_roles(recording, '', bag)[0].picture.name == '/camera/image_raw'


@pytest.mark.parametrize('keep_metadata', [True, False])
def test_what_lies_in_the_journal_of_a_crashed_recorder_is_read(tmp_path, keep_metadata, messages):
    bag, crashed = write_bag(tmp_path / 'bag', messages, 'sqlite3'), tmp_path / 'crashed'
    file, = storage_files(bag)
    with closing(sqlite3.connect(file)) as database:
        database.execute('PRAGMA journal_mode=WAL')
        database.execute('PRAGMA wal_autocheckpoint=0')
        database.execute('INSERT INTO messages (topic_id, timestamp, data) '
                         'SELECT topic_id, timestamp + 1000000000000, data FROM messages')
        database.commit()
        shutil.copytree(bag, crashed)  # as a recorder leaves it that is killed
    (crashed / f'{file.name}-shm').unlink()
    if not keep_metadata:
        (crashed / 'metadata.yaml').unlink()
    before = {path.name: path.read_bytes() for path in crashed.iterdir()}
    assert before[f'{file.name}-wal']
    for path in (crashed, crashed / file.name):
        found, recording = _read(path)
        assert len(found) == 2 * len(messages)
        assert any(f'{file.name}-wal is read too' in problem for problem in recording.problems)
    assert {path.name: path.read_bytes() for path in crashed.iterdir()} == before
    # One that belongs to nothing changes nothing.
    (crashed / f'{file.name}-wal').write_bytes(b'nothing' * 100)
    found, _ = _read(crashed)
    assert len(found) == len(messages)


@pytest.mark.parametrize('keep_metadata', [True, False])
@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_of_a_file_that_was_cut_off_what_is_out_of_order_comes_in_order(
        tmp_path, storage, keep_metadata, messages):
    # As recorders write: in the order of their callbacks.
    expected = sorted(((topic, at + 10**8 * 120 * run, message) for run in range(20)
                       for topic, at, message in messages), key=lambda m: m[1])
    written = list(expected)
    for i in range(0, len(written), 2):
        written[i], written[i + 1] = written[i + 1], written[i]
    bag = write_bag(tmp_path / 'bag', written, storage, in_order=False)
    file, = storage_files(bag)
    file.write_bytes(file.read_bytes()[:int(file.stat().st_size * 0.95)])
    if not keep_metadata:
        (bag / 'metadata.yaml').unlink()
    found, recording = _read(bag)
    assert len(found) > 0.8 * len(written)
    # The cut may lie between two that were swapped.
    assert found[:-1] == [(topic, at) for topic, at, _ in expected[:len(found) - 1]]
    assert not any('breaks off: Unindexed' in problem for problem in recording.problems)


def test_what_was_read_before_the_damage_comes_before_it_is_told():
    def damaged():
        yield from [('b', 20, b''), ('a', 10, b''), ('c', 30, b'')]
        raise ValueError('cut off')
    found = []
    with pytest.raises(ValueError, match='cut off'):
        found.extend(in_order(damaged()))
    # extend() keeps what came before the error.
    assert [name for name, _, _ in found] == ['a', 'b', 'c']


def test_what_is_far_out_of_order_is_lost_no_more_than_the_rest():
    arrivals = [10, 10**12, 20, 30, 2 * 10**9]
    found = [at for _, at, _ in in_order(('a', at, b'') for at in arrivals)]
    assert sorted(found) == sorted(arrivals)


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
