"""What is written is read back; what is damaged is named by file and field."""

from __future__ import annotations

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode, EpisodeError, JpegPictures
from vla_nav.episodes.store import EpisodeRef, find_episodes, open_stored, write_episode


def make_episode(length: int = 5, seed: int = 0, **changes) -> Episode:
    rng = np.random.default_rng(seed)
    fields = {
        'images': rng.integers(0, 256, (length, 6, 8, 3), np.uint8),
        'actions': rng.uniform(-0.6, 0.6, (length, 3)).astype(np.float32),
        'stamps_ns': np.arange(length) * 100_000_000 + 1_795_000_000_000_000_000,
        'instruction': '상자 왼쪽으로 컵까지', 'scenario': '1box_hori_left_far', **changes}
    return Episode(**fields)


def _jpegs(length: int) -> list[bytes]:
    return [cv2.imencode('.jpg', np.full((16, 16, 3), 10 * i, np.uint8))[1].tobytes()
            for i in range(length)]


def assert_same(one: Episode, other: Episode) -> None:
    for name in ('instruction', 'action_names', 'embodiment', 'scenario'):
        assert getattr(one, name) == getattr(other, name)
    for name in ('actions', 'stamps_ns', 'odometry'):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert len(one.images) == len(other.images)
    for index in range(len(one)):
        np.testing.assert_array_equal(one.images[index], other.images[index])


@settings(max_examples=30)
@given(data=st.data(), length=st.integers(1, 6), instruction=st.text(
    st.characters(exclude_categories=['Cs'], exclude_characters='\0'), max_size=40))
def test_round_trip(tmp_path_factory, data, length, instruction):
    odometry = data.draw(st.none() | hnp.arrays(np.float32, (length, 6), elements=st.floats(
        -100, 100, width=32)))
    actions = data.draw(hnp.arrays(np.float32, (length, 2), elements=st.floats(-2, 2, width=32)))
    episode = make_episode(length, actions=actions, action_names=('linear_x', 'angular_z'),
                           instruction=instruction, odometry=odometry, embodiment='differential')
    ref = EpisodeRef(tmp_path_factory.mktemp('store') / 'one.h5')
    write_episode(ref, episode)
    with open_stored(ref) as read:
        assert_same(read, episode)


def test_jpeg_is_kept_to_the_byte(tmp_path):
    jpegs = _jpegs(5)
    ref = EpisodeRef(tmp_path / 'one.h5')
    write_episode(ref, make_episode(images=JpegPictures(jpegs)))
    with open_episode(ref) as read:
        assert [read.images.encoded(i) for i in range(5)] == jpegs
        assert read.images[3].shape == (16, 16, 3)
        # What was read may be written on, still encoded.
        write_episode(EpisodeRef(tmp_path / 'two.h5'), read)


def test_many_episodes_share_a_file(tmp_path):
    refs = [EpisodeRef(tmp_path / 'all.h5', f'episode_{i}') for i in range(3)]
    for i, ref in enumerate(refs):
        write_episode(ref, make_episode(4 + i, seed=i))
    assert find_episodes(tmp_path) == (refs, [])
    with open_episode(refs[2]) as read:
        assert_same(read, make_episode(6, seed=2))
    with pytest.raises(EpisodeError, match='already there'):
        write_episode(refs[0], make_episode())


def test_a_file_is_complete_or_absent(tmp_path):
    class Failing:
        def __len__(self):
            return 5

        def __getitem__(self, index):
            if index:
                raise EpisodeError('camera', 'jpeg[1]', 'cut short')
            return np.zeros((6, 8, 3), np.uint8)

    with pytest.raises(EpisodeError, match='cut short'):
        write_episode(EpisodeRef(tmp_path / 'one.h5'), make_episode(images=Failing()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('changes, field', [
    ({'actions': np.zeros((5, 2), np.float32)}, 'actions'),
    ({'actions': np.full((5, 3), np.nan, np.float32)}, r'actions\[0\]'),
    ({'images': np.zeros((4, 6, 8, 3), np.uint8)}, 'images'),
    ({'stamps_ns': np.zeros(4, np.int64)}, 'stamps_ns'),
    ({'stamps_ns': None}, 'stamps_ns'),
    ({'odometry': np.zeros((5, 3), np.float32)}, 'odometry'),
    ({'action_names': ('linear_x', 'linear_y', 'yaw')}, 'action_names'),
])
def test_broken_episodes_are_not_written(tmp_path, changes, field):
    with pytest.raises(EpisodeError, match=field):
        write_episode(EpisodeRef(tmp_path / 'one.h5'), make_episode(**changes))


def _spoil(name):
    def change(file):
        del file[name]
    return change


def _retype(name, value):
    def change(file):
        del file[name]
        file[name] = value
    return change


def _attribute(name, value):
    def change(file):
        file.attrs[name] = value
    return change


@pytest.mark.parametrize('change, field', [
    (_spoil('images'), 'images'), (_spoil('actions'), 'actions'),
    (_spoil('stamps_ns'), 'stamps_ns'),
    (_retype('images', np.zeros((5, 6, 8), np.uint8)), 'images'),
    (_retype('images', np.zeros((5, 6, 8, 3), np.float32)), 'images'),
    (_retype('actions', 'none'), 'actions'),
    (_retype('stamps_ns', np.arange(5) * 0.1), 'stamps_ns'),
    (_attribute('instruction', 3), 'instruction'),
    (_attribute('action_names', 'linear_x'), 'action_names'),
    (_attribute('action_names', ['linear_x', 'linear_y', 'yaw']), 'action_names'),
    (_attribute('format_version', 2), 'format_version'),
])
def test_every_wrong_field_is_named_with_its_file(tmp_path, change, field):
    ref = EpisodeRef(tmp_path / 'one.h5')
    write_episode(ref, make_episode())
    with h5py.File(ref.path, 'r+') as file:
        change(file)
    with pytest.raises(EpisodeError) as caught, open_episode(ref):
        pass
    assert caught.value.field == field and caught.value.file == str(ref.path)


def test_a_damaged_picture_is_named_and_the_others_are_read(tmp_path):
    jpegs = _jpegs(5)
    jpegs[2] = jpegs[2][:100]
    ref = EpisodeRef(tmp_path / 'one.h5')
    write_episode(ref, make_episode(images=JpegPictures(jpegs)))
    with open_episode(ref) as read:
        assert read.images[3].shape == (16, 16, 3)
        with pytest.raises(EpisodeError, match=r'one\.h5: jpeg\[2\]: .*cut short'):
            read.images[2]


def test_one_bad_file_hides_no_other(tmp_path):
    write_episode(EpisodeRef(tmp_path / 'good.h5'), make_episode())
    (tmp_path / 'cut.h5').write_bytes((tmp_path / 'good.h5').read_bytes()[:1500])
    (tmp_path / 'text.hdf5').write_text('not HDF5')
    (tmp_path / 'notes.txt').write_text('is no recording')
    refs, errors = find_episodes(tmp_path)
    assert refs == [EpisodeRef(tmp_path / 'good.h5')]
    assert sorted(e.file for e in errors) == [str(tmp_path / 'cut.h5'),
                                              str(tmp_path / 'text.hdf5')]


@settings(max_examples=150)
@given(data=st.data())
def test_a_file_with_flipped_bytes_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp('flip') / 'one.h5'
    write_episode(EpisodeRef(path), make_episode())
    blob = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(blob)
    refs, _ = find_episodes(path)
    for ref in refs:
        try:
            with open_episode(ref) as read:
                for index in range(len(read)):
                    assert read.images[index].dtype == np.uint8
        except EpisodeError as error:
            assert str(path) in str(error)
