"""The recording that a long evaluation is timed on is of a driving robot, and two runs agree."""

from __future__ import annotations

import numpy as np
from bundles import write_bundle
from detectors import write_detector

from vla_nav.episodes.bag_reader import open_recording
from vla_nav.episodes.bag_streams import TYPES
from vla_nav.evaluation.bench_replay import HEIGHT, RATE_HZ, WIDTH, measure
from vla_nav.observations.messages import frame_from_message


def test_a_simulated_recording_is_evaluated_alike_twice(tmp_path):
    bundle = write_bundle(tmp_path / 'bundle', (0.3, 0.0, 0.0))
    detector = write_detector(tmp_path / 'detector')
    said: list[tuple[int, ...]] = []
    result = measure(str(bundle), str(detector), 0.01, 2, tmp_path / 'work',
                     lambda *step: said.append(step))
    assert result['bounds']['times_real_time'] == 4.0  # with a detector
    assert result['identical'] and len(result['runs']) == 2
    assert result['pictures'] == round(0.6 * RATE_HZ) == 9
    assert said[-1] == (18, 27)
    with open_recording(tmp_path / 'work' / 'robot_0.01min') as recording:
        found = [(one.topic.name, TYPES.deserialize_cdr(one.raw, one.topic.kind))
                 for one in recording.messages()]
    pictures = [frame_from_message(message) for name, message in found if 'image' in name]
    assert pictures[0].image.shape == (HEIGHT, WIDTH, 3)
    assert np.ptp(pictures[0].image) > 50  # something is to be seen
    assert pictures[6].stamp_ns - pictures[0].stamp_ns == 6 * 10**9 // RATE_HZ
    speeds = [message.twist.linear.x for name, message in found if name == '/cmd_vel']
    assert max(speeds) > 0.1
