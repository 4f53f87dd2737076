"""A student is shown what its teacher would do, on given frames and on its own drives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles import write_bundle

from vla_nav.contracts import Frame, PolicyError
from vla_nav.language.intent import Intent
from vla_nav.policies.config import load_preset
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.instructions import Instructions
from vla_nav.policies.save import write_family_bundle
from vla_nav.runtimes import load_policy
from vla_nav.runtimes.ensemble import _belief
from vla_nav.spaces import OMNI_3D
from vla_nav.training.dataset import Frames
from vla_nav.training.distill import (
    DistillPlan,
    distill,
    parameters,
    teacher_parameters,
    too_small,
)
from vla_nav.training.rollouts import Rollouts
from vla_nav.training.teacher import Teacher, relabel

MODELS = Path(__file__).parents[2] / 'models'
INTENTS = (Intent('left', 'cup', 'red'), Intent('right', 'ball', 'blue'))


def write_frames(folder: Path, lengths=(6, 4)) -> Path:
    """Write the frames of some drives, as a collection does; the expert says nothing but 1."""
    rng, out = np.random.default_rng(0), Rollouts()
    for episode, length in enumerate(lengths):
        for step in range(length):
            out.images.append(rng.integers(0, 256, (96, 128, 3), np.uint8))
            out.features.append([intent.features() for intent in INTENTS])
            out.chunks.append(np.ones((2, 8, 3), np.float32))
            out.points.append(rng.random((2, 2, 3)))
            out.stage.append([step % 2] * 2)
            out.arrived.append([0.0, 0.0])
            out.episode.append(episode)
            out.family.append(0)
    out.save(folder, '0000000')
    return folder


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return write_frames(tmp_path / 'data' / 'expert')


def test_frames_get_the_teachers_labels_and_keep_the_rest(frames: Path, tmp_path: Path) -> None:
    teacher = write_bundle(tmp_path / 'teacher', (0.3, 0.0, -0.6), arrived=0.75)
    before = Frames([frames])
    after = Frames([relabel(frames, tmp_path / 'labels', [teacher], workers=1)])
    assert after.fields['chunks'].shape == before.fields['chunks'].shape
    np.testing.assert_allclose(after.fields['chunks'], np.broadcast_to(
        np.float32([0.5, 0.0, -0.5]), (10, 2, 8, 3)), atol=1e-6)
    np.testing.assert_allclose(after.fields['arrived'], 0.75)
    for key in ('features', 'points', 'stage', 'episode'):
        np.testing.assert_array_equal(after.fields[key], before.fields[key])
    everything = np.arange(10)
    np.testing.assert_array_equal(after.images(everything), before.images(everything))
    assert (tmp_path / 'labels' / '0000000.images.npy').is_symlink()


def test_the_teachers_memory_lasts_a_drive_and_no_longer(frames: Path, tmp_path: Path) -> None:
    teacher = write_bundle(tmp_path / 'teacher', echo=True)  # adds 1 % for each step it remembers
    pictures = Frames([frames]).images(np.arange(10)).astype(np.float32)
    labels = Frames([relabel(frames, tmp_path / 'labels', [teacher], 1)]).fields['chunks']
    bands = pictures.reshape(10, 8, 12 * 128, 3).mean(2) / 255
    remembered = np.array([0, 1, 2, 3, 4, 5, 0, 1, 2, 3])[:, None, None]
    for asked in (0, 1):
        np.testing.assert_allclose(labels[:, asked], (bands + 0.01 * remembered).clip(-1, 1),
                                   atol=2e-3)


def test_who_turns_in_place_before_the_first_gate_is_known_to_search(frames: Path,
                                                                    tmp_path: Path) -> None:
    teacher = write_bundle(tmp_path / 'teacher', (0.02, 0.01, 0.6))
    labels = Frames([relabel(frames, tmp_path / 'labels', [teacher], 1)])
    np.testing.assert_array_equal(labels.searching, labels.fields['stage'] == 0)


def test_several_teachers_teach_their_mean_and_an_ensemble_its_own(tmp_path: Path) -> None:
    slow, fast = (write_bundle(tmp_path / name, (speed, 0.0, 0.0))
                  for name, speed in (('slow', 0.12), ('fast', 0.6)))
    (tmp_path / 'config.json').write_text(json.dumps({
        'format_version': 1, 'name': 'both', 'architecture': 'ensemble',
        'max_observation_age_s': 0.5, 'members': [{'path': 'slow', 'weight': 3},
                                                  {'path': 'fast', 'weight': 1}]}))
    image = [np.zeros((96, 128, 3), np.uint8)]
    for bundles, wanted in (([slow, fast], 0.6), ([tmp_path], 0.4)):
        chunks, _ = Teacher(bundles).label(image, INTENTS[0].features())
        np.testing.assert_allclose(chunks[0, :, 0], wanted, atol=1e-6)


@pytest.mark.parametrize(('options', 'says'), [
    ({'chunk': 4}, 'chunk 4 steps; the student needs 8 or more'),
    ({'image': (192, 256)}, 'picture 256 x 192; the student needs 128 x 96 or less')])
def test_a_teacher_that_does_not_fit_is_refused(tmp_path: Path, options: dict,
                                                says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        Teacher([write_bundle(tmp_path / 'teacher', **options)])


def test_a_policy_of_one_task_teaches_nothing() -> None:
    with pytest.raises(PolicyError, match='follows no instruction'):
        Teacher([MODELS / 'tub'])


def test_a_student_is_taught_on_frames_and_on_its_own_drives(frames: Path,
                                                            tmp_path: Path) -> None:
    plan = DistillPlan(steps=2, rounds=1, episodes=1, round_steps=2, memory_steps=2, batch=8,
                       workers=1)
    made = distill([MODELS / 'compact'], frames.parent, tmp_path / 'work', tmp_path / 'student',
                   MODELS / 'compact' / 'instruction.onnx', plan, start=MODELS / 'compact')
    assert made['teacher_parameters'] == parameters(MODELS / 'compact') == made['parameters']
    assert made['frames'] > 10  # its own drive came to the ten frames that there were
    own = Frames([tmp_path / 'work' / 'labels' / 'own1'])
    assert np.abs(own.fields['chunks']).max() <= 1 and len(own) == made['frames'] - 10
    policy = load_policy(tmp_path / 'student', 'cpu')
    policy.set_instruction('pass the box on its left and stop at the red ball')
    chunk = policy.act(Frame(np.zeros((96, 128, 3), np.uint8), 1))
    assert policy.spec.action_space == OMNI_3D and np.isfinite(chunk.velocities).all()
    card = (tmp_path / 'student' / 'README.md').read_text()
    assert '1.0 times as many' in card and 'below 10 times the student carries no larger' in card


@pytest.fixture(scope='module')
def member(tmp_path_factory: pytest.TempPathFactory) -> tuple[FamilyPolicy, Path]:
    """Return a tiny member of the family, and its bundle."""
    folder = tmp_path_factory.mktemp('member')
    torch.manual_seed(0)
    policy = FamilyPolicy(load_preset('hybrid_small', [
        'backbone.width=128', 'backbone.height=96', 'action.chunk=8', 'head.hidden=32'])).eval()
    write_family_bundle(policy, MODELS / 'compact' / 'instruction.onnx', folder / 'bundle',
                        training={'epochs': 0})
    return policy, folder / 'bundle'


def test_a_member_of_the_family_labels_what_its_network_says(
        member: tuple[FamilyPolicy, Path], frames: Path, tmp_path: Path) -> None:
    network, bundle = member
    labels = Frames([relabel(frames, tmp_path / 'labels', [bundle], 1)]).fields
    threshold = load_policy(bundle, 'cpu').spec.arrived_threshold
    pictures = torch.from_numpy(Frames([frames]).images(np.arange(6)))  # the first drive
    for asked, intent in enumerate(INTENTS):
        told = Instructions((intent.describe(),), torch.from_numpy(intent.features()[None]))
        with torch.inference_mode():
            seen = network.encode(pictures, told.select([0] * 6))
            chunks, arrived, _ = network.act(seen[None], network.initial_state(1))
        # The first of a chunk is brought to rest where a drive searches.
        np.testing.assert_allclose(labels['chunks'][:6, asked, 1:], chunks[0, :, 1:], atol=1e-5)
        beliefs = [_belief(one, threshold) for one in arrived[0].sigmoid().flatten().tolist()]
        np.testing.assert_allclose(labels['arrived'][:6, asked], beliefs, atol=1e-5)


def test_a_student_of_a_member_learns_and_its_card_counts_the_member(
        member: tuple[FamilyPolicy, Path], frames: Path, tmp_path: Path) -> None:
    _, bundle = member
    plan = DistillPlan(steps=2, rounds=0, memory_steps=2, batch=8, workers=1)
    made = distill([bundle], frames.parent, tmp_path / 'work', tmp_path / 'student',
                   MODELS / 'compact' / 'instruction.onnx', plan)
    assert made['teacher'] == ['bundle']
    assert made['teacher_parameters'] == sum(p.numel() for p in member[0].parameters())
    assert f'{made["teacher_parameters"]:,}' in (tmp_path / 'student' / 'README.md').read_text()
    assert load_policy(tmp_path / 'student', 'cpu').spec.name == 'student'


def test_who_has_too_small_a_teacher_is_warned_with_the_figure() -> None:
    assert too_small([MODELS / 'compact']).startswith('the teacher has 1.0 times')
    assert 'has 9.0 times' in too_small([MODELS / 'compact'] * 9)
    assert too_small([MODELS / 'compact'] * 10) == ''


def test_a_member_that_has_no_say_is_no_teacher(tmp_path: Path) -> None:
    compact = str(MODELS / 'compact')
    (tmp_path / 'config.json').write_text(json.dumps({
        'format_version': 1, 'name': 'both', 'architecture': 'ensemble',
        'max_observation_age_s': 0.5, 'members': [{'path': compact, 'weight': 1},
                                                  {'path': compact, 'weight': 0}]}))
    assert teacher_parameters([tmp_path]) == parameters(MODELS / 'compact')
