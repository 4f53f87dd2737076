import pytest
import yaml
from bags import drive, write_bag

from vla_nav.bringup.graph import ARGUMENTS, NodeSpec, command_line, defaults, graph
from vla_nav.bringup.share import find_bundle, share_directory
from vla_nav.control.guard import GuardSettings
from vla_nav.episodes.bag_reader import open_recording
from vla_nav.episodes.schema import EpisodeError
from vla_nav.evaluation.rollout import SIMULATED
from vla_nav.replay.topics import played_roles


def by_name(nodes):
    return {node.name: node for node in nodes}


def test_arguments_of_the_robot_are_the_promised_ones():
    assert [argument.name for argument in ARGUMENTS['robot']] == [
        'namespace', 'params_file', 'use_sim_time', 'policy', 'runtime', 'detector', 'instruction',
        'image_topic', 'image_transport', 'cmd_vel_topic', 'stamped_cmd_vel', 'dry_run',
        'speed_cap', 'model_delay', 'record', 'use_respawn', 'log_level', 'rviz']


@pytest.mark.parametrize(('kind', 'names'), [
    ('robot', {'guard', 'policy'}), ('sim', {'guard', 'policy', 'sim'}),
    ('camera', {'guard', 'policy', 'camera'}), ('replay', {'guard', 'policy', 'player'})])
def test_each_graph_has_its_nodes(kind, names):
    assert set(by_name(graph(kind, {}))) == names
    assert set(defaults(kind)) == {argument.name for argument in ARGUMENTS[kind]}


def test_a_detector_comes_where_a_bundle_is_given(tmp_path):
    nodes = by_name(graph('robot', {'detector': str(tmp_path), 'image_topic': '/front/image',
                                    'image_transport': 'compressed'}))
    detector = nodes['detector']
    assert detector.executable == 'detector_node'
    assert detector.parameters['bundle'] == str(tmp_path)
    assert detector.parameters['image_transport'] == 'compressed'
    assert dict(detector.remappings)['camera/camera_info'] == '/front/camera_info'


def test_a_recorder_comes_where_a_directory_is_given(tmp_path):
    nodes = by_name(graph('sim', {'record': str(tmp_path), 'cmd_vel_topic': 'base/cmd'}))
    recorder = nodes['recorder']
    assert recorder.executable == 'recorder_node' and dict(recorder.remappings) == {
        'cmd_vel': 'base/cmd'}
    assert recorder.parameters['directory'] == str(tmp_path)
    assert recorder.parameters['bundle'] == nodes['policy'].parameters['bundle']
    # The expert is no policy, so no bundle has driven.
    expert = by_name(graph('sim', {'record': str(tmp_path), 'driver': 'expert'}))['recorder']
    assert 'bundle' not in expert.parameters


def test_rviz_brings_its_file_and_the_node_that_draws_for_it():
    nodes = by_name(graph('sim', {'rviz': 'true', 'cmd_vel_topic': 'base/cmd',
                                  'image_transport': 'compressed', 'stamped_cmd_vel': 'true'}))
    assert set(nodes) == {'guard', 'policy', 'sim', 'visual', 'rviz'}
    visual, guard = nodes['visual'], nodes['guard']
    assert dict(visual.remappings) == {'cmd_vel': 'base/cmd'}
    assert visual.parameters['image_transport'] == 'compressed'
    assert visual.parameters['stamped_cmd_vel'] is True
    assert visual.parameters['horizon'] == guard.parameters['max_observation_age']
    assert nodes['rviz'].arguments[-1].endswith('config/rviz/vla_nav.rviz')


def test_the_expert_takes_the_place_of_the_policy():
    nodes = by_name(graph('sim', {'driver': 'expert'}))
    assert set(nodes) == {'guard', 'sim'}
    assert nodes['sim'].parameters['expert'] is True


def test_the_simulator_gives_the_time_that_the_others_follow():
    nodes = by_name(graph('sim', {'use_sim_time': 'true'}))
    assert nodes['sim'].parameters['publish_clock'] is True
    assert nodes['policy'].parameters['use_sim_time'] is True
    assert by_name(graph('sim', {}))['sim'].parameters['publish_clock'] is False


def test_empty_arguments_leave_the_parameter_file_alone():
    nodes = by_name(graph('robot', {}))
    assert {'dry_run', 'speed_cap', 'stamped_cmd_vel'}.isdisjoint(nodes['guard'].parameters)
    assert {'instruction', 'image_transport', 'runtime'}.isdisjoint(nodes['policy'].parameters)


def test_arguments_reach_the_nodes_with_their_types():
    nodes = by_name(graph('robot', {
        'dry_run': 'true', 'speed_cap': '0.25', 'stamped_cmd_vel': 'false', 'namespace': 'robot1',
        'instruction': 'say "left"', 'log_level': 'debug', 'use_sim_time': 'true',
        'runtime': 'compile'}, '/tmp/i.txt'))
    guard, policy = nodes['guard'].parameters, nodes['policy'].parameters
    assert guard['dry_run'] is True and guard['stamped_cmd_vel'] is False
    assert guard['speed_cap'] == 0.25 and guard['use_sim_time'] is True
    assert policy['instruction'] == 'say "left"' and policy['runtime'] == 'compile'
    assert policy['instruction_file'] == '/tmp/i.txt'
    assert {n.namespace for n in nodes.values()} == {'robot1'}


def test_the_guard_is_patient_with_a_slow_model():
    usual, slow = (by_name(graph('robot', given)) for given in ({}, {'model_delay': '0.4'}))
    limit = usual['guard'].parameters['max_observation_age']
    assert slow['guard'].parameters['max_observation_age'] == pytest.approx(limit + 0.8)
    assert slow['policy'].parameters['model_delay'] == 0.4
    settings = GuardSettings(max_observation_age=limit + 0.8)
    assert slow['policy'].parameters['speed_cap'] == pytest.approx(
        settings.blind_distance / settings.max_observation_age)
    capped = by_name(graph('robot', {'model_delay': '0.4', 'speed_cap': '0.15',
                                     'cmd_vel_topic': '/base', 'stamped_cmd_vel': 'true'}))
    assert capped['policy'].parameters['speed_cap'] == 0.15
    assert capped['policy'].parameters['stamped_cmd_vel'] is True
    assert dict(capped['policy'].remappings)['cmd_vel'] == '/base'
    assert 'model_delay' not in usual['policy'].parameters


@pytest.mark.parametrize(('own', 'speed'), [
    ('speed_cap: 0.15', 0.15), ('max_velocity: [0.2, 0.2, 1.0]', 0.2),
    ('blind_distance: 0.13', 0.1)])
def test_a_slow_model_knows_the_guard_of_the_parameter_file(tmp_path, own, speed):
    file = tmp_path / 'field.yaml'
    file.write_text(f'/**/guard:\n  ros__parameters:\n    {own}\n    stamped_cmd_vel: true\n')
    given = {'model_delay': '0.4', 'params_file': str(file)}
    policy = by_name(graph('robot', given))['policy'].parameters
    assert policy['speed_cap'] == pytest.approx(speed) and policy['stamped_cmd_vel'] is True
    told = by_name(graph('robot', given | {'speed_cap': '0.05', 'stamped_cmd_vel': 'false'}))
    assert told['policy'].parameters['speed_cap'] == 0.05
    assert told['policy'].parameters['stamped_cmd_vel'] is False
    with pytest.raises(ValueError, match=r'none\.yaml'):
        graph('robot', given | {'params_file': str(tmp_path / 'none.yaml')})


def test_an_image_topic_brings_its_camera_info_and_its_compressed_sibling():
    nodes = by_name(graph('robot', {'image_topic': '/front/image', 'cmd_vel_topic': '/base/cmd'}))
    assert dict(nodes['policy'].remappings) == {
        'camera/image_raw': '/front/image', 'camera/camera_info': '/front/camera_info',
        'camera/image_raw/compressed': '/front/image/compressed'}
    assert dict(nodes['guard'].remappings)['cmd_vel'] == '/base/cmd'
    assert dict(nodes['guard'].remappings)['camera/camera_info'] == '/front/camera_info'


@pytest.mark.parametrize(('given', 'says'), [
    ({'dry_run': 'perhaps'}, 'dry_run: "perhaps" is none of true, false'),
    ({'runtime': 'tflite'}, 'runtime: "tflite" is none of auto, onnx, openvino, eager, compile, '),
    ({'speed_cap': 'fast'}, 'speed_cap: "fast" is not a number'),
    ({'sped_cap': '1'}, "unknown arguments \\['sped_cap'\\]")])
def test_wrong_arguments_are_named(given, says):
    with pytest.raises(ValueError, match=says):
        graph('robot', given)


@pytest.mark.parametrize('value', [
    'say "left" \\ now', '왼쪽으로', 'true', '0.5', 'a: b', '', 'x\ny'])
def test_text_parameters_stay_text(value):
    words = command_line(NodeSpec('policy', 'policy_node', parameters={'instruction': value}))
    assert yaml.safe_load(words[words.index('-p') + 1].partition(':=')[2]) == value


def test_the_parameter_files_match_any_namespace_and_name_known_nodes():
    for name in ('robot.yaml', 'sim.yaml'):
        content = yaml.safe_load((share_directory() / 'config' / name).read_text())
        assert set(content) <= {f'/**/{n}' for n in (
            'guard', 'policy', 'detector', 'sim', 'camera')}


def test_evaluations_in_the_simulator_tell_the_guard_what_its_parameter_file_tells_it():
    content = yaml.safe_load((share_directory() / 'config' / 'sim.yaml').read_text())
    told = content['/**/guard']['ros__parameters']
    assert {**SIMULATED, 'camera_timeout': GuardSettings().camera_timeout} == told


def test_a_bundle_is_found_by_path_or_left_for_the_policy_to_refuse(tmp_path):
    assert find_bundle(str(tmp_path)) == str(tmp_path)
    assert find_bundle('/nowhere/at/all') == '/nowhere/at/all'


@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_a_replay_follows_the_bag_and_moves_no_robot(tmp_path, transport):
    bag = write_bag(tmp_path / 'bag', drive(3, transport=transport))
    nodes = by_name(graph('replay', {'bag': str(bag), 'lockstep': 'true', 'rate': '2'}))
    assert nodes['policy'].parameters['image_transport'] == transport
    assert all(node.parameters['use_sim_time'] is True for node in nodes.values())
    assert dict(nodes['guard'].remappings)['cmd_vel'] == 'replay/cmd_vel'
    player = nodes['player']
    assert player.may_finish and player.parameters == {
        'bag': str(bag), 'rate': 2.0, 'lockstep': True, 'instructions': True,
        'use_sim_time': True}
    # What is told at the start goes before what was said in the recording.
    assert by_name(graph('replay', {'bag': str(bag), 'instruction': 'stop'}))[
        'player'].parameters['instructions'] is False


def test_a_replay_plays_the_camera_that_was_asked_for(tmp_path):
    front, rear = ([(f'/{name}{topic.removeprefix("/camera")}' if 'image' in topic else topic, at,
                     message) for topic, at, message in drive(3, transport=transport)]
                   for name, transport in (('front', 'raw'), ('rear', 'compressed')))
    # Nor is what was driven compared with: it may be ambiguous.
    others = [(f'{topic}_{n}', at, message) for topic, at, message in front if 'cmd' in topic
              for n in range(2)]
    bag = write_bag(tmp_path / 'bag', [*(m for m in front if 'cmd' not in m[0]),
                                       *(m for m in rear if 'image' in m[0]), *others])
    for name, transport in (('front', 'raw'), ('rear', 'compressed')):
        topic = f'/{name}/image_raw'
        nodes = by_name(graph('replay', {'bag': str(bag), 'image_topic': topic}))
        assert nodes['policy'].parameters['image_transport'] == transport
        assert nodes['player'].parameters['image_topic'] == topic
        for node in ('player', 'policy'):
            assert dict(nodes[node].remappings)['camera/image_raw'] == topic
    with open_recording(bag) as recording, pytest.raises(EpisodeError, match='image_topic:='):
        played_roles(recording, '', bag)


def test_a_bag_that_cannot_be_read_is_left_for_the_player_to_name(tmp_path):
    nodes = by_name(graph('replay', {'bag': str(tmp_path / 'nowhere')}))
    assert 'image_transport' not in nodes['policy'].parameters
