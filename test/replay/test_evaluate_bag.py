"""A recording through policy and guard again: figures, stops, what is wrong, what is written."""

from __future__ import annotations

import json
import shutil
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from bags import (
    LATCHED,
    START_NS,
    drive,
    image,
    jpeg,
    make,
    picture,
    text,
    twist_stamped,
    write_bag,
)
from bundles import NONSENSE, write_bundle
from typer.testing import CliRunner

from vla_nav.contracts import Frame
from vla_nav.episodes.bag_reader import open_recording
from vla_nav.episodes.bag_streams import TYPES
from vla_nav.episodes.schema import EpisodeError
from vla_nav.observations.messages import frame_from_message
from vla_nav.replay import evaluate
from vla_nav.replay.bag_output import BagOutput
from vla_nav.replay.evaluate import evaluate_bag
from vla_nav.replay.settings import ReplaySettings, node_settings
from vla_nav.runtimes import load_policy

_SAID = 'stop at the red ball'
_S = 10**9


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp('constant'), (0.3, 0.0, 0.0))


@pytest.fixture(scope='module')
def echo(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp('echo'), echo=True, image=(24, 32))


def _evaluate(bag, bundle, out=None, content='none', **settings):
    settings.setdefault('instruction', _SAID)
    settings.setdefault('blind', False)
    return evaluate_bag(Path(bag), ReplaySettings(str(bundle), **settings), out, content)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_errors_are_those_of_the_velocity_that_is_due(tmp_path, storage, bundle):
    bag = write_bag(tmp_path / 'bag', drive(40, speed=0.25), storage)
    summary = _evaluate(bag, bundle)
    assert summary['pictures'] == {'pictures': 40, 'evaluated': 40, 'with a driven command': 40}
    policy = summary['errors']['predictors']['policy']
    assert policy['linear_x']['mae'] == pytest.approx(0.05, abs=1e-6)
    assert policy['linear_y']['mae'] == pytest.approx(0.02, abs=1e-6)
    assert policy['angular_z']['mae'] == pytest.approx(0.1, abs=1e-6)
    for name in ('constant mean', 'constant median'):
        assert summary['errors']['predictors'][name]['joint']['mae'] == pytest.approx(0, abs=1e-6)
    assert summary['errors']['mae']['previous action']['value'] > 0  # it stands at first
    assert summary['problems'] == [] and summary['guard']['stops'] == []


def test_what_the_operator_said_is_on_the_page(tmp_path, bundle):
    bag = write_bag(tmp_path / 'bag', drive(5), custom={'vla_nav': '{"success": false}'})
    assert _evaluate(bag, bundle, tmp_path / 'out')['recorded_success'] is False
    assert 'the operator called it a failure' in (tmp_path / 'out' / 'index.html').read_text()


def test_the_blind_twins_see_and_read_nothing(tmp_path, echo):
    bag = write_bag(tmp_path / 'bag', drive(12))
    summary = _evaluate(bag, echo, blind=True)
    predictors = summary['errors']['predictors']
    # This policy's actions are the colours of the picture: it never listens, and it does look.
    assert predictors['text-blind'] == predictors['policy']
    assert predictors['image-blind'] != predictors['policy']


def test_what_is_predicted_is_what_the_policy_says_of_these_frames(tmp_path, echo):
    out = tmp_path / 'out'
    _evaluate(write_bag(tmp_path / 'bag', drive(10)), echo, out, 'predictions')
    policy = load_policy(echo)
    policy.set_instruction(_SAID)
    expected = []
    for topic, _, message in drive(10):
        if 'image' in topic:
            frame = frame_from_message(message, 'numpy', 24, 32)
            expected.append(policy.act(Frame(frame.image, frame.stamp_ns)))
    chunks = [message for topic, message in _messages(out / 'predictions')
              if topic == '/replay/policy/action_chunk']
    assert len(chunks) == len(expected) == 10
    for message, chunk in zip(chunks, expected):
        first = message.poses[0].pose.position
        seconds = chunk.step_ns / 1e9
        np.testing.assert_allclose((first.x, first.y), chunk.velocities[0, :2] * seconds,
                                   atol=1e-7)


def _messages(bag):
    with open_recording(bag) as recording:
        return [(one.topic.name, TYPES.deserialize_cdr(one.raw, one.topic.kind))
                for one in recording.messages()]


def test_three_runs_are_identical_but_for_latency(tmp_path, echo):
    bag = write_bag(tmp_path / 'bag', drive(15))
    found = []
    for number in range(3):
        out = tmp_path / str(number)
        summary = _evaluate(bag, echo, out, 'full', blind=True)
        summary.pop('latency_ms')
        written = json.loads((out / 'summary.json').read_text('utf-8'))
        written.pop('latency_ms')
        assert written == json.loads(json.dumps(summary))
        found.append((summary, (out / 'predictions' / 'predictions.mcap').read_bytes()))
    assert found[0] == found[1] == found[2]


class _Clock:
    """Time that passes in sleep, and where a test says so."""

    def __init__(self):
        self.now_ns, self.slept = 7 * _S, []

    def monotonic_ns(self):
        return self.now_ns

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now_ns += round(seconds * 1e9)


def test_a_picture_more_takes_less_memory_than_a_picture(tmp_path, bundle, monkeypatch):
    # There are ten of these at most, however long the recording is.
    monkeypatch.setattr(evaluate, 'worst_moments', lambda *_: [])

    def peak(count):
        # SQLite, since MCAP's reader holds a chunk of its file.
        bag = write_bag(tmp_path / str(count), drive(count, transport='raw'), 'sqlite3')
        tracemalloc.start()
        try:
            _evaluate(bag, bundle)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            shutil.rmtree(bag)
    peak(20)  # what is loaded and kept once
    assert (peak(420) - peak(20)) / 400 < picture(0).nbytes / 2


def test_at_the_real_rate_each_message_has_its_time_and_the_figures_are_the_same(tmp_path, bundle):
    messages = drive(10)
    bag = write_bag(tmp_path / 'bag', messages)
    arrivals = sorted(at for _, at, _ in messages)
    clock, seen = _Clock(), []
    began_ns = clock.now_ns

    def note():
        seen.append(clock.now_ns - began_ns)
        if len(seen) == 8:  # this one takes longer than the next ten are apart
            clock.now_ns += 35 * _S // 100

    settings = ReplaySettings(str(bundle), _SAID, blind=False, real_time=True)
    summary = evaluate_bag(bag, settings, None, 'none', lambda total: note, clock)
    busy_until = seen[7] + 35 * _S // 100
    assert busy_until > arrivals[17] - arrivals[0]
    for number, (arrival, at) in enumerate(zip(arrivals, seen, strict=True)):
        due = arrival - arrivals[0]
        expected = max(due, busy_until) if number > 7 else due
        assert at == pytest.approx(expected, abs=len(arrivals))  # a sleep is rounded to 1 ns
    assert min(clock.slept) > 0
    plain = _evaluate(bag, bundle)
    for one in (summary, plain):
        del one['latency_ms'], one['settings']['real_time']
    assert summary == plain


@pytest.mark.parametrize('rate', ['real', 'max'])
def test_the_option_decides_whether_the_pace_is_kept(tmp_path, bundle, rate, monkeypatch):
    from vla_nav.cli.evaluate import app
    slept = []
    monkeypatch.setattr(time, 'sleep', slept.append)
    bag = write_bag(tmp_path / 'bag', drive(3, step_ms=1_000_000))
    run = CliRunner().invoke(app, ['bag', '--bag', str(bag), '--policy', str(bundle), '--no-blind',
                                   '--instruction', _SAID, '--rate', rate])
    assert run.exit_code == 0, run.output
    assert (sum(slept) > 0) == (rate == 'real')


def test_the_predictions_lie_beside_the_recording(tmp_path, bundle):
    out, messages = tmp_path / 'out', drive(15)
    _evaluate(write_bag(tmp_path / 'bag', messages), bundle, out, 'full')
    topics = [topic for topic, _ in _messages(out / 'predictions')]
    for name in {topic for topic, _, _ in messages}:
        assert topics.count(name) == 15
    assert topics.count('/replay/policy/action_chunk') == 15
    assert {'/replay/cmd_vel', '/replay/cmd_vel_policy', '/replay/guard/state',
            '/replay/policy/task_state'} < set(topics)
    # The bag that was written can be evaluated as it is.
    assert _evaluate(out / 'predictions', bundle)['pictures']['evaluated'] == 15
    with pytest.raises(ValueError, match='exists already'):
        _evaluate(tmp_path / 'bag', bundle, out, 'full')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_what_was_latched_is_latched_beside_the_predictions(tmp_path, bundle, storage):
    messages = [('/robot_description', START_NS, text('<robot/>')), *drive(5)]
    bag = write_bag(tmp_path / 'bag', messages, storage, qos={'/robot_description': [LATCHED]})
    _evaluate(bag, bundle, tmp_path / 'out', 'full')
    with open_recording(tmp_path / 'out' / 'predictions') as recording:
        qos = {topic.name: topic.qos for topic in recording.topics}
    assert qos['/robot_description'] == (LATCHED,) and qos['/odom'] == ()


def test_the_page_holds_its_pictures(tmp_path, bundle):
    out = tmp_path / 'out'
    summary = _evaluate(write_bag(tmp_path / 'bag', drive(40)), bundle, out)
    page = (out / 'index.html').read_text('utf-8')
    assert len(summary['worst']) == 4  # 4 s, a second apart
    assert page.count('data:image/png') == len(summary['worst']) + 2
    assert 'src="http' not in page
    first = summary['worst'][0]
    errors = [abs(a - b) for a, b in zip(first['driven'], first['policy'])]
    assert errors[0] == pytest.approx(0.2)  # the slowest and the fastest command are farthest off


def test_the_guard_stops_where_the_camera_was_silent(tmp_path, bundle):
    late = START_NS + 4 * _S
    messages = drive(20) + drive(20, start_ns=late)
    summary = _evaluate(write_bag(tmp_path / 'bag', messages), bundle)
    stop, = [stop for stop in summary['guard']['stops'] if stop['reason'] == 'camera_lost']
    # The last picture came at 1.9 s; 0.2 s later the guard knew.
    assert stop['at_s'] == pytest.approx(2.1, abs=0.021)
    assert summary['drives'] == 2 and 'step-index' in summary['errors']['predictors']


def test_the_guards_limits_come_from_the_parameter_file(tmp_path, bundle):
    params = tmp_path / 'params.yaml'
    params.write_text('/**/guard:\n  ros__parameters:\n    speed_cap: 0.1\n', 'utf-8')
    bag = write_bag(tmp_path / 'bag', drive(20, speed=0.1))
    summary = _evaluate(bag, bundle, params_file=params)
    assert summary['guard']['limited_decisions']['speed_cap'] > 0
    executed = summary['errors']['predictors']['policy, executed and guarded']['linear_x']
    assert executed['mae'] < 0.02
    params.write_text('/**/guard:\n  ros__parameters:\n    speed_cap: fast\n', 'utf-8')
    with pytest.raises(ValueError, match='speed_cap'):
        _evaluate(bag, bundle, params_file=params)


def test_the_recorded_instruction_is_followed_and_a_refused_one_stands(tmp_path, bundle):
    messages = drive(20) + [('/instruction', START_NS - 1, text(_SAID)),
                            ('/instruction', START_NS + _S, text(NONSENSE))]
    summary = _evaluate(write_bag(tmp_path / 'bag', messages), bundle, instruction='')
    assert summary['instructions'] == [_SAID, NONSENSE]
    assert summary['pictures']['while not understood'] == 10
    assert [state['state'] for state in summary['states']][-1] == 'not_understood'
    by_text = summary['errors']['by_instruction']
    assert by_text[_SAID]['policy']['value'] != by_text[NONSENSE]['policy']['value']


def test_where_instructions_were_recorded_nothing_else_is_said(tmp_path, bundle):
    kept = {'vla_nav': json.dumps({'instruction': _SAID})}
    messages = drive(30) + [('/instruction', START_NS + _S, text(_SAID)),
                            ('/instruction', START_NS + 2 * _S, text(''))]
    summary = _evaluate(write_bag(tmp_path / 'bag', messages, custom=kept), bundle,
                        instruction='')
    # Nothing is said in the first second, and no more in the third.
    assert summary['pictures']['without an instruction'] == 20
    assert [one['state'] for one in summary['states']] == ['idle', 'driving', 'idle']
    assert summary['instructions'] == [_SAID]


def test_where_no_instruction_was_recorded_the_kept_one_holds_throughout(tmp_path, bundle):
    kept = {'vla_nav': json.dumps({'instruction': _SAID})}
    summary = _evaluate(write_bag(tmp_path / 'bag', drive(10), custom=kept), bundle,
                        instruction='')
    assert summary['pictures']['evaluated'] == 10 and summary['instructions'] == [_SAID]


def test_where_no_recorded_instruction_holds_it_is_said_what_helps(tmp_path, bundle):
    messages = [('/policy/active_instruction', START_NS, text('')), *drive(10)]
    summary = _evaluate(write_bag(tmp_path / 'bag', messages), bundle, instruction='')
    assert summary['pictures']['evaluated'] == 0
    assert any('--instruction' in problem for problem in summary['problems'])


def test_news_with_an_old_stamp_is_acted_on(tmp_path, bundle):
    messages = drive(10)
    messages[9] = *messages[9][:2], jpeg(3, START_NS + 2 * 10**8)  # the stamp of the one before
    summary = _evaluate(write_bag(tmp_path / 'bag', messages), bundle)
    assert summary['pictures']['repeated stamps'] == 1
    assert summary['pictures']['evaluated'] == 10


class _Noting:
    """A policy that notes whether it has time to catch up."""

    def __init__(self, policy):
        self._policy, self.caught_up = policy, []

    def __getattr__(self, name):
        return getattr(self._policy, name)

    def act(self, frame):
        self.caught_up.append(frame.catch_up)
        return self._policy.act(frame)


@pytest.mark.parametrize(('delay', 'age', 'quick'), [(0.0, 0.5, True), (0.4, 1.3, False)])
def test_a_slow_model_has_no_time_to_catch_up_and_the_guard_waits_for_it(
        tmp_path, bundle, delay, age, quick, monkeypatch):
    params = tmp_path / 'params.yaml'
    params.write_text(f'policy:\n  ros__parameters:\n    model_delay: {delay}\n', 'utf-8')
    assert node_settings(params, 0.5).guard.max_observation_age == pytest.approx(age)
    policy = _Noting(load_policy(bundle))
    monkeypatch.setattr(evaluate, 'load_policy', lambda _: policy)
    _evaluate(write_bag(tmp_path / 'bag', drive(3)), bundle, params_file=params)
    assert policy.caught_up == [quick] * 3
    params.write_text('policy:\n  ros__parameters:\n    model_delay: 9\n', 'utf-8')
    with pytest.raises(ValueError, match=r'(?s)params\.yaml.*model_delay'):
        node_settings(params, 0.5)


def test_the_guard_is_released_as_it_was_when_the_robot_drove(tmp_path, bundle):
    params = tmp_path / 'params.yaml'
    params.write_text('/**/guard:\n  ros__parameters:\n    hold_on_start: true\n', 'utf-8')
    summary = _evaluate(write_bag(tmp_path / 'bag', drive(10)), bundle, params_file=params)
    assert 'held' not in summary['guard']['seconds'] and summary['guard']['stops'] == []


def test_what_the_policy_says_after_arrival_is_still_compared(tmp_path):
    arriving = write_bundle(tmp_path / 'arriving', arrived=1.0)
    summary = _evaluate(write_bag(tmp_path / 'bag', drive(20)), arriving)
    assert summary['pictures']['evaluated'] == 20
    assert summary['pictures']['after arrival'] == 14  # half a second of belief has passed


def test_a_policy_that_fails_stops_the_robot_and_is_named(tmp_path):
    broken = write_bundle(tmp_path / 'broken', nan=True, nan_after=5)
    summary = _evaluate(write_bag(tmp_path / 'bag', drive(20)), broken)
    assert summary['pictures']['on which the policy failed'] == 1
    assert any('non-finite' in problem for problem in summary['problems'])
    stop, = summary['guard']['stops']
    assert stop['reason'] == 'policy_stopped'


def _deep(index, stamp):
    message = image(index, stamp)
    message.encoding, message.step = 'rgb16', 192
    message.data = (np.frombuffer(message.data, np.uint8).astype('<u2') * 257).view(np.uint8)
    return message


def _other(encoding, channels):
    def wrap(index, stamp):
        message = image(index, stamp)
        message.encoding, message.step = encoding, 32 * channels
        message.data = np.resize(message.data, 24 * 32 * channels)
        return message
    return wrap


def test_encodings_may_change_and_what_does_not_decode_is_counted(tmp_path, bundle):
    kinds = [image, _other('bgr8', 3), _other('mono8', 1), _other('yuv422', 2),
             _other('bayer_rggb8', 1), _deep, _other('32FC1', 4)]
    messages = [m for m in drive(21, transport='raw') if m[0] != '/camera/image_raw']
    for i in range(21):
        stamp = START_NS + i * 10**8
        messages.append(('/camera/image_raw', stamp, kinds[i % 7](i, stamp)))
    summary = _evaluate(write_bag(tmp_path / 'bag', messages), bundle)
    assert summary['pictures'] == {'pictures': 21, 'undecodable': 3, 'evaluated': 18,
                                   'with a driven command': 18}
    assert any("3 x image encoding '32FC1'" in problem for problem in summary['problems'])


def test_pictures_of_no_length_are_counted(tmp_path, bundle):
    messages = drive(10)
    for number in (9, 18):
        topic, at, message = messages[number]
        messages[number] = topic, at, make('sensor_msgs/msg/CompressedImage',
                                           header=message.header, format='jpeg',
                                           data=np.zeros(0, np.uint8))
    summary = _evaluate(write_bag(tmp_path / 'bag', messages), bundle)
    assert (summary['pictures']['undecodable'], summary['pictures']['evaluated']) == (2, 8)
    assert any('empty' in problem for problem in summary['problems'])


def test_stamps_may_go_backwards(tmp_path, bundle):
    again = [(topic, at + 20 * _S, message) for topic, at, message in
             drive(10, command='stamped')]
    bag = write_bag(tmp_path / 'bag', drive(15, command='stamped') + again)
    summary = _evaluate(bag, bundle)
    assert summary['pictures']['times that stamps went back'] == 1
    assert summary['pictures']['with a driven command'] == 25 and summary['drives'] == 2


def test_a_bag_that_was_cut_off_is_evaluated_as_far_as_it_goes(tmp_path, bundle):
    bag = write_bag(tmp_path / 'bag', drive(1500, transport='raw', step_ms=50))
    file = bag / 'bag.mcap'
    file.write_bytes(file.read_bytes()[:-file.stat().st_size // 3])
    summary = _evaluate(bag, bundle)
    assert 0 < summary['pictures']['with a driven command'] < 1500
    assert any('cut off' in problem for problem in summary['problems'])


@pytest.mark.parametrize(('spoil', 'said'), [
    (lambda m: [x for x in m if x[0] != '/cmd_vel' and x[0] != '/odom'], 'no commands'),
    (lambda m: [(t, at + (10**12 if t == '/cmd_vel' else 0), x) for t, at, x in m],
     'same clock')])
def test_without_commands_the_rest_is_still_told(tmp_path, bundle, spoil, said):
    out = tmp_path / 'out'
    summary = _evaluate(write_bag(tmp_path / 'bag', spoil(drive(10))), bundle, out)
    assert summary['errors'] is None and summary['pictures']['evaluated'] == 10
    assert any(said in problem for problem in summary['problems'])
    assert said in (out / 'index.html').read_text('utf-8')


def test_odometry_stands_in_for_commands(tmp_path, bundle):
    messages = [m for m in drive(10) if m[0] != '/cmd_vel']
    summary = _evaluate(write_bag(tmp_path / 'bag', messages), bundle)
    assert summary['topics']['command'] == '/odom'
    assert summary['errors']['predictors']['policy']['joint']['mae'] == pytest.approx(0, abs=1e-6)


def test_a_camera_without_stamps_is_told_and_the_arrival_can_take_their_place(tmp_path, bundle):
    messages = [(t, at, jpeg(i, 0) if 'image' in t else m)
                for i, (t, at, m) in enumerate(drive(10))]
    bag = write_bag(tmp_path / 'bag', messages)
    assert any('--stamps arrival' in p for p in _evaluate(bag, bundle)['problems'])
    summary = _evaluate(bag, bundle, arrival_stamps=True)
    assert summary['pictures']['evaluated'] == 10 and summary['problems'] == []


def test_topics_are_found_by_type_and_asked_for_where_several_fit(tmp_path, bundle):
    renamed = {'/camera/image_raw/compressed': '/front/picture', '/cmd_vel': '/base/drive'}
    messages = [(renamed.get(topic, topic), at, m) for topic, at, m in drive(10)]
    summary = _evaluate(write_bag(tmp_path / 'one', messages), bundle)
    assert summary['topics']['picture'] == '/front/picture'
    assert summary['topics']['command'] == '/base/drive'
    messages.append(('/rear/picture', START_NS, jpeg(0, START_NS)))
    two = write_bag(tmp_path / 'two', messages)
    with pytest.raises(EpisodeError, match=r'/front/picture, /rear/picture.*--image-topic'):
        _evaluate(two, bundle)
    named = _evaluate(two, bundle, translation={'image_topic': 'front/picture'})
    assert named['pictures']['evaluated'] == 10
    with pytest.raises(EpisodeError, match=r'/side.*the bag holds.*rear/picture'):
        _evaluate(two, bundle, translation={'image_topic': '/side'})


def test_a_bag_without_pictures_or_instruction_is_refused_with_a_remedy(tmp_path, bundle):
    blind = write_bag(tmp_path / 'blind', [m for m in drive(5) if 'image' not in m[0]])
    with pytest.raises(EpisodeError, match='pictures: the bag holds none'):
        _evaluate(blind, bundle)
    mute = write_bag(tmp_path / 'mute', drive(5))
    with pytest.raises(EpisodeError, match='--instruction'):
        _evaluate(mute, bundle, instruction='')


def test_a_damaged_message_is_left_out(tmp_path, bundle):
    messages = drive(10)
    bag = write_bag(tmp_path / 'bag', messages)
    file = bag / 'bag.mcap'
    content = bytearray(file.read_bytes())
    # The length of the picture's data, far beyond its end.
    at = content.index(b'jpeg\0') + 8
    content[at:at + 4] = b'\xff\xff\xff\x7f'
    file.write_bytes(content)
    summary = _evaluate(bag, bundle)
    assert summary['pictures']['damaged messages'] == 1
    assert summary['pictures']['evaluated'] == 9
    assert any('a message is damaged' in problem for problem in summary['problems'])


def test_the_command_line_tells_and_ends_with_a_status(tmp_path, bundle):
    from vla_nav.cli.evaluate import app
    bag = write_bag(tmp_path / 'bag', drive(5))
    run = CliRunner().invoke(app, ['bag', '--bag', str(bag), '--policy', str(bundle), '--json',
                                   '--instruction', _SAID, '--no-blind'])
    assert run.exit_code == 0
    assert json.loads(run.stdout)['pictures']['evaluated'] == 5
    refused = CliRunner().invoke(app, ['bag', '--bag', str(tmp_path / 'no'), '--policy',
                                       str(bundle)])
    assert refused.exit_code == 2


def test_a_folder_called_predictions_is_in_the_way_only_of_predictions(tmp_path, bundle,
                                                                       monkeypatch):
    from vla_nav.cli.evaluate import app
    bag, taken = write_bag(tmp_path / 'bag', drive(5)), tmp_path / 'predictions'
    taken.mkdir()
    monkeypatch.chdir(tmp_path)
    words = ['bag', '--bag', str(bag), '--policy', str(bundle), '--instruction', _SAID,
             '--no-blind']
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, run.output
    with pytest.raises(ValueError, match=r'predictions: .*exists already.*--out'):
        BagOutput(taken, 'full', load_policy(bundle).spec.action_space, 'base_link')


def test_a_real_tub_goes_all_the_way(tmp_path, donkeycar_tub):
    from vla_nav.cli.data import app
    run = CliRunner().invoke(app, ['from-tub', str(donkeycar_tub), '--out',
                                   str(tmp_path / 'bag'), '--rate', '20'])
    assert run.exit_code == 0, run.output
    shipped = Path(__file__).parents[2] / 'models' / 'tub'
    summary = _evaluate(tmp_path / 'bag', shipped, instruction='', blind=True)
    assert summary['instructions'] == ['follow the track']
    assert summary['pictures']['with a driven command'] > 950
    mae = {name: row['value'] for name, row in summary['errors']['mae'].items()}
    # It was trained on these pictures: a sign or an axis turned round would show.
    assert mae['policy'] < 0.5 * mae['constant median'] < 0.5 * mae['image-blind'] * 1.2
    assert summary['guard']['stops'] == []


def test_headers_of_commands_are_believed(tmp_path, bundle):
    stamped = [(t, at, twist_stamped(START_NS + i * 10**8, 0.3) if t == '/cmd_vel' else m)
               for i, (t, at, m) in ((n // 3, x) for n, x in enumerate(drive(10)))]
    summary = _evaluate(write_bag(tmp_path / 'bag', stamped), bundle,
                        translation={'command_lead': 0.0})
    assert summary['errors']['predictors']['policy']['joint']['mae'] == pytest.approx(0, abs=1e-6)
