"""The chain from picture to cmd_vel, as processes over DDS."""

from __future__ import annotations

import json
import math
import signal
import time
from collections import Counter

import pytest
from bundles import NONSENSE, write_bundle
from diagnostic_msgs.msg import DiagnosticArray
from fake_camera import FakeCamera
from geometry_msgs.msg import Twist, TwistStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from nav_msgs.msg import Path
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_msgs.msg import Bool, Float32, String
from std_srvs.srv import SetBool, Trigger

from vla_nav.nodes.running import COMMAND, LATCHED

INSTRUCTION = 'pass left, stop at the red ball'


def moving(twist):
    return twist.linear.x > 0.25


def standing(twist):
    return (twist.linear.x, twist.linear.y, twist.angular.z) == (0.0, 0.0, 0.0)


def says(*words):
    return lambda message: message.data in words


def reports(*words):
    return lambda array: any(all(word in status.message for word in words)
                             for status in array.status)


@pytest.fixture
def watched(probe):
    probe.watch(Twist, '/cmd_vel')
    probe.watch(Float32, '/policy_uncertainty', COMMAND)
    probe.watch(String, '/guard/state', LATCHED)
    probe.watch(String, '/policy/task_state', LATCHED)
    probe.watch(String, '/policy/active_instruction', LATCHED)
    probe.watch(DiagnosticArray, '/diagnostics')
    return probe


def test_an_ensemble_that_disagrees_is_slowed_down(watched, graph, tmp_path):
    write_bundle(tmp_path / 'slow', (0.3, 0.0, 0.0))
    write_bundle(tmp_path / 'fast', (0.42, 0.0, 0.0))
    (tmp_path / 'config.json').write_text(json.dumps({
        'format_version': 1, 'name': 'both', 'architecture': 'ensemble',
        'max_observation_age_s': 0.5, 'members': [{'path': name, 'weight': 1}
                                                  for name in ('slow', 'fast')]}))
    FakeCamera(watched.node)
    graph.start('guard_node', uncertainty_limit=0.2)
    graph.start('policy_node', bundle=tmp_path, instruction=INSTRUCTION)
    # 0.36 m/s on average, 0.06 m/s of 0.6 either side: half of the limit, half of the speed.
    watched.wait('/guard/state', says('policy, uncertain'))
    watched.wait('/cmd_vel', lambda m: m.linear.x == pytest.approx(0.18, abs=1e-4))
    assert {round(m.data, 3) for _, m in watched.seen('/policy_uncertainty')} == {0.1}


def test_the_robot_drives_on_while_a_slow_model_thinks(watched, graph, tmp_path):
    # Chunks that reach far enough on a machine which other work makes ten times slower.
    slow = write_bundle(tmp_path / 'slow', slow_s=0.4, chunk=96)
    watched.watch(TwistStamped, '/cmd_vel_policy', COMMAND)
    FakeCamera(watched.node)
    graph.start('guard_node', max_observation_age=9.0, blind_distance=9.0)
    graph.start('policy_node', bundle=slow, instruction=INSTRUCTION)
    began, _ = watched.wait('/cmd_vel', moving)

    def commands():
        """Return how many commands stand on each picture so far, in their order."""
        return Counter((m.header.stamp.sec, m.header.stamp.nanosec)
                       for at, m in watched.seen('/cmd_vel_policy') if at >= began)
    watched.wait_until(lambda: len(commands()) >= 5, 'five pictures are answered')
    assert all(count >= 4 for count in list(commands().values())[1:4])
    assert not any(standing(m) for at, m in watched.seen('/cmd_vel') if at >= began)
    watched.wait('/diagnostics', reports('start with model_delay:='))


def test_a_slow_model_learns_what_the_guard_made_of_its_commands(watched, graph, tmp_path):
    slow = write_bundle(tmp_path / 'slow', slow_s=0.4, chunk=96)
    watched.watch(TwistStamped, '/cmd_vel_policy', COMMAND)
    FakeCamera(watched.node)
    graph.start('guard_node', max_observation_age=9.0, blind_distance=9.0, speed_cap=0.05)
    graph.start('policy_node', bundle=slow, instruction=INSTRUCTION, model_delay=0.4,
                speed_cap=0.1)
    # The chunk asks for more than the policy may; the robot is slower still, and falls behind.
    began, _ = watched.wait('/cmd_vel', lambda m: m.linear.x == pytest.approx(0.05))
    watched.wait_until(lambda: any(at > began and m.twist.linear.x > 0.11 for at, m in
                                   watched.seen('/cmd_vel_policy')), 'the policy makes up for it')


@pytest.fixture
def driving(watched, graph, bundle):
    """Return a probe and a camera, with the robot under way."""
    camera = FakeCamera(watched.node)
    graph.start('guard_node')
    graph.start('policy_node', bundle=bundle, instruction=INSTRUCTION)
    watched.wait('/cmd_vel', moving)
    return watched, camera


def test_a_picture_and_an_instruction_become_a_velocity(driving):
    probe, _ = driving
    probe.wait('/policy/task_state', says('driving'), since=0)
    probe.wait('/guard/state', says('policy'), since=0)
    _, instruction = probe.wait('/policy/active_instruction', lambda m: m.data, since=0)
    assert instruction.data == INSTRUCTION
    assert not probe.seen('/policy_uncertainty')  # a single policy cannot tell


def test_the_stamp_of_a_proposed_velocity_is_a_pictures(watched, graph, bundle):
    watched.watch(TwistStamped, '/cmd_vel_policy')
    watched.watch(Path, '/policy/action_chunk')
    camera = FakeCamera(watched.node)
    graph.start('policy_node', bundle=bundle, instruction=INSTRUCTION)
    _, command = watched.wait('/cmd_vel_policy', lambda m: m.twist.linear.x > 0.25)
    stamp = command.header.stamp
    assert (stamp.sec, stamp.nanosec) in camera.stamps
    _, path = watched.wait('/policy/action_chunk', lambda m: m.poses)
    assert path.header.frame_id == 'base_link'
    assert path.poses[-1].pose.position.x == pytest.approx(0.3 * 0.1 * len(path.poses), rel=1e-3)


def test_the_guard_sends_zeros_before_anyone_commands(watched, graph):
    graph.start('guard_node')
    _, first = watched.wait('/cmd_vel', lambda m: True)
    assert standing(first)
    watched.wait('/guard/state', says('no_command'), since=0)


def test_a_stalled_camera_stops_the_robot_and_is_named(driving):
    probe, camera = driving
    camera.paused = True
    paused = time.monotonic()
    probe.wait('/cmd_vel', standing, since=paused)
    probe.wait('/guard/state', says('camera_lost', 'policy_stopped'), since=paused)
    probe.wait('/diagnostics', reports('No image for 2.', 'publisher is best effort',
                                       '/camera/image_raw'), since=paused)
    camera.paused = False
    probe.wait('/cmd_vel', moving)


def test_a_frozen_picture_counts_as_no_camera_although_messages_come(driving):
    probe, camera = driving
    camera.frozen = True
    frozen = time.monotonic()
    probe.wait('/cmd_vel', standing, since=frozen)
    probe.wait('/diagnostics', reports('picture frozen'), since=frozen)
    probe.wait('/policy/task_state', says('stopped'), since=frozen)
    camera.frozen = False
    probe.wait('/cmd_vel', moving)


def test_a_killed_policy_stops_the_robot_and_a_new_one_goes_on(watched, graph, bundle, tmp_path):
    FakeCamera(watched.node)
    graph.start('guard_node')
    start = dict(bundle=bundle, instruction=INSTRUCTION, instruction_file=tmp_path / 'instruction')
    graph.start('policy_node', **start)
    watched.wait('/cmd_vel', moving)
    publisher = watched.node.create_publisher(String, '/instruction', 10)
    watched.wait_until(publisher.get_subscription_count, 'the policy listens')
    publisher.publish(String(data='pass right, stop at the cup'))
    watched.wait('/policy/active_instruction', says('pass right, stop at the cup'), since=0)

    graph.signal('policy_node', signal.SIGKILL)
    killed = time.monotonic()
    watched.wait('/cmd_vel', standing, since=killed)
    watched.wait('/guard/state', says('observation_too_old'), since=killed)

    graph.start('policy_node', **start)
    watched.wait('/cmd_vel', moving)
    watched.wait('/policy/active_instruction', says('pass right, stop at the cup'), since=killed)


def test_a_policy_that_hangs_stops_the_robot(driving, graph):
    probe, _ = driving
    graph.signal('policy_node', signal.SIGSTOP)
    stopped = time.monotonic()
    probe.wait('/cmd_vel', standing, since=stopped)
    probe.wait('/guard/state', says('observation_too_old'), since=stopped)
    graph.signal('policy_node', signal.SIGCONT)
    probe.wait('/cmd_vel', moving)


def test_the_e_stop_latches_until_released(driving):
    probe, _ = driving
    button = probe.node.create_publisher(Bool, '/e_stop', 10)
    probe.wait_until(button.get_subscription_count, 'the guard listens to the e-stop')
    pressed = time.monotonic()
    button.publish(Bool(data=True))
    probe.wait('/guard/state', says('e_stop'), since=pressed)
    answer = probe.call(Trigger, '/guard/release', Trigger.Request())
    assert not answer.success and 'still pressed' in answer.message
    button.publish(Bool(data=False))
    at, _ = probe.wait('/cmd_vel', lambda m: True)
    for _ in range(10):
        at, message = probe.wait('/cmd_vel', lambda m: True, since=at + 1e-6)
        assert standing(message)
    assert probe.call(Trigger, '/guard/release', Trigger.Request()).success
    probe.wait('/cmd_vel', moving)


def test_what_a_policy_runs_on_and_why_not_on_what_was_asked_for_is_in_the_diagnostics(
        watched, graph, bundle):
    FakeCamera(watched.node)
    graph.start('policy_node', bundle=bundle, instruction=INSTRUCTION, provider='tensorrt')

    def told(array):
        return [{v.key: v.value for v in status.values} for status in array.status
                if status.name == '/policy' and status.values]
    _, array = watched.wait('/diagnostics', told)
    values = told(array)[0]
    assert (values['runtime'], values['provider']) == ('onnx', 'cpu')
    assert values['provider_fallback'].startswith('TensorRT is not available to onnxruntime')
    watched.wait('/diagnostics', told)  # said again here, and not in the log
    assert graph.log('policy_node').read_text().count('TensorRT is not available') == 1


def test_a_runtime_that_the_bundle_cannot_have_is_named_and_the_robot_stands(
        watched, graph, bundle):
    FakeCamera(watched.node)
    graph.start('guard_node')
    graph.start('policy_node', bundle=bundle, instruction=INSTRUCTION, runtime='eager')
    watched.wait('/diagnostics', reports('files.model is missing', 'choose runtime auto'))
    assert all(standing(m) for _, m in watched.seen('/cmd_vel'))


def test_nan_is_an_error_state_that_reset_leaves(watched, graph, tmp_path):
    # Some seconds of good numbers: the guard may discover the camera later than the policy does.
    bundle = write_bundle(tmp_path / 'bundle', nan=True, nan_after=60)
    FakeCamera(watched.node)
    graph.start('guard_node')
    graph.start('policy_node', bundle=bundle, instruction=INSTRUCTION)
    at, _ = watched.wait('/cmd_vel', moving)
    watched.wait('/cmd_vel', standing, since=at)
    watched.wait('/guard/state', says('policy_stopped'), since=at)
    watched.wait('/policy/task_state', says('stopped'), since=at)
    watched.wait('/diagnostics', reports('stopped', 'non-finite', 'policy.onnx'), since=at)
    assert watched.call(Trigger, '/policy/reset', Trigger.Request()).success
    watched.wait('/cmd_vel', moving)
    assert all(math.isfinite(m.linear.x) for _, m in watched.seen('/cmd_vel'))


def test_a_missing_bundle_is_one_clear_error_and_zeros(watched, graph, tmp_path):
    FakeCamera(watched.node)
    graph.start('guard_node')
    graph.start('policy_node', bundle=tmp_path / 'nowhere', instruction=INSTRUCTION)
    watched.wait('/diagnostics', reports('nowhere', 'no such policy bundle'))
    state = watched.call(GetState, '/policy/get_state', GetState.Request())
    assert state.current_state.label == 'unconfigured'
    watched.wait('/cmd_vel', standing)
    assert all(standing(m) for _, m in watched.seen('/cmd_vel'))
    assert graph.log('policy_node').read_text().count('no such policy bundle') == 1


def test_instructions_change_under_way_and_nonsense_means_standstill(driving):
    probe, _ = driving
    publisher = probe.node.create_publisher(String, '/instruction', 10)
    probe.wait_until(publisher.get_subscription_count, 'the policy listens')
    publisher.publish(String(data='pass right, stop at the cup'))
    probe.wait('/policy/active_instruction', says('pass right, stop at the cup'), since=0)
    probe.wait('/cmd_vel', moving)
    said = time.monotonic()
    publisher.publish(String(data=f'{NONSENSE} blub'))
    probe.wait('/policy/task_state', says('not_understood'), since=said)
    at, _ = probe.wait('/cmd_vel', standing, since=said)
    publisher.publish(String(data=INSTRUCTION))
    probe.wait('/cmd_vel', moving, since=at)
    said = time.monotonic()
    publisher.publish(String(data=''))
    probe.wait('/policy/task_state', says('idle'), since=said)
    probe.wait('/cmd_vel', standing, since=said)


def test_arrival_ends_the_task(watched, graph, tmp_path):
    FakeCamera(watched.node)
    graph.start('guard_node')
    graph.start('policy_node', bundle=write_bundle(tmp_path / 'bundle', arrived=1.0),
                instruction=INSTRUCTION)
    at, _ = watched.wait('/policy/task_state', says('arrived'))
    watched.wait('/cmd_vel', standing, since=at)


def test_a_person_has_priority_while_the_commands_come(driving):
    probe, _ = driving
    teleop = probe.node.create_publisher(Twist, '/cmd_vel_teleop', COMMAND)
    probe.wait_until(teleop.get_subscription_count, 'the guard listens to teleop')
    command = Twist()
    command.linear.y = 0.2
    said = time.monotonic()  # the state is sent on change: before a wait begins, on a busy machine
    for _ in range(3):
        teleop.publish(command)
    at, _ = probe.wait('/guard/state', says('teleop'), since=said)
    probe.wait('/guard/state', says('policy'), since=at)


def test_disabling_stops_and_enabling_goes_on(driving):
    probe, _ = driving
    assert probe.call(SetBool, '/policy/enable', SetBool.Request(data=False)).success
    probe.wait('/cmd_vel', standing)
    probe.wait('/guard/state', says('policy_stopped'), since=0)
    assert probe.call(SetBool, '/policy/enable', SetBool.Request(data=True)).success
    probe.wait('/cmd_vel', moving)


def test_deactivation_stops_the_robot_and_it_can_be_set_up_again(driving):
    probe, _ = driving

    def change(transition):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert probe.call(ChangeState, '/policy/change_state', request).success
    change(Transition.TRANSITION_DEACTIVATE)
    probe.wait('/cmd_vel', standing)
    change(Transition.TRANSITION_CLEANUP)
    change(Transition.TRANSITION_CONFIGURE)
    change(Transition.TRANSITION_ACTIVATE)
    probe.wait('/cmd_vel', moving)


def test_parameters_are_refused_as_a_whole_or_take_effect(driving):
    probe, _ = driving

    def set_parameters(*pairs):
        request = SetParameters.Request(
            parameters=[Parameter(*pair).to_parameter_msg() for pair in pairs])
        # One by one, as `ros2 param set` asks for it.
        return probe.call(SetParameters, '/guard/set_parameters', request).results
    kind = Parameter.Type
    refused, = set_parameters(('min_velocity', kind.DOUBLE_ARRAY, [0.1, -1.0, -1.0]))
    assert not refused.successful and 'must contain 0' in refused.reason
    accepted, = set_parameters(('speed_cap', kind.DOUBLE, 0.1))
    assert accepted.successful
    probe.wait('/cmd_vel', lambda m: m.linear.x == pytest.approx(0.1))
    fixed, = set_parameters(('stamped_cmd_vel', kind.BOOL, True))
    assert not fixed.successful
    accepted, = set_parameters(('dry_run', kind.BOOL, True))
    probe.wait('/cmd_vel', standing)


def test_a_parameter_out_of_range_ends_the_start_with_a_clear_error(ros, graph):
    process = graph.start('guard_node', camera_timeout=-1.0)
    assert process.wait(30) == 1
    assert 'camera_timeout' in graph.log('guard_node').read_text()


def test_two_robots_do_not_hear_each_other(probe, graph, bundle):
    for name in ('one', 'two'):
        probe.watch(Twist, f'/{name}/cmd_vel')
        graph.start('guard_node', name=f'guard_{name}', namespace=name)
    camera = FakeCamera(probe.node, namespace='one')
    FakeCamera(probe.node, namespace='two')
    graph.start('policy_node', namespace='one', bundle=bundle, instruction=INSTRUCTION)
    probe.wait('/one/cmd_vel', moving)
    probe.wait('/two/cmd_vel', standing)
    assert camera.sent and all(standing(m) for _, m in probe.seen('/two/cmd_vel'))


def test_ctrl_c_twice_is_one_clean_end_with_a_last_zero(driving, graph):
    probe, _ = driving
    pressed = time.monotonic()
    for sent in ('guard_node', 'policy_node'):
        graph.signal(sent, signal.SIGINT)
        graph.signal(sent, signal.SIGINT)
    assert graph.processes['guard_node'].wait(10) == 0
    assert graph.processes['policy_node'].wait(10) == 0
    probe.wait('/cmd_vel', standing, since=pressed)
    assert standing(probe.seen('/cmd_vel')[-1][1])
    for log in ('guard_node', 'policy_node'):
        assert 'Traceback' not in graph.log(log).read_text()


@pytest.mark.parametrize('lag_s', [100.0])
def test_a_camera_on_another_clock_is_diagnosed_and_arrival_stamps_cure_it(
        watched, graph, bundle, lag_s):
    FakeCamera(watched.node, lag_s=lag_s)
    graph.start('guard_node')
    graph.start('policy_node', bundle=bundle, instruction=INSTRUCTION)
    watched.wait('/diagnostics', reports('stamps are 100', 'stamp_source: arrival'))
    watched.wait('/guard/state', says('observation_too_old'), since=0)
    graph.signal('policy_node', signal.SIGINT)
    graph.processes['policy_node'].wait(10)
    graph.start('policy_node', bundle=bundle, instruction=INSTRUCTION, stamp_source='arrival')
    watched.wait('/cmd_vel', moving)


@pytest.mark.parametrize(('transport', 'encoding'), [('raw', 'bgr8'), ('compressed', '')])
def test_720p_pictures_at_30_hz_arrive(watched, graph, bundle, transport, encoding):
    camera = FakeCamera(watched.node, 30.0, 720, 1280, transport, encoding=encoding)
    graph.start('guard_node')
    graph.start('policy_node', bundle=bundle, instruction=INSTRUCTION, image_transport=transport)
    watched.wait('/cmd_vel', moving)
    # With Fast DDS's own settings not one raw picture of this size arrives. How many do is a
    # matter for a quiet machine: all of them.
    watched.wait('/diagnostics', lambda array: any(
        float(v.value) > 1.0 for s in array.status if s.name == '/policy'
        for v in s.values if v.key == 'camera_hz'))
    assert camera.sent


def test_a_damaged_encoding_is_named_and_the_robot_stands(watched, graph, bundle):
    FakeCamera(watched.node, encoding='yuv422_unknown')
    graph.start('guard_node')
    graph.start('policy_node', bundle=bundle, instruction=INSTRUCTION)
    watched.wait('/diagnostics', reports('yuv422_unknown', 'not supported'))
    assert all(standing(m) for _, m in watched.seen('/cmd_vel'))
