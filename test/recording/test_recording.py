import json
from datetime import datetime

import av
import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from vla_nav.monitoring.boxes import Box
from vla_nav.recording.bag import Bag
from vla_nav.recording.drawing import HEIGHT, WIDTH, draw
from vla_nav.recording.folder import RunFolder
from vla_nav.recording.run_state import RunState
from vla_nav.recording.video import Video

NOON = datetime(2026, 11, 22, 12, 0, 0)


def encoded(width, height, colour):
    return cv2.imencode('.png', np.full((height, width, 3), colour, np.uint8))[1].tobytes()


def test_each_run_has_its_own_folder_and_latest_points_to_the_newest(tmp_path):
    first, second = RunFolder(tmp_path, NOON), RunFolder(tmp_path, NOON)
    assert first.path != second.path
    assert (tmp_path / 'latest').resolve() == second.path.resolve()
    second.write_summary({'instruction': '왼쪽으로'})
    summary = json.loads((tmp_path / 'latest' / 'summary.json').read_text())
    assert summary == {'instruction': '왼쪽으로'}


def test_a_bag_gives_back_what_was_written(tmp_path):
    types = get_typestore(Stores.ROS2_JAZZY)
    text = types.types['std_msgs/msg/String']('left')
    bag = Bag(tmp_path / 'bag')
    bag.add('/instruction', 'std_msgs/msg/String', types.serialize_cdr(text, text.__msgtype__), 5)
    bag.add('/instruction', 'std_msgs/msg/String', types.serialize_cdr(text, text.__msgtype__), 9)
    bag.close()
    with Reader(tmp_path / 'bag') as reader:
        read = [(c.topic, time, types.deserialize_cdr(raw, c.msgtype).data)
                for c, time, raw in reader.messages()]
    assert read == [('/instruction', 5, 'left'), ('/instruction', 9, 'left')]


def test_a_video_has_every_frame_at_its_rate(tmp_path):
    video = Video(tmp_path / 'run.mp4', WIDTH, HEIGHT, 10)
    for grey in range(0, 200, 10):
        video.add(np.full((HEIGHT, WIDTH, 3), grey, np.uint8))
    video.close()
    with av.open(str(tmp_path / 'run.mp4')) as file:
        stream = file.streams.video[0]
        frames = [frame.to_ndarray(format='rgb24') for frame in file.decode(stream)]
        assert stream.codec_context.name == 'h264' and stream.average_rate == 10
    assert len(frames) == 20
    assert frames[10].mean() == pytest.approx(100, abs=4)


def test_a_video_without_frames_does_not_fail(tmp_path):
    Video(tmp_path / 'run.mp4', WIDTH, HEIGHT, 10).close()


def test_the_path_is_drawn_where_the_robot_was():
    state = RunState(camera=encoded(256, 192, 90), top=encoded(288, 384, 0))
    state.scene = {'top_view': {'x': 2.0, 'y': 0.0, 'metres_per_pixel': 0.02}}
    for x in np.arange(0.0, 3.0, 0.1):
        state.take_pose((x, 1.0, 0.0))
    picture = draw(state, 'Pass the box on its left.', '1box')
    assert picture.shape == (HEIGHT, WIDTH, 3)
    orange = (picture[:, 512:, 0] > 200) & (picture[:, 512:, 2] < 80)
    rows, columns = np.nonzero(orange)
    # y = 1 m to the left of the centre is 50 pixels to its left; x runs upwards.
    assert columns.mean() == pytest.approx(144 - 50, abs=2)
    assert rows.min() == pytest.approx(192 - 45, abs=8) and rows.max() == pytest.approx(292, abs=8)


def test_what_the_detector_sees_is_drawn_in_both_views_and_told_in_a_line():
    state = RunState(camera=encoded(256, 192, 90), top=encoded(288, 384, 0))
    state.scene = {'top_view': {'x': 2.0, 'y': 0.0, 'metres_per_pixel': 0.02}}
    state.take_pose((1.0, 0.0, np.pi / 2))
    assert state.detector == ''
    before = draw(state, '', '')
    state.nodes['detector'] = {'level': 'ok', 'message': 'looking', 'detector_hz': '9.9',
                               'boxes': '1', 'look_p50_ms': '7.5'}
    state.boxes, state.obstacles = [Box(50, 40, 120, 150, 'cup 0.90')], [(1.0, 0.0)]
    after = draw(state, '', '')
    assert (after[:384, :512] != before[:384, :512]).any()
    # The robot looks to its left, along y: a metre ahead of it is 50 pixels to the left.
    red = (after[:384, 512:, 0] > 200) & (after[:384, 512:, 1] < 80)
    rows, columns = np.nonzero(red)
    assert columns.mean() == pytest.approx(144 - 50, abs=2)
    assert rows.mean() == pytest.approx(192 + 50, abs=2)
    assert (after[384:, 512:] != before[384:, 512:]).any()
    assert state.detector == '9.9 Hz  1 boxes  7.5 ms'
    state.nodes['detector'] |= {'level': 'error', 'message': 'no obstacles: no camera_info'}
    assert state.detector == 'no obstacles: no camera_info'


def test_without_a_view_from_above_the_command_is_drawn():
    still, moving = RunState(camera=encoded(160, 120, 90)), RunState(camera=encoded(160, 120, 90))
    moving.take_velocity((0.3, 0.1, -0.5))
    assert (draw(still, '', '') != draw(moving, '', '')).any()


def test_standing_still_does_not_lengthen_the_path():
    state = RunState()
    for _ in range(100):
        state.take_pose((1.0, 2.0, 0.3))
    state.take_pose((1.5, 2.0, 0.3))
    assert len(state.path) == 2 and state.driven_m == pytest.approx(0.5)
