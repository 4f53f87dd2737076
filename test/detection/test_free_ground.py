"""The floor that was seen free, beside a long box that the robot passes."""

import math

import numpy as np
import pytest

from vla_nav.control.reckoning import into, out_of
from vla_nav.detection.free_ground import FreeGround
from vla_nav.detection.ground import Ground, mount_pose
from vla_nav.detection.lens import Lens

FRAME_NS = 100_000_000
WIDTH, HEIGHT = 256, 192
FOCAL = HEIGHT / 2 / math.tan(math.radians(40))
GROUND = Ground(Lens(HEIGHT, WIDTH, np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2],
                                              [0, 0, 1.0]])),
                mount_pose(-0.1, 0.0, 0.6, 0.0, 0.35, 0.0))
# A box of 0.8 m x 1.2 m on the left of the way; its right side is 0.3 m from the way.
X0, X1, Y0, Y1 = 1.2, 2.4, 0.3, 1.1


def box_of(pose, corners=((X0, Y0), (X0, Y1), (X1, Y0), (X1, Y1))):
    """Return the box around what is seen of the floor under a block, [1, 4]; empty for nothing."""
    x, y = (np.linspace(min(c), max(c), 60) for c in zip(*corners))
    floor = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    pixels = GROUND.pixels(into(floor, pose))
    seen = pixels[np.isfinite(pixels).all(axis=1)]
    seen = seen[((seen >= 0) & (seen < (WIDTH, HEIGHT))).all(axis=1)]
    if not len(seen):
        return np.empty((0, 4))
    return np.array([[*seen.min(axis=0), *seen.max(axis=0)]])


def look(free, pose, step, box):
    feet = GROUND.place(box)
    return free.sift(feet, box, GROUND, pose, 1_000_000_000 + step * FRAME_NS)


def is_edge(points, box):
    """Tell whether none of the points has been moved from the lower edge."""
    edge = GROUND.place(box).points
    return np.abs(points[:, None] - edge).sum(axis=-1).min(axis=1).max() < 1e-9


def way():
    """Come from the left of the passage, as one who has to get into it."""
    for k in range(30):
        share = min(k / 20, 1.0)
        yield 0.9 * share + 0.02 * k, 0.6 * (1 - share), 0.0


def test_a_passage_beside_a_long_box_is_free_once_it_was_seen():
    free, naive = FreeGround(), []
    for step, pose in enumerate(way()):
        box = box_of(pose)
        naive.append(GROUND.place(box).points)
        kept = look(free, pose, step, box)
    # In the passage: the edge laid out reaches to where the robot must drive.
    assert pose[0] > X0 and naive[-1][:, 1].min() < 0.2
    assert len(kept) and kept.points[:, 1].min() > Y0 - 0.1


@pytest.mark.parametrize('yaw', [-0.2, 0.0, 0.2])
def test_of_a_box_across_the_way_no_point_is_lost_or_too_far(yaw):
    free = FreeGround()
    corners = ((1.8, -0.5), (1.8, 0.5), (2.2, -0.5), (2.2, 0.5))
    for step in range(14):
        pose = (0.08 * step, 0.01 * step, yaw * step / 14)
        box = box_of(pose, corners)
        kept = look(free, pose, step, box)
        stands = out_of(kept.points, pose)
        assert len(stands) == len(GROUND.place(box))
        before = stands[np.abs(stands[:, 1]) < 0.45]
        assert np.all(before[:, 0] < 1.85)


def test_of_a_box_beside_the_way_the_inner_end_is_left_out_but_never_half_of_it():
    free, pose = FreeGround(), (0.6, 0.0, 0.0)
    box = box_of(pose)
    edge, kept = GROUND.place(box), look(free, pose, 0, box)
    assert edge.points[:, 1].min() < 0.15 and kept.points[:, 1].min() > 0.2
    assert len(edge) / 2 - 1 <= len(kept) < len(edge)
    assert kept.points[:, 1].max() == edge.points[:, 1].max()
    # A cup has no side to show.
    cup = box_of(pose, ((1.2, 0.1), (1.2, 0.3), (1.4, 0.1), (1.4, 0.3)))
    assert len(look(free, pose, 1, cup)) == len(GROUND.place(cup))


def test_what_has_moved_onto_free_floor_counts():
    free = FreeGround()
    for step in range(5):
        look(free, (0.0, 0.0, 0.0), step, np.empty((0, 4)))
    wide = box_of((0.0, 0.0, 0.0), ((0.8, -0.5), (0.8, 0.5), (1.0, -0.5), (1.0, 0.5)))
    narrow = box_of((0.0, 0.0, 0.0), ((0.7, -0.1), (0.7, 0.1), (0.9, -0.1), (0.9, 0.1)))
    for box in (wide, narrow):
        assert len(look(free, (0.0, 0.0, 0.0), 5, box)) == len(GROUND.place(box)) > 0


@pytest.mark.parametrize('forget', ['time', 'clear', 'far away'])
def test_it_forgets(forget):
    free = FreeGround(lasts_s=2.0)
    for now, place in enumerate(way()):
        seen = box_of(place)
        if not is_edge(look(free, place, now, seen).points, seen):
            step, pose, box = now, place, seen  # the last place where something was moved
    if forget == 'clear':
        free.clear()
    elif forget == 'far away':
        look(free, (30.0, 0.0, 0.0), step, np.empty((0, 4)))
    kept = look(free, pose, step + (60 if forget == 'time' else 1), box)
    assert len(kept) and is_edge(kept.points, box)


def test_nothing_seen_is_nothing_kept():
    assert len(look(FreeGround(), (0.0, 0.0, 0.0), 0, np.empty((0, 4)))) == 0
