"""Donkeycar tubs: records in order, bad ones named and left out, SI episodes from them."""

from __future__ import annotations

import io
import json
import tarfile

import cv2
import numpy as np
import pytest

from vla_nav.episodes.from_tub import episodes_from_tub
from vla_nav.episodes.schema import EpisodeError
from vla_nav.episodes.tub import read_tub
from vla_nav.spaces import ActionSpace

_JPEG = cv2.imencode('.jpg', np.zeros((12, 16, 3), np.uint8))[1].tobytes()


def _lines(count):
    return [{'_index': i, '_timestamp_ms': 1_600_000_000_000 + 50 * i, 'user/angle': i / 10,
             'user/throttle': 0.5, 'user/mode': 'user',
             'cam/image_array': f'{i}_cam_image_array_.jpg'} for i in range(count)]


def _write(path, lines, deleted=(), catalogs=2):
    (path / 'images').mkdir(parents=True)
    for i in range(len(lines)):
        (path / 'images' / f'{i}_cam_image_array_.jpg').write_bytes(_JPEG + bytes([i]))
    size = -(-len(lines) // catalogs)
    names = [f'catalog_{n}.catalog' for n in range(catalogs)]
    for n, name in enumerate(names):
        (path / name).write_text(''.join(
            (line if isinstance(line, str) else json.dumps(line)) + '\n'
            for line in lines[n * size:(n + 1) * size]))
    # Archives made on a Mac carry such files; they are binary and no catalogs.
    (path / '._catalog_0.catalog').write_bytes(b'\x00\x05\x16\x07\xff')
    (path / 'manifest.json').write_text('\n'.join(map(json.dumps, [
        ['cam/image_array'], ['image_array'], {}, {'created_at': 0.0},
        {'paths': names, 'current_index': len(lines), 'deleted_indexes': list(deleted)}])) + '\n')
    return path


def test_records_come_in_order_from_all_catalogs_without_deleted_ones(tmp_path):
    records = list(read_tub(_write(tmp_path / 'tub', _lines(5), deleted=[1])))
    assert [r.index for r in records] == [0, 2, 3, 4]
    assert records[1].jpeg == _JPEG + bytes([2])
    assert (records[3].steering, records[3].throttle) == (0.4, 0.5)
    assert records[1].stamp_ns - records[0].stamp_ns == 100_000_000


@pytest.mark.parametrize('inside', ['', 'tub/', './deep/tub/'])
def test_an_archive_reads_like_its_directory(tmp_path, inside):
    tub = _write(tmp_path / 'tub', _lines(4))
    with tarfile.open(tmp_path / 'tub.tar.gz', 'w:gz') as archive:
        for path in sorted(tub.rglob('*')):
            archive.add(path, inside + path.relative_to(tub).as_posix(), recursive=False)
    assert list(read_tub(tmp_path / 'tub.tar.gz')) == list(read_tub(tub))


def test_a_rate_replaces_stamps_and_keeps_the_gap_of_deleted_records(tmp_path):
    tub = _write(tmp_path / 'tub', _lines(5), deleted=[1, 2])
    stamps = [r.stamp_ns for r in read_tub(tub, rate_hz=10)]
    assert np.diff(stamps).tolist() == [300_000_000, 100_000_000]


@pytest.mark.parametrize('change, told', [
    ({'cam/image_array': 'gone.jpg'}, 'cam/image_array: there is no images/gone.jpg'),
    ({'cam/image_array': '../catalog_0.catalog'}, 'there is no'),
    ({'user/angle': None}, 'line 2'), ({'user/throttle': 'fast'}, 'fast'),
    ('{"_index": 1', 'line 2'), ('[]', 'line 2'), ({'_index': ...}, 'no field')])
def test_a_bad_record_is_named_and_the_others_are_read(tmp_path, change, told):
    lines = _lines(4)
    if isinstance(change, str):
        lines[1] = change
    else:
        lines[1] = {k: v for k, v in {**lines[1], **change}.items() if v is not ...}
    told_of = []
    tub = _write(tmp_path / 'tub', lines, catalogs=1)
    assert [r.index for r in read_tub(tub, on_bad=told_of.append)] == [0, 2, 3]
    assert len(told_of) == 1
    assert told in told_of[0] and 'catalog_0.catalog line 2' in told_of[0]


def test_a_broken_jpeg_is_left_out(tmp_path):
    tub = _write(tmp_path / 'tub', _lines(3))
    (tub / 'images' / '1_cam_image_array_.jpg').write_bytes(b'')
    assert [r.index for r in read_tub(tub, on_bad=lambda _: None)] == [0, 2]


def test_what_is_no_tub_is_refused_by_name(tmp_path):
    with pytest.raises(EpisodeError, match='no such tub'):
        list(read_tub(tmp_path / 'nowhere'))
    with pytest.raises(EpisodeError, match=r'manifest\.json.*convert_to_tub_v2'):
        list(read_tub(tmp_path))
    tub = _write(tmp_path / 'tub', _lines(2))
    (tub / 'catalog_1.catalog').unlink()
    with pytest.raises(EpisodeError, match=r'catalog_1\.catalog: is named'):
        list(read_tub(tub))
    (tub / 'manifest.json').write_text('{}')
    with pytest.raises(EpisodeError, match=r'manifest\.json: paths'):
        list(read_tub(tub))


def test_a_damaged_archive_is_refused(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:gz') as archive:
        archive.add(_write(tmp_path / 'tub', _lines(6)), 'tub')
    blob = buffer.getvalue()
    path = tmp_path / 'tub.tar.gz'
    for damaged in (blob[:len(blob) // 2], blob[:40], b'', b'text'):
        path.write_bytes(damaged)
        with pytest.raises(EpisodeError, match=r'tub\.tar\.gz'):
            list(read_tub(path))


def test_episodes_are_in_si_and_right_turns_are_negative(tmp_path):
    tub = _write(tmp_path / 'tub', _lines(6))
    space = ActionSpace.symmetric(linear_x=2.0, angular_z=1.0)
    first, second = episodes_from_tub(tub, 'follow the track', longest=4, space=space)
    np.testing.assert_allclose(first.actions[3], [1.0, -0.3], rtol=1e-6)
    assert (len(first), len(second)) == (4, 2)
    first.check('first')
    assert first.images[0].shape == (12, 16, 3)


def test_episodes_end_at_gaps(tmp_path):
    lines = _lines(6)
    for line in lines[2:]:
        line['_timestamp_ms'] += 2000
    for line in lines[4:]:
        line['_timestamp_ms'] -= 9000
    episodes = list(episodes_from_tub(_write(tmp_path / 'tub', lines), 'go'))
    assert [len(e) for e in episodes] == [2, 2, 2]


def test_the_real_tub_is_read_whole(donkeycar_tub):
    told_of = []
    records = list(read_tub(donkeycar_tub, rate_hz=20.0, on_bad=told_of.append))
    assert len(records) == 1000 and told_of == []
    assert set(np.diff([r.stamp_ns for r in records]).tolist()) == {50_000_000}
    episodes = list(episodes_from_tub(donkeycar_tub, 'follow the track', rate_hz=20.0))
    assert sum(map(len, episodes)) == 1000
    assert episodes[-1].images[199].shape == (120, 160, 3)
