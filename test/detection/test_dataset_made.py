"""The simulator's data set: boxes right to the pixel, the same for the same seed, resumed."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_nav.simulation.gl import ensure_gl

ensure_gl()

from vla_nav.detection.dataset.boxes import Box, Limits, visible_boxes  # noqa: E402
from vla_nav.detection.dataset.card import finish_dataset  # noqa: E402
from vla_nav.detection.dataset.effects import photograph  # noqa: E402
from vla_nav.detection.dataset.generate import Settings, generate, label_path  # noqa: E402
from vla_nav.detection.dataset.lint import lint_dataset  # noqa: E402
from vla_nav.detection.dataset.shots import scene_of, shots_of  # noqa: E402
from vla_nav.detection.dataset.silhouette import View  # noqa: E402
from vla_nav.detection.dataset.things import CLASSES, labelled_things  # noqa: E402
from vla_nav.detection.dataset.yolo import (  # noqa: E402
    DatasetError,
    label_file,
    open_dataset,
    parse_line,
    read_labels,
)
from vla_nav.detection.training.yolo import ultralytics  # noqa: E402
from vla_nav.simulation.layout import Block, Person  # noqa: E402
from vla_nav.simulation.scenario import FIRST_EVALUATION_SEED, sample  # noqa: E402
from vla_nav.simulation.world import World  # noqa: E402

_SMALL = Settings(train=3, val=2, test=3, seed=5)
_ALL = Limits(side_px=1, visible=0, inside=0, fills=0)


@pytest.fixture(scope='module')
def world() -> World:
    made = World()
    yield made
    made.close()


@pytest.fixture(scope='module')
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('data')
    finish_dataset(out, _SMALL, generate(out, _SMALL))
    return out


def _alone(world: World, geoms: tuple[int, ...]) -> int:
    """Return how many pixels the geoms cover with nothing else in the world."""
    alpha = world.model.geom_rgba[:, 3].copy()
    world.model.geom_rgba[:, 3] = 0
    world.model.geom_rgba[list(geoms), 3] = alpha[list(geoms)]
    covered = int(np.isin(world.segmentation(), geoms).sum())
    world.model.geom_rgba[:, 3] = alpha
    return covered


def _painted(world: World, geoms: tuple[int, ...]) -> np.ndarray:
    """Return where the picture [H, W] changes when the geoms turn from black to white."""
    colours, pictures = world.model.geom_rgba[list(geoms), :3].copy(), []
    for shade in (0.0, 1.0):
        world.model.geom_rgba[list(geoms), :3] = shade
        pictures.append(world.render().astype(int))
    world.model.geom_rgba[list(geoms), :3] = colours
    return np.abs(pictures[1] - pictures[0]).max(axis=2) > 0


def test_a_box_holds_all_of_a_thing_and_nothing_more(world: World) -> None:
    checked = Counter[str]()
    for shot in shots_of('train', 10, seed=1):
        world.load(scene_of(shot, 1))
        boxes = visible_boxes(world, 320, _ALL)
        shown = world.segmentation()
        things = [t for t in labelled_things(world) if np.isin(shown, t.geoms).any()]
        for thing, box in zip(things, boxes, strict=True):
            rows, columns = np.nonzero(_painted(world, thing.geoms))
            assert (columns.min(), columns.max()) == (box.left, box.right - 1)
            assert (rows.min(), rows.max()) == (box.top, box.bottom - 1)
            checked[CLASSES[box.class_id]] += 1
    assert len(checked) >= 5


def test_silhouettes_are_what_rendering_a_thing_alone_shows(world: World) -> None:
    compared = 0
    for shot in shots_of('train', 5, seed=3):
        world.load(scene_of(shot, 3))
        view = View(world)
        for thing in labelled_things(world):
            predicted, covered = view.silhouette(thing.geoms).inside, _alone(world, thing.geoms)
            assert predicted == pytest.approx(covered, rel=0.05, abs=8)
            compared += covered > 0
    assert compared > 10


def test_what_is_hidden_or_tiny_is_not_labelled_and_what_the_bottom_cuts_off_is(world: World):
    base = replace(sample(0, '1box_hori_left_close'), start=(0.0, 0.0, 0.0), landmark=None,
                   objects=())
    wall = Block(1.0, 0.0, 0.1, 0.6, 0.8)
    behind = Person(1.6, 0.0, 1.0, 0.5, 9.0)
    world.load(replace(base, blocks=(wall,), person=behind))
    view = View(world)
    person_seen = labelled_things(world)[1]
    share = np.isin(world.segmentation(), person_seen.geoms).sum() / view.silhouette(
        person_seen.geoms).inside
    assert 0 < share < 1
    for visible, names in ((share * 0.99, ['box', 'person']), (share * 1.01, ['box'])):
        found = visible_boxes(world, 320, replace(_ALL, visible=visible))
        assert [CLASSES[box.class_id] for box in found] == names
    person = visible_boxes(world, 320, _ALL)[1]
    narrow = (person.right - person.left) * 320 / world.width
    assert len(visible_boxes(world, 320, replace(_ALL, side_px=narrow * 1.01))) == 1

    # Beside the robot, most of a box is outside of the picture.
    world.load(replace(base, blocks=(Block(0.3, 0.6, 0.3, 0.2, 0.2),), person=None))
    thing, = labelled_things(world)
    share = View(world).silhouette(thing.geoms).share_inside
    assert 0.05 < share < 0.8
    for inside, count in ((share * 0.99, 1), (share * 1.01, 0)):
        found = visible_boxes(world, 320, replace(_ALL, inside=inside, fills=1.0))
        assert len(found) == count
    assert found == [] and visible_boxes(world, 320, Limits())[0].left == 0


@given(st.integers(1, 700), st.integers(1, 500), st.data())
def test_a_label_line_keeps_a_box_to_the_pixel(width: int, height: int, data: st.DataObject):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = (data.draw(st.integers(left + 1, width)),
                     data.draw(st.integers(top + 1, height)))
    row = parse_line(Box(3, left, top, right, bottom).line(width, height), 9)
    class_id, x, y, w, h = row
    assert class_id == 3
    assert [x * width - w * width / 2, y * height - h * height / 2, x * width + w * width / 2,
            y * height + h * height / 2] == pytest.approx([left, top, right, bottom], abs=2e-3)


def test_no_scene_is_in_two_splits_and_held_out_ones_are_tested_only():
    shots = {split: shots_of(split, 300, seed=0) for split in ('train', 'val', 'test')}
    seeds = {split: {shot.scene_seed for shot in found} for split, found in shots.items()}
    assert not seeds['train'] & seeds['val'] and not seeds['val'] & seeds['test']
    assert max(seeds['val']) < FIRST_EVALUATION_SEED <= min(seeds['test'])
    groups = {split: {shot.group for shot in found} for split, found in shots.items()}
    assert groups['train'] == groups['val'] == {'tasks', 'clutter'}
    assert groups['test'] == {'tasks', 'clutter', 'layouts', 'appearance'}


def test_the_made_set_reads_back_lints_clean_and_counts_what_it_holds(made: Path):
    dataset = open_dataset(made)
    assert dataset.names == CLASSES
    assert {split: len(found) for split, found in dataset.splits.items()} == {
        'train': 3, 'val': 2, 'test': 3}
    assert [f for f in lint_dataset(made) if f.severity == 'error'] == []
    facts = json.loads((made / 'dataset.json').read_text())
    for split, found in facts['splits'].items():
        rows = [row for path in (made / 'labels' / split).glob('*.txt')
                for row in read_labels(path, len(CLASSES))]
        counted = Counter(CLASSES[int(row[0])] for row in rows)
        assert {name: n for name, n in found['instances'].items() if n} == counted
    card = (made / 'card.md').read_text()
    assert '--train 3 --val 2 --test 3 --seed 5' in card and 'at least 6 pixels' in card


def test_ultralytics_reads_the_same_boxes(made: Path):
    pictures = [path for found in open_dataset(made).splits.values() for path in found]
    with ultralytics('data.utils') as library:
        labels = library.img2label_paths([str(path) for path in pictures])
        for picture, label in zip(pictures, labels, strict=True):
            assert Path(label) == label_file(picture)
            _, rows, shape, *_, corrupt, message = library.verify_image_label(
                (str(picture), label, '', False, len(CLASSES), 0, 0, False))
            assert corrupt == 0 and message == '' and shape in {(192, 256), (480, 640), (360, 640)}
            assert rows == pytest.approx(read_labels(Path(label), len(CLASSES)), abs=1e-6)


def test_an_interrupted_run_goes_on_to_the_same_bytes(made: Path, tmp_path: Path):
    again = tmp_path / 'again'
    shutil.copytree(made, again)
    shot = _SMALL.shots()[1]
    picture = again / 'images' / 'train' / f'{shot.stem}.jpg'
    content = picture.read_bytes()
    picture.unlink()
    label_path(again, shot).write_text('0 0.5 0.5 0.1 0.1\n')  # as a killed process left it
    there = []
    generate(again, _SMALL, note=lambda done, total: there.append((done, total)))
    assert there == [(7, 8), (8, 8)] and picture.read_bytes() == content
    assert label_path(again, shot).read_text() == label_path(made, shot).read_text()
    with pytest.raises(DatasetError, match='seed is 5'):
        generate(again, replace(_SMALL, seed=6))
    with pytest.raises(DatasetError, match='val is 2'):
        generate(again, replace(_SMALL, val=1))


def test_a_camera_makes_no_number_of_what_is_black():
    # Wide enough for a blur that is computed by its spectrum, and half of it without light.
    picture = np.zeros((360, 640, 3), np.uint8)
    picture[:, 320:] = 200
    with np.errstate(invalid='raise'):
        for seed in range(12):
            photograph(picture, np.random.default_rng(seed))
