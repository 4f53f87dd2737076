from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from test_free_ground import GROUND, HEIGHT, WIDTH

from vla_nav.detection.contracts import Detections, DetectorSpec
from vla_nav.detection.lookout import Lookout, decode_for

BOX = (100.0, 60.0, 140.0, 150.0)


class Fake:
    """Sees one box at the same share of every picture, until told otherwise."""

    spec = DetectorSpec('fake', ('box',), 64, 0.25, 0.7)
    boxes = [BOX]
    lower = 0.0

    def detect(self, image):
        scale = np.float32(image.shape[1] / WIDTH)
        boxes = np.float32(self.boxes).reshape(-1, 4) * scale
        return Detections(boxes, np.ones(len(boxes), np.float32), np.zeros(len(boxes), np.int64),
                          boxes[:, 3] + scale * np.float32(self.lower) if self.lower else None)


PICTURE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
SIZE = (HEIGHT, WIDTH)


def test_boxes_become_points_and_are_in_pixels_of_the_full_picture():
    whole = Lookout(Fake()).look(PICTURE, SIZE, GROUND, None, 1)
    reduced = Lookout(Fake()).look(PICTURE[::2, ::2], SIZE, GROUND, None, 1)
    for sighting in (whole, reduced):
        assert sighting.detections.boxes.tolist() == [list(BOX)]
        assert sighting.obstacles == pytest.approx(GROUND.place([BOX]).points)


def test_a_thing_stands_where_its_foot_may_be_and_its_box_stays_as_it_is():
    detector = Fake()
    detector.lower = 10.0
    left, top, right, bottom = BOX
    for picture in (PICTURE, PICTURE[::2, ::2]):
        sighting = Lookout(detector).look(picture, SIZE, GROUND, None, 1)
        assert sighting.detections.boxes.tolist() == [list(BOX)]
        assert sighting.obstacles == pytest.approx(
            GROUND.place([(left, top, right, bottom + 10.0)]).points)


def test_without_a_camera_that_is_known_there_are_boxes_but_no_obstacles():
    sighting = Lookout(Fake()).look(PICTURE, SIZE, None, (0.0, 0.0, 0.0), 1)
    assert len(sighting.detections) == 1 and sighting.obstacles is None


def test_what_was_seen_is_remembered_only_with_odometry():
    for pose, remembered in (((0.0, 0.0, 0.0), True), (None, False)):
        detector = Fake()
        lookout = Lookout(detector)
        for stamp in range(3):
            seen = lookout.look(PICTURE, SIZE, GROUND, pose, 1 + stamp * 100_000_000)
        detector.boxes = []
        # It has turned round: the box is behind it.
        after = lookout.look(PICTURE, SIZE, GROUND, pose and (0.0, 0.0, np.pi), 400_000_000)
        assert bool(len(after.obstacles)) == remembered
        if remembered:
            assert after.obstacles[:, 0].max() == pytest.approx(-seen.obstacles[0, 0], abs=0.01)
        lookout.clear()
        assert not len(lookout.look(PICTURE, SIZE, GROUND, pose, 500_000_000).obstacles)


def test_without_odometry_what_is_cut_off_stands_right_before_the_robot():
    detector = Fake()
    detector.boxes = [(100.0, 60.0, 140.0, HEIGHT - 1.0), (20.0, 60.0, 40.0, 150.0)]
    obstacles = Lookout(detector).look(PICTURE, SIZE, GROUND, None, 1).obstacles
    feet = GROUND.place(detector.boxes)
    assert feet.cut.any() and not feet.cut.all()
    assert np.hypot(*obstacles[feet.cut].T) == pytest.approx(0.1)
    assert (obstacles[feet.cut][:, 0] > 0.0).all()
    assert obstacles[~feet.cut] == pytest.approx(feet.points[~feet.cut])


def test_floor_that_was_seen_free_is_forgotten_where_odometry_begins_anew(monkeypatch):
    lookout = Lookout(Fake())
    cleared = []
    monkeypatch.setattr(lookout._free, 'clear', lambda: cleared.append(1))
    lookout._free._origin = np.zeros(2)
    lookout.look(PICTURE, SIZE, GROUND, (0.0, 0.0, 0.0), 100_000_000)
    lookout.look(PICTURE, SIZE, GROUND, (0.1, 0.0, 0.0), 200_000_000)
    assert not cleared
    lookout.look(PICTURE, SIZE, GROUND, (3.0, 0.0, 0.0), 300_000_000)
    assert cleared


def test_a_robot_that_was_stopped_does_not_forget_by_what():
    for moves in (0.0, 0.01):
        detector = Fake()
        lookout = Lookout(detector)
        for frame in range(3):
            lookout.look(PICTURE, SIZE, GROUND, (0.0, 0.0, 0.0), frame * 100_000_000)
        detector.boxes = []
        for frame in range(3, 63):
            # The box is out of sight, at the robot's side.
            seen = lookout.look(PICTURE, SIZE, GROUND, (moves * frame, 0.0, 2.0),
                                frame * 100_000_000)
        assert bool(len(seen.obstacles)) == (moves == 0.0)


def test_a_jpeg_is_decoded_no_larger_than_needed_and_a_raw_picture_as_it_is():
    stamp = SimpleNamespace(sec=1, nanosec=0)
    jpeg = SimpleNamespace(header=SimpleNamespace(stamp=stamp), format='jpeg', data=cv2.imencode(
        '.jpg', np.zeros((480, 640, 3), np.uint8))[1].tobytes())
    picture, size = decode_for(jpeg, 64)
    assert picture.shape == (60, 80, 3) and size == (480, 640)
    raw = SimpleNamespace(header=SimpleNamespace(stamp=stamp), height=4, width=6, step=18,
                          encoding='rgb8', is_bigendian=0, data=bytes(72))
    assert decode_for(raw, 64)[0].shape == (4, 6, 3) and decode_for(raw, 64)[1] == (4, 6)
    with pytest.raises(ValueError):
        decode_for(SimpleNamespace(header=jpeg.header, format='jpeg', data=b'no'), 64)
