"""Where entities go: a recording, a page, and what they keep in memory."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path
from types import SimpleNamespace as Some
from urllib.request import urlopen

import numpy as np
import psutil
import pytest
import rerun as rr
from rerun.chunk import RrdReader

from vla_nav.monitoring.entities import Entities
from vla_nav.monitoring.layout import TIMELINE
from vla_nav.monitoring.output import save, serve


@pytest.fixture
def stream():
    stream = rr.RecordingStream('vla_nav', recording_id=uuid.uuid4())
    yield stream
    stream.disconnect()


def free_port():
    with socket.socket() as probe:
        probe.bind(('', 0))
        return probe.getsockname()[1]


def show_pictures(stream, count, size):
    """Log what a camera would send: ``count`` pictures of ``size`` bytes, ten a second."""
    entities, random = Entities(), np.random.default_rng(0)
    header = Some(stamp=Some(sec=0, nanosec=0), frame_id='camera')
    for number in range(count):
        message = Some(header=header, format='jpeg', data=random.bytes(size))
        stream.set_time(TIMELINE, timestamp=number / 10)
        for path, entity in entities.of('camera/image_raw/compressed', message, 0):
            stream.log(path, entity)
    stream.flush()


@pytest.mark.filterwarnings('ignore:RRD file has no footer')
def test_a_recording_can_be_read_while_it_is_written_and_brings_its_layout(stream, tmp_path):
    path = tmp_path / 'new' / 'drive.rrd'
    save(stream, path)
    show_pictures(stream, 3, 100)
    reader = RrdReader(path)
    assert sum(chunk.num_rows for chunk in reader.stream()
               if chunk.entity_path == '/odom/base/camera/picture') == 3
    assert len(list(reader.blueprints())) == 1


def test_the_page_is_served_and_names_where_its_data_is(stream):
    web, data = free_port(), free_port()
    address = serve(stream, web, data, '16MiB', 'localhost')
    assert address.startswith(f'http://localhost:{web}/?url=') and f':{data}/proxy' in address
    with urlopen(address) as answer:
        assert answer.status == 200 and b'<title>' in answer.read()


def test_a_port_that_is_taken_is_named_before_anything_is_served(stream):
    with socket.socket() as taken:
        taken.bind(('', 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f'port {port}: .*--data-port'):
            serve(stream, free_port(), port, '16MiB', 'localhost')


def resident_mb():
    return psutil.Process(os.getpid()).memory_info().rss / 2**20


@pytest.mark.filterwarnings('ignore:RRD file has no footer')
@pytest.mark.parametrize('kind', ['page', 'recording'])
def test_memory_stays_bounded_however_long_it_is_left_open(stream, tmp_path, kind):
    if kind == 'page':
        serve(stream, free_port(), free_port(), '8MiB', 'localhost')
    else:
        save(stream, Path(tmp_path / 'drive.rrd'))
    show_pictures(stream, 200, 50_000)
    before = resident_mb()
    show_pictures(stream, 3000, 50_000)  # 143 MiB
    assert resident_mb() - before < 60
