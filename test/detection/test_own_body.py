import numpy as np
import pytest
from test_free_ground import GROUND, HEIGHT, WIDTH

from vla_nav.detection.ground import mount_pose
from vla_nav.detection.own_body import Body, GroundBeyond

MOUNT = mount_pose(-0.1, 0.0, 0.6, 0.0, 0.35, 0.0)


def test_a_body_hides_what_lies_behind_its_upper_edge():
    # From 0.6 m above, over an edge 0.3 m away at 0.3 m: the ground is seen from 0.6 m on.
    body, camera = Body(0.2, 0.3), np.array([-0.1, 0.0, 0.6])
    points = np.array([[0.49, 0.0], [0.51, 0.0], [0.1, 0.15], [0.0, 1.0], [-1.5, 0.0]])
    assert body.hides(points, camera).tolist() == [True, False, True, False, False]


def test_what_a_body_may_hide_is_not_shown_and_counts_as_cut():
    over, bare = GroundBeyond(GROUND.lens, MOUNT, Body(0.2, 0.3)), GROUND
    near, far = np.array([[0.4, 0.0]]), np.array([[0.8, 0.0]])
    assert bare.shows(near).all() and not over.shows(near).any() and over.shows(far).all()
    boxes = [(x - 10, 20.0, x + 10, y) for x, y in bare.pixels(np.concatenate([near, far]))]
    found = over.place(boxes)
    assert found.points == pytest.approx(bare.place(boxes).points)
    assert found.cut[found.boxes == 0].all() and not found.cut[found.boxes == 1].any()


def test_a_wide_box_that_is_partly_behind_the_body_counts_as_cut_to_its_ends():
    over = GroundBeyond(GROUND.lens, MOUNT, Body(0.2, 0.3))
    (left, bottom), (right, _) = GROUND.pixels([[0.45, 0.3], [0.45, -0.3]])
    found = over.place([(left, 20.0, right, bottom)])
    assert over.shows(found.points[:1]).all() and found.cut.all()


def test_a_body_without_height_hides_nothing_beside_it():
    flat = GroundBeyond(GROUND.lens, MOUNT, Body(0.2, 0.0))
    grid = np.stack(np.meshgrid(np.linspace(0.25, 3.0, 9), np.linspace(-1.0, 1.0, 9)), -1)
    assert (flat.shows(grid.reshape(-1, 2)) == GROUND.shows(grid.reshape(-1, 2))).all()
    assert GROUND.lens.width == WIDTH and GROUND.lens.height == HEIGHT
