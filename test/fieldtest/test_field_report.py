"""Recordings of a field test become its table: figures, stops, marks, and what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from bags import START_NS, drive, make, text, twist, twist_stamped, write_bag
from typer.testing import CliRunner

from vla_nav.cli.main import build
from vla_nav.episodes.schema import EpisodeError
from vla_nav.evaluation.metrics import wilson_interval
from vla_nav.fieldtest.report import field_report
from vla_nav.fieldtest.take import read_take
from vla_nav.recording.take import DISCARDED

_MS, _S = 10**6, 10**9
_BUNDLE = {'name': 'compact', 'sha256': 'ab'}


def _trial(count=40, asked=0.3, sent=0.3, states=((0, 'policy'),), task='driving'):
    """Return a drive with the policy's commands 30 ms after each picture, and cmd_vel 2 ms later.

    ``states`` are what the guard says, at seconds since the start.
    """
    messages = [message for message in drive(count) if message[0] != '/cmd_vel']
    for i in range(count):
        stamp = START_NS + i * 100 * _MS
        messages.append(('/cmd_vel_policy', stamp + 30 * _MS, twist_stamped(stamp, asked)))
        messages.append(('/cmd_vel', stamp + 32 * _MS, twist(sent)))
    messages += [('/guard/state', START_NS + round(at * _S), text(said)) for at, said in states]
    return [*messages, ('/policy/task_state', START_NS, text(task))]


def _kept(success=None, **changed):
    return {'vla_nav': json.dumps({'instruction': 'stop at the cup', 'scenario': 'hall',
                                   'bundle': _BUNDLE, 'success': success, **changed})}


def _take(path, success=None, messages=None, **changed):
    return write_bag(path, messages or _trial(), custom=_kept(success, **changed))


def test_latencies_are_those_between_the_stamps(tmp_path):
    row, durations = read_take(_take(tmp_path / 'take', True))
    assert (row['kind'], row['result'], row['scenario']) == ('trial', 'success', 'hall')
    assert row['latency_ms']['picture on arrival']['p50'] == 5.0
    assert row['latency_ms']['picture to proposal']['p99'] == 30.0
    assert row['latency_ms']['picture to cmd_vel']['p99'] == 32.0
    assert len(durations['picture to cmd_vel']) == 40
    assert row['topics']['pictures'] == {'messages': 40, 'rate_hz': 10.0, 'gaps': 0,
                                         'longest_silence_s': pytest.approx(0.1, abs=0.03)}
    assert row['problems'] == []


def test_what_is_driven_is_told_by_odometry_and_by_command(tmp_path):
    row, _ = read_take(_take(tmp_path / 'take', True))
    assert row['driven']['m'] == pytest.approx(3.9, abs=1e-6)  # 0.1 m a picture
    assert row['driven']['commanded_m'] == pytest.approx(0.3 * 3.9, abs=0.01)
    assert row['driven']['seconds'] == pytest.approx(3.9, abs=0.05)
    assert row['driven']['peak_m_s'] == pytest.approx(0.3)


def test_a_leap_of_the_odometry_is_not_driven(tmp_path):
    messages = _trial(20)
    for topic, _, message in messages[len(messages) // 3:]:
        if topic == '/odom':
            message.pose.pose.position.x += 50.0
    row, _ = read_take(_take(tmp_path / 'take', True, messages))
    assert row['driven']['m'] < 2.0
    assert any('odometry leaps' in problem for problem in row['problems'])


def test_stops_have_reasons_and_durations_and_people_are_told_apart(tmp_path):
    states = ((0, 'camera_lost'), (0.2, 'policy'), (1, 'policy, speed_cap'), (1.5, 'camera_lost'),
              (2, 'policy'), (2.5, 'teleop'), (3, 'policy'), (3.5, 'e_stop'))
    row, _ = read_take(_take(tmp_path / 'take', True, _trial(40, states=states)))
    # What was before the first drive is a start, not a stop.
    assert [(one['reason'], one['at_s'], one['seconds']) for one in row['stops']] == [
        ('camera_lost', 1.5, 0.5)]
    assert [one['reason'] for one in row['by_hand']] == ['teleop', 'e_stop']
    assert row['limited_s'] == {'speed_cap': 0.5}
    problem, = row['problems']
    assert 'marked a success, but a person stepped in (teleop at 2.5 s)' == problem


def test_latencies_count_only_while_the_policy_drives(tmp_path):
    stopped = _trial(40, states=((0, 'policy'), (2, 'held')))
    row, durations = read_take(_take(tmp_path / 'held', messages=stopped))
    assert len(durations['picture to proposal']) == 20
    row, durations = read_take(_take(tmp_path / 'arrived', messages=_trial(task='arrived')))
    assert row['arrived'] and not len(durations['picture to proposal'])
    assert row['latency_ms']['picture to proposal'] == {}


def test_marks_become_a_share_with_its_interval_and_the_rest_is_counted_apart(tmp_path):
    root = tmp_path / 'bags'
    marks = [True, True, False, None]
    for number, mark in enumerate(marks):
        _take(root / f'take{number}', mark, scenario='hall' if number else 'lab')
    _take(root / 'dry', True, _trial(sent=0.0))
    by_hand = [m for m in _trial(states=((0, 'teleop'),)) if m[0] != '/cmd_vel_policy']
    _take(root / 'demonstration', True, by_hand)
    write_bag(root / '.unfinished' / 'crashed', _trial())
    (root / DISCARDED).write_text(
        json.dumps({'take': 'x', 'why': 'discarded'}) + '\nnonsense\n')
    report = field_report([root, root / 'take0'], None)  # no take counts twice
    success = report['success']
    assert success['all'] == {'rate': 2 / 3, 'n': 3, 'ci95': list(wilson_interval(2, 3))}
    assert {name: (one['rate'], one['n']) for name, one in success['by_scenario'].items()} == {
        'hall': (0.5, 2), 'lab': (1.0, 1)}
    assert success['by_instruction']['stop at the cup']['n'] == 3
    assert report['counts'] == {
        'takes': 7, 'trials: success': 2, 'trials: failure': 1, 'trials: unmarked': 1,
        'trials: unfinished': 1, 'dry run': 1, 'by hand': 1, 'discarded': 1}
    assert any('line 2' in problem for problem in report['problems'])
    assert report['driven']['m'] == pytest.approx(5 * 3.9, abs=1e-3)  # trials only


def test_the_nodes_own_figures_are_read_where_they_were_recorded(tmp_path):
    def said(at, level, message, **values):
        status = make('diagnostic_msgs/msg/DiagnosticStatus', level=level, name='/robot/guard',
                      message=message, hardware_id='', values=[
                          make('diagnostic_msgs/msg/KeyValue', key=k, value=v)
                          for k, v in values.items()])
        stamp = make('builtin_interfaces/msg/Time', sec=0, nanosec=0)
        return ('/diagnostics', START_NS + at * _S, make(
            'diagnostic_msgs/msg/DiagnosticArray', status=[status],
            header=make('std_msgs/msg/Header', stamp=stamp, frame_id='')))
    messages = [*_trial(), said(1, 0, 'policy', picture_to_cmd_vel_p99_ms='20.5',
                                camera_hz='15.0', camera_age_ms='never'),
                said(2, 1, 'camera_lost', picture_to_cmd_vel_p99_ms='60.5', camera_hz='3.0')]
    row, _ = read_take(_take(tmp_path / 'take', messages=messages))
    guard = row['nodes']['guard']
    assert guard['figures'] == {
        'picture_to_cmd_vel_p99_ms': {'median': 40.5, 'worst': 60.5},
        'camera_hz': {'median': 9.0, 'worst': 3.0}}
    assert guard['complaints'] == {'camera_lost': 1}


@pytest.mark.parametrize(('left_out', 'said'), [
    ('/camera/image_raw/compressed', 'no pictures were recorded'),
    ('/cmd_vel', 'no commands were recorded'), ('/cmd_vel_policy', 'no proposals'),
    ('/guard/state', 'no guard were recorded'), ('/odom', None)])
def test_without_a_topic_the_rest_is_told(tmp_path, left_out, said):
    messages = [message for message in _trial() if message[0] != left_out]
    row, _ = read_take(_take(tmp_path / 'take', True, messages))
    assert row['kind'] == 'trial' and row['result'] == 'success'
    assert [said in problem for problem in row['problems']] == ([True] if said else [])


def test_a_camera_on_another_clock_is_named_and_gives_no_latency(tmp_path):
    messages = _trial()
    for topic, _, message in messages:
        if topic == '/cmd_vel_policy' or 'image' in topic:
            message.header.stamp.sec -= 3600
    row, _ = read_take(_take(tmp_path / 'take', True, messages))
    problem, = row['problems']
    assert '3600.0 s behind' in problem
    assert not any(row['latency_ms'].values())


def test_what_is_left_of_damaged_takes_is_evaluated(tmp_path):
    whole = _take(tmp_path / 'bags' / 'whole', True)
    cut = write_bag(tmp_path / 'bags' / 'cut', _trial(400), 'sqlite3', _kept(False))
    file, = cut.glob('*.db3')
    file.write_bytes(file.read_bytes()[:int(file.stat().st_size * 0.7)])
    lost = _take(tmp_path / 'bags' / 'lost', True)
    file, = lost.glob('*.mcap')
    file.write_bytes(b'\x89')
    broken = _take(tmp_path / 'bags' / 'marked', 'yes')
    report = field_report([tmp_path / 'bags'], None)
    rows = {row['take']: row for row in report['takes']}
    assert rows[whole.name]['problems'] == []
    assert rows[cut.name]['result'] == 'failure' and rows[cut.name]['messages'] > 400
    assert any('cut off' in problem for problem in rows[cut.name]['problems'])
    assert rows[lost.name]['kind'] == 'unreadable'
    assert any('nothing can be read of lost' in problem for problem in report['problems'])
    assert rows[broken.name]['result'] == 'unmarked'
    assert any("'yes'" in problem for problem in rows[broken.name]['problems'])
    assert report['success']['all']['n'] == 2


def test_damaged_messages_and_wild_velocities_are_counted(tmp_path):
    messages = _trial()
    commands = [message for topic, _, message in messages if topic == '/cmd_vel']
    commands[5].linear.x = np.nan
    row, _ = read_take(_take(tmp_path / 'take', True, messages))
    assert row['problems'] == ['/cmd_vel: a velocity is not finite']
    assert row['topics']['commands']['messages'] == 39


def test_two_policies_are_not_pooled_in_silence(tmp_path):
    _take(tmp_path / 'a', True)
    _take(tmp_path / 'b', True, bundle={'name': 'mine', 'sha256': 'cd'})
    assert any('2 bundles' in problem for problem in field_report([tmp_path], None)['problems'])


def test_the_command_writes_a_table_a_report_and_a_page(tmp_path):
    _take(tmp_path / 'bags' / 'one', True)
    _take(tmp_path / 'bags' / 'two', False, _trial(states=((0, 'policy'), (2, 'camera_lost'))),
          scenario='<yard>')
    arguments = ['field-report', str(tmp_path / 'bags'), '--out', str(tmp_path / 'out')]
    result = CliRunner().invoke(build(arguments), arguments)
    assert result.exit_code == 0, result.output
    assert 'picture to cmd_vel: p50 32.0 ms' in result.output
    report = json.loads((tmp_path / 'out' / 'report.json').read_text('utf-8'))
    assert report['success']['all']['n'] == 2 and report['stops']['camera_lost']['times'] == 1
    page = (tmp_path / 'out' / 'index.html').read_text('utf-8')
    assert page.count('data:image/png') == 2  # over time, and by scenario
    assert '&lt;yard&gt;' in page and '<yard>' not in page and 'src="http' not in page


def test_without_takes_it_says_what_to_give(tmp_path):
    with pytest.raises(EpisodeError, match='vla-nav record --out'):
        field_report([tmp_path], None)
    arguments = ['field-report', str(tmp_path / 'nowhere')]
    result = CliRunner().invoke(build(arguments), arguments)
    assert result.exit_code == 2 and 'no such bag' in result.output
