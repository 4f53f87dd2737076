import io
import json
import tarfile

import cv2
import numpy as np
import pytest

from vla_nav.observations.sources import open_source


def picture(value, suffix='.jpg'):
    return cv2.imencode(suffix, np.full((24, 32, 3), value, np.uint8))[1].tobytes()


def test_a_folder_gives_its_pictures_in_the_order_of_their_names(tmp_path):
    for name, value in (('b.png', 200), ('a.jpg', 50)):
        (tmp_path / name).write_bytes(picture(value, name[1:]))
    (tmp_path / 'notes.txt').write_text('no picture')
    source = open_source(str(tmp_path))
    first, second = source.pictures
    assert (first.format, second.format) == ('jpeg', 'png')
    assert abs(int(first.rgb().mean()) - 50) <= 2 and second.rgb().mean() == 200


def test_a_tub_gives_the_cameras_own_jpegs(tmp_path):
    lines = [json.dumps({'_index': 0, '_timestamp_ms': 1000, 'cam/image_array': '0.jpg',
                         'user/angle': 0.0, 'user/throttle': 0.1})]
    manifest = json.dumps({'paths': ['catalog_0.catalog'], 'deleted_indexes': []})
    files = {'manifest.json': manifest.encode(), 'catalog_0.catalog': lines[0].encode(),
             'images/0.jpg': picture(80)}
    with tarfile.open(tmp_path / 'tub.tar.gz', 'w:gz') as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f'tub/{name}')
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    source = open_source(str(tmp_path / 'tub.tar.gz'))
    assert source.kind == 'tub' and source.rate_hz == 20.0
    assert [p.encoded for p in source.pictures] == [picture(80)]


def test_a_video_gives_rgb_at_its_own_rate(tmp_path):
    path = str(tmp_path / 'red.avi')
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*'MJPG'), 12.0, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (0, 0, 250), np.uint8))
    writer.release()
    source = open_source(path)
    pictures = list(source.pictures)
    assert source.rate_hz == pytest.approx(12.0) and len(pictures) == 3
    red, _, blue = pictures[0].rgb().reshape(-1, 3).mean(0)
    assert red > 200 and blue < 50


@pytest.mark.parametrize('where', ['', 'nowhere.mp4'])
def test_a_source_that_is_not_there_is_named(where):
    with pytest.raises(ValueError, match='no such file'):
        open_source(where)


def test_what_is_no_video_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match='holds no'):
        open_source(str(tmp_path))
    (tmp_path / 'text.mp4').write_text('no video')
    with pytest.raises(ValueError, match='does not open'):
        open_source(str(tmp_path / 'text.mp4'))
