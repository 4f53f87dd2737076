"""A bag played through live nodes gives what the evaluation of the bag gives, frame by frame."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from bags import START_NS, drive, text, write_bag
from bundles import NONSENSE, write_bundle
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Path as PathMessage
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from vla_nav.bringup.graph import graph as graph_of
from vla_nav.episodes.bag_reader import open_recording
from vla_nav.episodes.bag_streams import TYPES
from vla_nav.nodes.running import LATCHED, SENSOR, stamp_to_ns
from vla_nav.observations.messages import velocity_of
from vla_nav.replay.evaluate import evaluate_bag
from vla_nav.replay.settings import ReplaySettings

_SAID, _NONSENSE = 'stop at the red ball', f'{NONSENSE} the ball'
_PICTURES = 25
# Pictures arrive in the middle of a step, so that the row of a chunk that is due does not hang on
# the few milliseconds by which a node's clock may lag.
_LATE_NS = 35_000_000
_NEXT_NS = START_NS + _PICTURES * 100_000_000
# What hangs on real time: how long this machine takes between two commands, and how long a node
# waits for what a busy machine delays. The limit of the speed is of the commands alone.
_GUARD = {'max_acceleration': [1e9] * 3, 'camera_timeout': 10.0, 'max_observation_age': 10.0,
          'blind_distance': 10.0, 'speed_cap': 0.5}
_POLICY = {'picture_timeout': 10.0, 'frozen_after': 10.0}
_SLOW = {'no_command', 'camera_lost', 'observation_too_old'}


def _poses(path):
    return [(p.pose.position.x, p.pose.position.y,
             2 * math.atan2(p.pose.orientation.z, p.pose.orientation.w)) for p in path.poses]


def _replayed(bag, bundle, folder):
    """Return the evaluation's messages by topic, in order."""
    params = folder / 'params.yaml'
    params.write_text(yaml.safe_dump({'policy': {'ros__parameters': _POLICY},
                                      'guard': {'ros__parameters': _GUARD}}))
    evaluate_bag(Path(bag), ReplaySettings(str(bundle), blind=False, params_file=params),
                 folder / 'out', 'predictions')
    found = defaultdict(list)
    with open_recording(folder / 'out' / 'predictions') as recording:
        for one in recording.messages():
            found[one.topic.name.removeprefix('/replay')].append(
                TYPES.deserialize_cdr(one.raw, one.topic.kind))
    return found


def _by_stamp(messages, values):
    found = defaultdict(list)
    for message in messages:
        found[stamp_to_ns(message.header.stamp)].append(values(message))
    return found


def _among(value, expected):
    """Return where a live value stands among the expected ones, which it must be one of."""
    apart = np.abs(np.asarray(expected) - value).max(axis=1)
    assert apart.min() <= 1e-5, (value, expected)
    return int(apart.argmin())


@pytest.mark.parametrize('transport', ['compressed', 'raw'])
def test_live_nodes_and_the_evaluation_agree(tmp_path, probe, graph, transport):
    bundle = write_bundle(tmp_path / 'bundle', echo=True, image=(24, 32))
    bag = write_bag(tmp_path / 'bag', [
        ('/instruction', START_NS - 1, text(_SAID)),
        *((topic, arrival + _LATE_NS, message)
          for topic, arrival, message in drive(_PICTURES, transport=transport)),
        ('/instruction', _NEXT_NS + _LATE_NS, text(_NONSENSE))])
    for kind, topic, qos in ((PathMessage, '/policy/action_chunk', _PICTURES),
                             (TwistStamped, '/cmd_vel_policy', 1000),
                             (Twist, '/replay/cmd_vel', 1000),
                             (String, '/policy/active_instruction', LATCHED),
                             (String, '/guard/state', LATCHED),
                             # Watched last, and so known to the policy last: once its state is
                             # here, no chunk is missed because the two have not found each other.
                             (String, '/policy/task_state', LATCHED)):
        probe.watch(kind, topic, qos)
    *others, player = graph_of('replay', {'bag': str(bag), 'policy': str(bundle),
                                          'lockstep': 'true'})
    assert player.name == 'player'
    more = {'guard': _GUARD, 'policy': _POLICY}
    for node in (*others, player):
        if node is player:
            probe.wait('/policy/task_state', lambda _: True, since=0.0)
            probe.wait('/guard/state', lambda _: True, since=0.0)
        graph.start(node.executable, name=node.name, remap=node.remappings,
                    **{**node.parameters, **more.get(node.name, {})})
    assert graph.processes['player'].wait(120) == 0
    expected = _replayed(bag, bundle, tmp_path)
    chunks = _by_stamp(expected['/policy/action_chunk'], _poses)
    assert len(chunks) == _PICTURES

    def live(topic):
        return [message for _, message in probe.seen(topic)]
    # Chunks are sent with depth 1: on a busy machine a later one may take the place of an earlier
    # one on its way to this probe. The policy itself has missed no picture: each action tells how
    # many steps its memory has taken.
    probe.wait('/policy/action_chunk', since=0.0,
               condition=lambda chunk: stamp_to_ns(chunk.header.stamp) == max(chunks))
    seen = _by_stamp(live('/policy/action_chunk'), _poses)
    assert seen.keys() <= chunks.keys() and len(seen) >= 3
    for stamp, [poses] in seen.items():
        np.testing.assert_allclose(poses, chunks[stamp][0], atol=1e-5)
    assert len({str(poses) for poses in seen.values()}) == len(seen)  # else this proves nothing
    assert live('/policy/active_instruction')[-1].data == _NONSENSE

    # When a timer sends is a matter of chance, what it sends for a picture is not.
    proposed = _by_stamp(expected['/cmd_vel_policy'], velocity_of)
    compared = set()
    for stamp, values in _by_stamp(live('/cmd_vel_policy'), velocity_of).items():
        for value in filter(np.any, values):
            _among(value, proposed[stamp])
            compared.add(stamp)
    assert len(compared) >= 3

    # The guard's commands carry no picture's stamp: they are told apart by what they are.
    guarded = []
    for message in expected['/cmd_vel']:
        value = velocity_of(message)
        if np.any(value) and not (guarded and np.allclose(guarded[-1], value, atol=1e-5)):
            guarded.append(value)
    places = [_among(value, guarded) for value in map(velocity_of, live('/replay/cmd_vel'))
              if np.any(value)]
    assert places == sorted(places) and len(set(places)) >= 3
    probe.wait_until(lambda: live('/guard/state')[-1].data == 'policy_stopped',
                     'the guard stands, since the policy does')
    reasons = [{message.data for message in messages} - _SLOW
               for messages in (live('/guard/state'), expected['/guard/state'])]
    assert reasons[0] == reasons[1] >= {'policy', 'policy, speed_cap', 'policy_stopped'}


def test_the_recorded_model_of_the_robot_reaches_who_comes_late(tmp_path, probe, graph):
    bundle = write_bundle(tmp_path / 'bundle', image=(24, 32))
    bag = write_bag(tmp_path / 'bag', [('/robot_description', START_NS - 1, text('<robot/>')),
                                       *drive(600)])
    probe.watch(CompressedImage, '/camera/image_raw/compressed', SENSOR)
    for node in graph_of('replay', {'bag': str(bag), 'policy': str(bundle)}):
        graph.start(node.executable, name=node.name, remap=node.remappings, **node.parameters)
    probe.wait('/camera/image_raw/compressed', lambda _: True, since=0.0)
    probe.watch(String, '/robot_description', LATCHED)
    probe.wait('/robot_description', lambda message: message.data == '<robot/>', since=0.0)
