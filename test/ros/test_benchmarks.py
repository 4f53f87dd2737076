"""The benchmarks run to their end; what the figures are is a matter for a quiet machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vla_nav.evaluation.safety_trials import FAULTS


def bench(*words):
    # Exit status 1 says that a limit was missed, which a busy machine may do.
    done = subprocess.run([sys.executable, '-m', 'vla_nav.cli.main', 'bench', *words, '--json'],
                          capture_output=True, text=True, timeout=240)
    assert done.returncode in (0, 1) and done.stdout, done.stderr
    return json.loads(done.stdout)


def test_latency_is_measured_picture_by_picture(tmp_path):
    from bundles import write_bundle
    result = bench('latency', '--policy', str(write_bundle(tmp_path / 'bundle', echo=True)),
                   '--frames', '30', '--out', str(tmp_path / 'out'))
    assert result['measured'] > 0 and result['measured'] + result['untold'] == 30
    assert set(result['picture_to_cmd_vel_ms']) == {'p50', 'p95', 'p99', 'max'}
    assert json.loads((tmp_path / 'out' / 'latency.json').read_text()) == result


def test_large_pictures_are_counted_by_their_answers(bundle):
    result = bench('pictures', '--policy', str(bundle), '--seconds', '2')
    assert set(result['answered_share']) == {'raw', 'compressed'} and result['published'] == 60
    assert all(0 < share <= 1 for share in result['answered_share'].values())


def test_the_robot_stops_after_every_kind_of_failure_and_stays(bundle):
    result = bench('safety', '--policy', str(bundle), '--trials', '1')
    assert [row['fault'] for row in result['faults']] == [fault.name for fault in FAULTS]
    assert all(0 < row['silence_in_slowest_s'] <= row['max_s'] for row in result['faults'])


def test_a_start_is_timed_from_the_process_to_its_first_command(bundle):
    result = bench('start', '--policy', str(bundle), '--starts', '1')
    assert 0 < result['start_s']['p50'] == result['start_s']['max'] == result['each_s'][0]
    assert result['peak_mb'] > 20


def test_commands_are_counted_while_a_model_thinks(bundle):
    result = bench('stream', '--policy', str(bundle), '--think', '0.05', '--seconds', '2')
    assert set(result['commands']) == {'cmd_vel_policy', 'cmd_vel'} and result['thoughts'] > 0
    assert all(row['hz'] > 0 for row in result['commands'].values())


def test_an_open_monitor_is_watched_beside_commands_with_and_without_it(bundle):
    pytest.importorskip('rerun', reason='rerun-sdk is not installed (extra "monitor")')
    result = bench('monitor', '--policy', str(bundle), '--minutes', '0.1',
                   '--without-seconds', '2')
    assert result['peak_mb'] == max(result['memory_mb']) > 20
    assert all(stretch['hz'] > 1 for rates in result['rates'].values()
               for stretch in rates.values())


def test_a_policy_that_is_not_there_is_one_clear_error():
    done = subprocess.run([sys.executable, '-m', 'vla_nav.cli.main', 'bench', 'safety',
                           '--policy', '/nowhere'], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert 'no such policy bundle' in done.stderr and 'Traceback' not in done.stderr
