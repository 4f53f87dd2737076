"""A recording through the detector too: what it sees, and what the guard would make of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from bags import START_NS, drive, header, make, text, write_bag
from bundles import write_bundle
from detectors import ONE_BOX, write_detector
from typer.testing import CliRunner

from vla_nav.cli.main import build
from vla_nav.episodes.bag_reader import open_recording
from vla_nav.episodes.bag_streams import TYPES
from vla_nav.observations.clouds import points_of
from vla_nav.replay.evaluate import evaluate_bag
from vla_nav.replay.many import evaluate_bags
from vla_nav.replay.settings import ReplaySettings

_SAID = 'stop at the red ball'
_FOCAL, _HEIGHT_M, _PITCH = 20.0, 0.5, 0.6
# The lower edge of the detector's box in the pictures of 32 x 24 pixels, and so on the ground.
_LOW = (ONE_BOX[0][1] + ONE_BOX[0][3] / 2 - 8) / 2
_AHEAD_M = _HEIGHT_M / math.tan(_PITCH + math.atan((_LOW - 12) / _FOCAL))


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp('constant'), (0.3, 0.0, 0.0))


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    return write_detector(tmp_path_factory.mktemp('detector'))


@pytest.fixture
def params(tmp_path):
    path = tmp_path / 'params.yaml'
    path.write_text('detector:\n  ros__parameters:\n    rate: 5.0\n'
                    f'    camera_xyz: [0.0, 0.0, {_HEIGHT_M}]\n'
                    f'    camera_rpy: [0.0, {_PITCH}, 0.0]\n'
                    # What the recording never comes nearer to is near enough to stop for.
                    'guard:\n  ros__parameters:\n    obstacle_clearance: 0.2\n')
    return path


def _info(stamp_ns, focal=_FOCAL):
    return make('sensor_msgs/msg/CameraInfo', header=header(stamp_ns), height=24, width=32,
                distortion_model='plumb_bob', d=np.zeros(5),
                k=np.array([focal, 0, 16, 0, focal, 12, 0, 0, 1.0]), r=np.zeros(9),
                p=np.zeros(12), binning_x=0, binning_y=0, roi=make(
                    'sensor_msgs/msg/RegionOfInterest', x_offset=0, y_offset=0, height=0, width=0,
                    do_rectify=False))


def _seeing(count=20, focal=_FOCAL):
    """Return a drive with ten pictures a second and a camera that says how it looks."""
    return drive(count) + [('/camera/camera_info', START_NS + i * 10**8, _info(START_NS, focal))
                           for i in range(count)]


def _evaluate(bag, bundle, out=None, **settings):
    return evaluate_bag(bag, ReplaySettings(str(bundle), instruction=_SAID, blind=False,
                                            **settings), out, 'full' if out else 'none')


def _said(bag, topic):
    with open_recording(bag) as recording:
        return [TYPES.deserialize_cdr(one.raw, one.topic.kind)
                for one in recording.messages() if one.topic.name == f'/replay/{topic}']


def _clouds(bag):
    return [points_of(message) for message in _said(bag, 'obstacles')]


def test_what_stands_before_the_robot_would_have_stopped_it(tmp_path, bundle, detector, params):
    bag, out = write_bag(tmp_path / 'bag', _seeing()), tmp_path / 'out'
    without = _evaluate(bag, bundle, params_file=params)
    assert without['guard']['stops'] == [] and 'detections' not in without
    summary = _evaluate(bag, bundle, out, params_file=params, detector=str(detector))
    # Five a second of ten: the node's own rate.
    assert summary['detections'] == {
        'detector': 'test', 'pictures': 10, 'classes': {'cup': {'boxes': 10, 'pictures': 10}}}
    assert {stop['reason'] for stop in summary['guard']['stops']} == {'obstacle'}
    assert summary['problems'] == []
    clouds = _clouds(out / 'predictions')
    assert len(clouds) == 10
    assert min(clouds[0][:, 0]) == pytest.approx(_AHEAD_M, abs=1e-5)
    boxes = [json.loads(message.data) for message in _said(out / 'predictions', 'detector/boxes')]
    assert [one['stamp_ns'] for one in boxes] == [START_NS + i * 2 * 10**8 for i in range(10)]
    x, y, width, height, score, _ = ONE_BOX[0]
    # The square of 64 pixels shows the picture of 32 x 24 twice as large, 8 pixels down.
    box = [(x - width / 2) / 2, (y - height / 2 - 8) / 2, (x + width / 2) / 2, _LOW]
    assert boxes[0]['boxes'] == [{'class': 'cup', 'score': score, 'box': box}]
    assert 'What the detector saw' in (out / 'index.html').read_text('utf-8')
    assert set(summary['latency_ms']) == {'decode', 'policy', 'detector, decode',
                                          'detector, look'}


def test_the_camera_may_be_described_by_the_robot(tmp_path, bundle, detector):
    urdf = ('<robot name="r"><link name="base_link"/><link name="camera"/>'
            '<joint name="j" type="fixed"><parent link="base_link"/><child link="camera"/>'
            f'<origin xyz="0 0 {_HEIGHT_M}" rpy="{-math.pi / 2 - _PITCH} 0 {-math.pi / 2}"/>'
            '</joint></robot>')
    bag = write_bag(tmp_path / 'bag',
                    [*_seeing(), ('/robot_description', START_NS, text(urdf))])
    out = tmp_path / 'out'
    summary = _evaluate(bag, bundle, out, detector=str(detector))
    assert min(_clouds(out / 'predictions')[0][:, 0]) == pytest.approx(_AHEAD_M, abs=1e-5)
    assert summary['problems'] == []


@pytest.mark.parametrize('messages, why', [
    (_seeing(focal=0.0), 'has no focal length'),
    (drive(20), 'nothing comes on /camera/camera_info')])
def test_boxes_are_counted_where_nobody_knows_where_they_stand(
        tmp_path, bundle, detector, params, messages, why):
    summary = _evaluate(write_bag(tmp_path / 'bag', messages), bundle, params_file=params,
                        detector=str(detector))
    assert summary['detections']['classes']['cup']['pictures'] == 10
    problem, = summary['problems']
    assert problem.startswith('10 pictures gave the guard no obstacles: ') and why in problem
    assert summary['guard']['stops'] == []


def test_three_runs_are_identical_but_for_latency(tmp_path, bundle, detector, params):
    bag, found = write_bag(tmp_path / 'bag', _seeing()), []
    for number in range(3):
        out = tmp_path / str(number)
        summary = _evaluate(bag, bundle, out, params_file=params, detector=str(detector))
        summary.pop('latency_ms')
        found.append((summary, (out / 'predictions' / 'predictions.mcap').read_bytes()))
    assert found[0] == found[1] == found[2]


def test_many_bags_are_pooled_and_another_detector_does_not_mix(tmp_path, bundle, detector):
    for name, count in (('a', 20), ('b', 10)):
        write_bag(tmp_path / 'bags' / name, _seeing(count))
    out = tmp_path / 'out'
    words = ['evaluate', 'bag', '--bag', str(tmp_path / 'bags'), '--policy', str(bundle),
             '--detector', str(detector), '--instruction', _SAID, '--no-blind', '--workers', '1',
             '--out', str(out)]
    result = CliRunner().invoke(build(words), words)
    assert result.exit_code == 0, result.output
    # The package's own ten a second.
    assert json.loads((out / 'summary.json').read_text('utf-8'))['detections'] == {
        'detector': 'test', 'pictures': 30, 'classes': {'cup': {'boxes': 30, 'pictures': 30}}}
    other = write_detector(tmp_path / 'other', ())
    with pytest.raises(ValueError, match='another policy or other settings'):
        evaluate_bags({'a': tmp_path / 'bags' / 'a'},
                      ReplaySettings(str(bundle), detector=str(other), instruction=_SAID,
                                     blind=False), out, 'full', crew=None)


def test_a_detector_that_is_not_there_is_named(tmp_path, bundle):
    words = ['evaluate', 'bag', '--bag', str(write_bag(tmp_path / 'bag', _seeing(3))), '--policy',
             str(bundle), '--detector', str(tmp_path / 'nothing'), '--instruction', _SAID]
    result = CliRunner().invoke(build(words), words)
    assert result.exit_code == 2 and 'nothing' in result.output
