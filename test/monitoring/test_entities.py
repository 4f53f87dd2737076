"""What of which message reaches which entity of Rerun."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace as Some

import cv2
import numpy as np
import pytest

from vla_nav.monitoring.entities import BASE, CAMERA, Entities
from vla_nav.observations.clouds import cloud_fields
from vla_nav.simulation.choice import choose_scene
from vla_nav.simulation.urdf import robot_urdf
from vla_nav.simulation.world import CAMERA_X_M

# Rerun only warns of what it cannot show.
pytestmark = pytest.mark.filterwarnings('error')
NOW = 10_000_000_000


def stamped(seconds=9.9, frame='camera', **fields):
    nanoseconds = round(seconds * 1e9)
    stamp = Some(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
    return Some(header=Some(stamp=stamp, frame_id=frame), **fields)


def twist(x=0.0, y=0.0, z=0.0):
    return Some(linear=Some(x=x, y=y), angular=Some(z=z))


def odometry(x, y, yaw=0.0):
    half = Some(x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2))
    return Some(pose=Some(pose=Some(position=Some(x=x, y=y), orientation=half)),
                twist=Some(twist=twist()))


def report(name, message='well', level=b'\x00', **values):
    return Some(status=[Some(name=name, message=message, level=level, values=[
        Some(key=key, value=str(value)) for key, value in values.items()])])


def shown(entities, topic, message):
    """Return what a message shows: entity and component name, and its values."""
    found = {}
    for path, entity in entities.of(topic, message, NOW):
        for batch in entity.as_component_batches():
            name = str(batch.component_descriptor()).split(':')[-1]
            found[path, name] = batch.as_arrow_array().to_pylist()
    return found


def test_a_raw_picture_becomes_a_jpeg_and_its_age_a_curve():
    picture = np.full((24, 32, 3), (200, 30, 60), np.uint8)
    message = stamped(height=24, width=32, encoding='rgb8', step=96, is_bigendian=0,
                      data=picture.tobytes())
    found = shown(Entities(), 'camera/image_raw', message)
    jpeg = np.array(found[f'{CAMERA}/picture', 'blob'][0], np.uint8)
    decoded = cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_allclose(decoded[12, 16], (200, 30, 60), atol=6)
    assert found['ages/picture_ms', 'scalars'] == [pytest.approx(100.0)]


def test_a_compressed_picture_is_handed_on_as_it_is():
    for kind, data in (('jpeg', b'\xff\xd8\xff-not-decoded'), ('png', b'\x89PNG-not-decoded')):
        found = shown(Entities(), 'camera/image_raw/compressed', stamped(format=kind, data=data))
        assert bytes(found[f'{CAMERA}/picture', 'blob'][0]) == data
        assert found[f'{CAMERA}/picture', 'media_type'] == [f'image/{kind}']


def test_a_picture_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match='encoding'):
        shown(Entities(), 'camera/image_raw', stamped(
            height=1, width=1, encoding='mystery', step=1, is_bigendian=0, data=b'x'))


def test_the_camera_is_placed_once_where_the_robots_description_says():
    entities, look = Entities(), choose_scene('', 3).sample().look
    info = stamped(width=64, height=48, k=[50.0, 0, 32, 0, 50, 24, 0, 0, 1])
    assert shown(entities, 'camera/camera_info', info) == {}  # nobody has said where it is
    shown(entities, 'robot_description', Some(data=robot_urdf(CAMERA_X_M, look)))
    uncalibrated = stamped(width=64, height=48, k=[0.0] * 9)
    assert shown(entities, 'camera/camera_info', uncalibrated) == {}
    found = shown(entities, 'camera/camera_info', info)
    translation = next(v for (path, name), v in found.items() if name == 'translation')
    np.testing.assert_allclose(translation[0], (CAMERA_X_M, 0, look.camera_height), atol=1e-5)
    assert found[CAMERA, 'resolution'] == [[64.0, 48.0]]
    assert shown(entities, 'camera/camera_info', info) == {}
    other = choose_scene('', 4).sample().look
    shown(entities, 'robot_description', Some(data=robot_urdf(CAMERA_X_M, other)))
    assert shown(entities, 'camera/camera_info', info)


def test_detections_become_labelled_boxes():
    def hypothesis(name, score):
        return Some(hypothesis=Some(class_id=name, score=score))
    box = Some(center=Some(position=Some(x=20.0, y=10.0)), size_x=8.0, size_y=4.0)
    found = shown(Entities(), 'detections', Some(detections=[Some(
        bbox=box, results=[hypothesis('cup', 0.25), hypothesis('ball', 0.75)])]))
    path = f'{CAMERA}/boxes'
    assert found[path, 'centers'] == [[20.0, 10.0]]
    assert found[path, 'half_sizes'] == [[4.0, 2.0]] and found[path, 'labels'] == ['ball 0.75']
    # What is gone must not stay on the picture.
    assert shown(Entities(), 'detections', Some(detections=[]))[path, 'centers'] == []


def test_boxes_as_text_become_the_same():
    text = json.dumps({'stamp_ns': 1, 'boxes': [
        {'class': 'ball', 'score': 0.75, 'box': [16.0, 8.0, 24.0, 12.0]}]})
    found = shown(Entities(), 'detector/boxes', Some(data=text))
    path = f'{CAMERA}/boxes'
    assert found[path, 'centers'] == [[20.0, 10.0]]
    assert found[path, 'half_sizes'] == [[4.0, 2.0]] and found[path, 'labels'] == ['ball 0.75']
    assert shown(Entities(), 'detector/boxes', Some(data='{"boxes": []}'))[path, 'centers'] == []
    with pytest.raises(ValueError, match='detector/boxes'):
        shown(Entities(), 'detector/boxes', Some(data='cup'))


def test_obstacles_are_points_on_the_ground_beside_the_robot():
    layout = cloud_fields([(1.0, 0.5), (0.25, -0.5)])
    layout['fields'] = [Some(name=name, offset=offset, datatype=datatype)
                        for name, offset, datatype in layout['fields']]
    found = shown(Entities(), 'obstacles', stamped(frame='base_link', **layout))
    assert found[f'{BASE}/obstacles', 'positions'] == [[1.0, 0.5, 0.0], [0.25, -0.5, 0.0]]


def test_odometry_moves_the_robot_and_leaves_a_trail_without_leaps():
    entities = Entities()
    found = shown(entities, 'odom', odometry(1.0, 2.0, 0.5))
    assert found[BASE, 'translation'] == [[1.0, 2.0, 0.0]]
    trail = ('odom/trail', 'strips')
    assert trail not in found
    assert shown(entities, 'odom', odometry(1.1, 2.0))[trail] == [
        [[1.0, 2.0, 0.0], [pytest.approx(1.1), 2.0, 0.0]]]
    assert trail not in shown(entities, 'odom', odometry(1.101, 2.0))  # noise at standstill
    assert trail not in shown(entities, 'odom', odometry(7.0, 2.0))  # put elsewhere
    assert shown(entities, 'odom', odometry(7.1, 2.0))[trail][0][0] == [7.0, 2.0, 0.0]


def test_the_chunk_leads_on_from_the_robot():
    poses = [Some(pose=Some(position=Some(x=x, y=y))) for x, y in ((0.5, 0.0), (1.0, 0.25))]
    found = shown(Entities(), 'policy/action_chunk', Some(poses=poses))
    assert found[f'{BASE}/chunk', 'strips'] == [[[0, 0, 0], [0.5, 0, 0], [1.0, 0.25, 0]]]


def test_a_plan_is_shown_only_while_the_robot_drives():
    clear = (f'{BASE}/chunk', 'is_recursive')
    assert clear in shown(Entities(), 'policy/task_state', Some(data='stopped'))
    assert clear not in shown(Entities(), 'policy/task_state', Some(data='driving'))


def test_commands_before_and_after_the_guard_share_an_axis():
    entities = Entities()
    wanted = shown(entities, 'cmd_vel_policy', stamped(9.8, twist=twist(0.5, 0.0, -1.0)))
    assert wanted['commands/angular_z/policy', 'scalars'] == [-1.0]
    assert wanted['ages/command_ms', 'scalars'] == [pytest.approx(200.0)]
    sent = shown(entities, 'cmd_vel', twist(0.25, 0.0, -0.5))
    assert sent['commands/linear_x/guard', 'scalars'] == [0.25]
    assert sent == shown(entities, 'cmd_vel', stamped(twist=twist(0.25, 0.0, -0.5)))
    assert shown(entities, 'cmd_vel_teleop', twist(0.1))[
        'commands/linear_x/teleop', 'scalars'] == [pytest.approx(0.1)]


def test_a_command_without_a_picture_behind_it_has_no_age():
    assert ('ages/command_ms', 'scalars') not in shown(
        Entities(), 'cmd_vel_policy', stamped(0.0, twist=twist()))


def test_the_guards_reason_is_a_state_a_line_in_the_log_and_part_of_the_task():
    entities = Entities()
    shown(entities, 'policy/active_instruction', Some(data='stop at the cup'))
    found = shown(entities, 'guard/state', Some(data='camera_lost'))
    assert found['states/guard', 'state'] == ['camera_lost']
    assert found['log/guard', 'text'] == ['camera_lost']
    [task] = found['task', 'text']
    assert '**instruction**: stop at the cup' in task and '**guard**: camera_lost' in task


def test_figures_of_diagnostics_are_sorted_by_their_units():
    found = shown(Entities(), '/diagnostics', report(
        '/guard', camera_age_ms='12.5', picture_to_cmd_vel_p50_ms=9.0, camera_hz=20.0,
        linear_x=0.3, observation_age_ms='never'))
    assert found['ages/guard/camera_age_ms', 'scalars'] == [12.5]
    assert found['latency/guard/picture_to_cmd_vel_p50_ms', 'scalars'] == [9.0]
    assert found['rates/guard/camera_hz', 'scalars'] == [20.0]
    assert not [path for path, _ in found if 'linear_x' in path or 'observation' in path]


def test_diagnostics_are_logged_on_change_with_their_level():
    entities = Entities()
    first = shown(entities, '/diagnostics', report('/policy', 'No image', b'\x02'))
    assert first['log/policy', 'level'] == ['ERROR']
    assert ('log/policy', 'text') not in shown(
        entities, '/diagnostics', report('/policy', 'No image', b'\x02'))
    # rosbags gives numbers where rclpy gives bytes.
    assert shown(entities, '/diagnostics', report('/policy', 'idle', 1))[
        'log/policy', 'level'] == ['WARN']


def test_what_the_policy_has_understood_is_part_of_the_task():
    entities = Entities()
    found = shown(entities, '/diagnostics', report('/policy', understood_as='pass left'))
    assert '**understood as**: pass left' in found['task', 'text'][0]


def test_only_the_robot_that_was_asked_for_is_shown():
    for name in ('/robot2/guard', '/guard', 'usb_cam: status'):
        assert shown(Entities('/robot1'), '/diagnostics', report(name, camera_hz=1.0)) == {}
    assert shown(Entities('/robot1'), '/diagnostics', report('/robot1/guard', camera_hz=1.0))
