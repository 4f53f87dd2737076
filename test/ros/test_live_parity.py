"""The same messages give the same actions live, from a bag and from an episode: to the bit."""

from __future__ import annotations

import array
from copy import deepcopy
from pathlib import Path

import cv2
import numpy as np
import pytest
from bundles import write_bundle
from geometry_msgs.msg import TwistStamped
from nav_msgs.msg import Path as PathMessage
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import CompressedImage, Image

from vla_nav.contracts import Frame
from vla_nav.episodes.from_bag import episodes_from_bag
from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode, JpegPictures
from vla_nav.episodes.store import EpisodeRef, write_episode
from vla_nav.nodes.chunk_path import chunk_path
from vla_nav.nodes.running import COMMAND, SENSOR
from vla_nav.observations.messages import frame_from_message
from vla_nav.observations.translation import Translation
from vla_nav.recording.bag import Bag
from vla_nav.runtimes import load_policy

_INSTRUCTION = 'go round the box on its left and stop at the red ball'
_SHIPPED = Path(__file__).parents[2] / 'models' / 'compact'
_START_S = 1_700_000_000
# Faster than the policy's pace, then slower, then back to the start: the memory must follow.
_STAMPS_MS = (0, 33, 67, 100, 133, 240, 350, 700, 733, 50, 150)


def _scene(index: int) -> np.ndarray:
    """Return a drifting 720p picture with large and small detail, far from black and white."""
    small = np.random.default_rng(7).integers(40, 180, (36, 64, 3), np.uint8)
    rolled = np.roll(small, index, axis=(0, 1))
    return cv2.resize(rolled, (1280, 720), interpolation=cv2.INTER_NEAREST)


def _message(kind: str, index: int):
    scene, data = _scene(index), array.array('B')
    if kind == 'jpeg 1280x720':
        message = CompressedImage(format='rgb8; jpeg compressed bgr8')
        data.frombytes(cv2.imencode('.jpg', scene[..., ::-1])[1].tobytes())
    else:
        picture = cv2.resize(scene, (320, 240))[..., ::-1]
        rows = np.zeros((240, 1024), np.uint8)  # rows padded to a power of two
        rows[:, :960] = picture.reshape(240, 960)
        message = Image(encoding='bgr8', height=240, width=320, step=1024)
        data.frombytes(rows.tobytes())
    message.data = data
    message.header.stamp.sec = _START_S
    message.header.stamp.nanosec = _STAMPS_MS[index] * 1_000_000
    return message


def _live(probe, graph, bundle, messages) -> list[PathMessage]:
    """Return the chunks of a live node, each of its own picture, in order."""
    compressed = isinstance(messages[0], CompressedImage)
    publisher = probe.node.create_publisher(
        type(messages[0]), f'/camera/image_raw{"/compressed" if compressed else ""}', SENSOR)
    probe.watch(PathMessage, '/policy/action_chunk', COMMAND)
    # The first picture is repeated until the node is there: no fault, so nothing watches for it.
    graph.start('policy_node', bundle=bundle, instruction=f'"{_INSTRUCTION}"', frozen_after=0.0,
                decoder='numpy', image_transport='compressed' if compressed else 'raw')
    greeting = deepcopy(messages[0])
    greeting.header.stamp.sec += 10  # the real pictures are older, at which the memory is cleared

    def connected():
        publisher.publish(greeting)
        return probe.seen('/policy/action_chunk')
    probe.wait_until(connected, 'a chunk for any picture')
    chunks = []
    for message in messages:
        publisher.publish(message)
        stamp = message.header.stamp
        chunks.append(probe.wait('/policy/action_chunk', since=0.0,
                                 condition=lambda m, at=stamp: m.header.stamp == at)[1])
    return chunks


def _from_bag(tmp_path, messages) -> list:
    """Return the messages after a bag, as a program without ROS reads them."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    kind = f'sensor_msgs/msg/{type(messages[0]).__name__}'
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection('/camera', kind, typestore=store)
        for index, message in enumerate(messages):
            writer.write(connection, index, serialize_message(message))
    with Reader(tmp_path / 'bag') as reader:
        return [store.deserialize_cdr(raw, kind) for _, _, raw in reader.messages()]


def _converted(tmp_path, messages, height, width) -> list[Frame]:
    """Return the frames of the episodes that the converter makes of a robot's bag."""
    topic = '/camera/image_raw' + ('/compressed' if hasattr(messages[0], 'format') else '')
    bag = Bag(tmp_path / 'recorded')
    for index, message in enumerate(messages):
        kind = type(message).__name__
        bag.add(topic, f'sensor_msgs/msg/{kind}', serialize_message(message), 10 * index)
        command = TwistStamped(header=message.header)
        command.twist.linear.x = 0.1 * (index + 1)
        bag.add('/cmd_vel', 'geometry_msgs/msg/TwistStamped', serialize_message(command),
                10 * index + 1)
    bag.close()
    frames, driven = [], []
    for number, episode in enumerate(episodes_from_bag(
            tmp_path / 'recorded', Translation(command_lead=0.0), _INSTRUCTION)):
        ref = EpisodeRef(tmp_path / f'converted{number}.h5')
        write_episode(ref, episode)
        with open_episode(ref) as stored:
            assert stored.stamps_ns is not None
            frames += [Frame(stored.policy_image(i, height, width), int(stored.stamps_ns[i]))
                       for i in range(len(stored))]
            driven += stored.actions[:, 0].tolist()
    np.testing.assert_allclose(driven, 0.1 * np.arange(1, len(messages) + 1), rtol=1e-6)
    return frames


def _from_episode(tmp_path, messages, height, width) -> list[Frame]:
    """Return the frames after an episode file; JPEG is stored as the camera sent it."""
    frames = [frame_from_message(message) for message in messages]
    jpeg = hasattr(messages[0], 'format')
    count = len(frames)
    ref = EpisodeRef(tmp_path / 'episode.h5')
    write_episode(ref, Episode(
        images=(JpegPictures([bytes(m.data) for m in messages]) if jpeg
                else np.stack([f.image for f in frames])),
        actions=np.zeros((count, 3), np.float32),
        stamps_ns=np.asarray([f.stamp_ns for f in frames]), instruction=_INSTRUCTION))
    with open_episode(ref) as episode:
        assert episode.stamps_ns is not None
        return [Frame(episode.policy_image(i, height, width), int(episode.stamps_ns[i]))
                for i in range(count)]


def _poses(path: PathMessage) -> list[tuple[float, ...]]:
    return [(p.pose.position.x, p.pose.position.y, p.pose.orientation.z) for p in path.poses]


@pytest.mark.parametrize('policy', ['test', *(['shipped'] if _SHIPPED.is_dir() else [])])
@pytest.mark.parametrize('kind', ['jpeg 1280x720', 'padded bgr8'])
def test_live_bag_and_episode_agree_to_the_bit(tmp_path, probe, graph, kind, policy):
    bundle = _SHIPPED if policy == 'shipped' else write_bundle(tmp_path / 'bundle', echo=True)
    messages = [_message(kind, index) for index in range(len(_STAMPS_MS))]
    live = _live(probe, graph, bundle, messages)

    offline = load_policy(bundle)
    height, width = offline.spec.image_height, offline.spec.image_width
    replayed = _from_bag(tmp_path, messages)
    for frames in ([frame_from_message(m, 'numpy', height, width) for m in replayed],
                   _from_episode(tmp_path, replayed, height, width),
                   _converted(tmp_path, messages, height, width)):
        assert len(frames) == len(live)
        offline.reset()
        offline.set_instruction(_INSTRUCTION)
        for index, (frame, seen) in enumerate(zip(frames, live)):
            chunk = offline.act(frame)
            expected = _poses(chunk_path(chunk, offline.spec.action_space, 'base_link'))
            assert _poses(seen) == expected, f'picture {index}'
    assert len({str(_poses(path)) for path in live}) == len(live)  # else this proves nothing
