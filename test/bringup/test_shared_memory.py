import fcntl
import mmap

import pytest

from vla_nav.bringup.shared_memory import remove_stale_segments


@pytest.fixture
def segment(tmp_path):
    def make(name):
        for path in (name, f'{name}_el', f'sem.{name}_mutex'):
            (tmp_path / path).touch()
        return tmp_path / f'{name}_el'
    return make


@pytest.mark.parametrize('name', ['fastrtps_1234', 'fastdds_1234'])
def test_segments_that_nobody_holds_are_removed(segment, tmp_path, name):
    segment(name)
    assert remove_stale_segments(tmp_path) == [name]
    assert not list(tmp_path.iterdir())


def test_segments_of_a_living_process_stay(segment, tmp_path):
    with segment('fastrtps_1234').open('rb+') as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert remove_stale_segments(tmp_path) == []
        assert len(list(tmp_path.iterdir())) == 3


def test_a_port_that_is_in_use_stays_and_goes_when_nobody_uses_it(tmp_path):
    port = tmp_path / 'fastrtps_port7411'
    port.write_bytes(bytes(4096))
    with port.open('r+b') as file, mmap.mmap(file.fileno(), 4096):
        assert remove_stale_segments(tmp_path) == []
    assert remove_stale_segments(tmp_path) == [port.name]


def test_what_is_not_of_fast_dds_stays(tmp_path):
    for name in ('psm_other', 'sem.other'):
        (tmp_path / name).touch()
    assert remove_stale_segments(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 2
