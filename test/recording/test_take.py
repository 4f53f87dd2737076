"""A take is kept whole with its audit, or leaves nothing behind."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from bags import START_NS, TYPES, drive, text
from rosbags.rosbag2 import Reader

from vla_nav.episodes.from_bag import episodes_from_bag, recorded
from vla_nav.recording.audit import audit
from vla_nav.recording.take import DISCARDED, Take

_NOON = datetime(2026, 11, 22, 12, 0, 0)
_IMAGES, _COMMANDS = '/camera/image_raw/compressed', '/cmd_vel'
_S = 10**9


def _record(directory, messages):
    take = Take(directory, _NOON, START_NS, (_IMAGES, _COMMANDS))
    for topic, arrival_ns, message in sorted(messages, key=lambda m: m[1]):
        kind = message.__msgtype__
        take.add(topic, kind, bytes(TYPES.serialize_cdr(message, kind)), arrival_ns)
    return take


def test_a_take_that_is_kept_converts_with_what_was_kept_with_it(tmp_path):
    take = _record(tmp_path, drive(20))
    assert not take.path.exists()  # nobody reads half a take
    found = take.keep({'instruction': '왼쪽으로', 'embodiment': 'omni'}, START_NS + 2 * _S)
    assert not any(one.complaint for one in found)
    episode, = episodes_from_bag(take.path)
    assert (episode.instruction, len(episode)) == ('왼쪽으로', 20)
    assert recorded(take.path)['audit'] == json.loads((take.path / 'audit.json').read_text())
    with Reader(take.path) as reader:
        assert reader.message_count == take.messages == 60


def test_of_a_discarded_take_only_the_count_is_left(tmp_path):
    for why in ('too dark', '너무 어두움'):
        _record(tmp_path, drive(5)).discard({'why': why})
    left, = (p for p in tmp_path.rglob('*') if p.is_file())
    assert left.name == DISCARDED
    assert [json.loads(line) for line in left.read_text('utf-8').splitlines()] == [
        {'take': '2026-11-22_12-00-00', 'why': why} for why in ('too dark', '너무 어두움')]


def test_two_takes_of_one_second_have_their_own_names(tmp_path):
    paths = []
    for _ in range(2):
        take = _record(tmp_path, drive(5))
        take.keep({}, START_NS + _S)
        paths.append(take.path.name)
    assert paths == ['2026-11-22_12-00-00', '2026-11-22_12-00-00_2']


def test_what_a_killed_recorder_left_is_in_nobodys_way(tmp_path):
    _record(tmp_path, drive(5))  # neither kept nor discarded
    take = _record(tmp_path, drive(5))
    take.keep({'instruction': 'go'}, START_NS + _S)
    assert len(list(episodes_from_bag(take.path))) == 1


def test_the_audit_counts_rates_gaps_and_silences():
    camera = [START_NS + i * _S // 20 for i in range(40) if i not in (10, 11, 12)]
    command = [START_NS + i * _S // 50 for i in range(50)]  # ends after one second of two
    found = {one.topic: one for one in audit(
        {'camera': camera, 'cmd_vel': command, 'e_stop': [START_NS]},
        ('camera', 'cmd_vel', 'odom'), START_NS, START_NS + 2 * _S)}
    assert (found['camera'].messages, found['camera'].rate_hz, found['camera'].gaps) == (37, 20, 1)
    assert found['camera'].longest_silence_s == pytest.approx(0.2)
    assert found['camera'].complaint == ''
    assert 'silent for 1.02 s' in found['cmd_vel'].complaint
    assert found['odom'].complaint == 'odom: no messages'
    assert found['e_stop'].complaint == '' and found['e_stop'].rate_hz is None


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError):
        Take(tmp_path / 'file' / 'bags', _NOON, START_NS, ())


def test_instructions_given_during_a_take_part_it(tmp_path):
    messages = drive(20) + [('/instruction', START_NS + _S, text('second'))]
    take = _record(tmp_path, messages)
    take.keep({'instruction': 'first'}, START_NS + 2 * _S)
    assert [e.instruction for e in episodes_from_bag(take.path)] == ['first', 'second']
