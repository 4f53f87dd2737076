"""A bag played through live nodes gives what the evaluation of the bag gives, frame by frame."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from bags import START_NS, drive, text, write_bag
from bundles import write_bundle
from nav_msgs.msg import Path as PathMessage
from std_msgs.msg import String

from vla_nav.bringup.graph import graph as graph_of
from vla_nav.episodes.bag_reader import open_recording
from vla_nav.episodes.bag_streams import TYPES
from vla_nav.nodes.running import LATCHED, stamp_to_ns
from vla_nav.replay.evaluate import evaluate_bag
from vla_nav.replay.settings import ReplaySettings

_SAID = 'stop at the red ball'
_PICTURES = 25


def _poses(path):
    return [(p.pose.position.x, p.pose.position.y,
             2 * math.atan2(p.pose.orientation.z, p.pose.orientation.w)) for p in path.poses]


def _replayed(bag, bundle, out):
    """Return the offline chunks' poses by the stamp of their picture."""
    evaluate_bag(Path(bag), ReplaySettings(str(bundle), blind=False), out, 'predictions')
    with open_recording(out / 'predictions') as recording:
        messages = [TYPES.deserialize_cdr(one.raw, one.topic.kind)
                    for one in recording.messages()
                    if one.topic.name == '/replay/policy/action_chunk']
    return {stamp_to_ns(message.header.stamp): _poses(message) for message in messages}


@pytest.mark.parametrize('transport', ['compressed', 'raw'])
def test_live_nodes_and_the_evaluation_agree(tmp_path, probe, graph, transport):
    bundle = write_bundle(tmp_path / 'bundle', echo=True, image=(24, 32))
    bag = write_bag(tmp_path / 'bag', [('/instruction', START_NS - 1, text(_SAID)),
                                       *drive(_PICTURES, transport=transport)])
    probe.watch(PathMessage, '/policy/action_chunk', _PICTURES)
    probe.watch(String, '/policy/active_instruction', LATCHED)
    # Watched after the chunks, and so known to the policy after them: once its state is here, no
    # chunk is missed because the two have not found each other yet.
    probe.watch(String, '/policy/task_state', LATCHED)
    *others, player = graph_of('replay', {'bag': str(bag), 'policy': str(bundle),
                                          'lockstep': 'true'})
    assert player.name == 'player'
    for node in (*others, player):
        if node is player:
            probe.wait('/policy/task_state', lambda _: True, since=0.0)
        graph.start(node.executable, name=node.name, remap=node.remappings, **node.parameters)
    assert graph.processes['player'].wait(120) == 0
    expected = _replayed(bag, bundle, tmp_path / 'out')
    assert len(expected) == _PICTURES
    # Chunks are sent with depth 1: on a busy machine a later one may take the place of an earlier
    # one on its way to this probe. The policy itself has missed no picture: each action tells how
    # many steps its memory has taken.
    probe.wait('/policy/action_chunk', since=0.0,
               condition=lambda chunk: stamp_to_ns(chunk.header.stamp) == max(expected))
    live = {stamp_to_ns(message.header.stamp): _poses(message)
            for _, message in probe.seen('/policy/action_chunk')}
    assert live.keys() <= expected.keys() and len(live) >= 3
    for stamp, poses in live.items():
        np.testing.assert_allclose(poses, expected[stamp], atol=1e-5)
    assert len({str(poses) for poses in live.values()}) == len(live)  # else this proves nothing
    assert [message.data for _, message in probe.seen('/policy/active_instruction')][-1] == _SAID
