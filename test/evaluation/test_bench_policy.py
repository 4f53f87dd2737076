"""What `bench policy` counts, on a clock that the policy itself moves, and on tiny bundles."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bundles import write_bundle
from typer.testing import CliRunner

from vla_nav.cli import main
from vla_nav.evaluation import bench_head, bench_policy, bench_table
from vla_nav.evaluation.bench_head import open_head
from vla_nav.evaluation.bench_policy import Subject, measure

_COMPACT = Path(__file__).parents[2] / 'models' / 'compact'
_MS = 1_000_000


class Clock:
    """Time that passes only when somebody says so."""

    now = 0

    def perf_counter_ns(self) -> int:
        return self.now


class Stand:
    """A policy whose first steps take a second, and the others 5 ms; its head takes 2 of them."""

    spec = SimpleNamespace(image_height=96, image_width=128, step_ns=100 * _MS, provider='cpu',
                           fallback='')

    def __init__(self, clock: Clock, slow: int) -> None:
        self._clock, self._slow, self.heads = clock, slow, 0

    def act(self, frame: Any) -> None:
        self._clock.now += 5 * _MS if frame.stamp_ns >= self._slow * self.spec.step_ns else 10**9

    def run_ns(self) -> int:
        self.heads += 1
        return 2 * _MS if self.heads > self._slow else 10**9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(bench_policy, 'time', clock)
    monkeypatch.setattr(bench_policy.machine, 'measured_rates',
                        lambda threads: {'bytes_per_s': 1e9, 'operations_per_s': 1e9})
    monkeypatch.setattr(bench_policy, '_throughput', lambda subject, steps: 1.0)
    monkeypatch.setattr(bench_policy, '_fresh_process',
                        lambda subject, threads: {'start_s': 1.0, 'peak_mb': 1.0})
    monkeypatch.setattr(bench_policy, '_work', lambda bundle: (10**6, None))
    return clock


@pytest.mark.parametrize('warm_up', [3, 10, 17])  # within a turn of ten steps, and across one
def test_the_warm_up_counts_for_nothing_and_the_parts_make_up_the_whole(
        clock: Clock, monkeypatch: pytest.MonkeyPatch, warm_up: int) -> None:
    one = Stand(clock, warm_up)
    monkeypatch.setattr(bench_policy, 'ready', lambda *_: one)
    monkeypatch.setattr(bench_policy, 'open_head', lambda *_: one)
    row = measure([Subject('b', 'onnx')], 25, warm_up, 1)['subjects']['b · onnx']
    for stage, wanted in (('decode', 0.0), ('network', 5.0), ('encode', 3.0), ('head', 2.0),
                          ('total', 5.0)):
        assert row[f'{stage}_ms'] == dict.fromkeys(('p50', 'p95', 'p99', 'max'), wanted), stage


def test_each_step_of_each_subject_counts_once(clock: Clock,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_policy, 'ready', lambda *_: Stand(clock, 4))
    both = [Subject('b', 'onnx'), Subject('b', 'eager')]
    policies = {subject: Stand(clock, 4) for subject in both}
    heads: Any = {both[0]: None, both[1]: Stand(clock, 4)}
    found = bench_policy._times(policies, heads, bench_policy.pictures(1), 23, 4,
                                lambda done, of: None)
    counts = [{stage: len(values) for stage, values in found[one].items()} for one in both]
    assert counts == [{'decode': 23, 'network': 23, 'total': 23, 'encode': 0, 'head': 0},
                      dict.fromkeys(('decode', 'network', 'total', 'encode', 'head'), 23)]
    for stages in found.values():
        assert stages['total'] == [a + b for a, b in zip(stages['decode'], stages['network'])]
    parts = found[both[1]]
    assert parts['network'] == [a + b for a, b in zip(parts['encode'], parts['head'])]


def test_a_single_graph_does_not_tell_its_head_and_the_table_says_so(tmp_path: Path) -> None:
    bundle = str(write_bundle(tmp_path / 'tiny'))
    result = measure([Subject(bundle, 'onnx'), Subject(bundle, 'eager')], 4, 1, 1)
    row, = result['subjects'].values()
    assert row['encode_ms'] is row['head_ms'] is None
    assert 0 < row['network_ms']['p50'] <= row['total_ms']['max']
    assert row['steps_per_s_all_cores'] > 0 and row['start_s'] > 0 and row['peak_mb'] > 20
    assert 'files.model is missing' in result['not_measured']['tiny · eager']
    named = dict(zip(bench_table.COLUMNS, bench_table.cells('tiny · onnx', row)))
    assert (named['encode p50'], named['head p50']) == ('–', '–')
    assert '| – | – |' in bench_table.markdown(result)


@pytest.mark.parametrize('runtime', ['eager', 'torchscript', 'onnx'])
def test_the_head_of_a_network_with_weights_runs_alone(tmp_path: Path, runtime: str,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('torch', reason='torch is not installed (extra "train")')
    clock = Clock()
    monkeypatch.setattr(bench_head, 'time', clock)
    head = open_head(_COMPACT, runtime, 1, tmp_path / 'head')
    assert head is not None and set(head._fed) == {'features', 'state'}
    ran, run = [], head._graph.run

    def slowly(inputs: Any) -> Any:
        clock.now += 3 * _MS
        ran.append(run(inputs))
        return ran[-1]
    monkeypatch.setattr(head._graph, 'run', slowly)
    assert head.run_ns() == 3 * _MS and ran[0]['actions'].shape == (1, 8, 3)
    assert head._graph.runtime == runtime


def test_the_picture_shows_parts_where_they_are_known() -> None:
    from vla_nav.evaluation.bench_plot import _width
    told = {f'{stage}_ms': {'p50': value} for stage, value in (
        ('decode', 2.0), ('network', 1.0), ('encode', 0.8), ('head', 0.2))}
    untold = {**told, 'encode_ms': None, 'head_ms': None}
    stages = ('decode', 'encode', 'head', 'network')
    assert [_width(told, stage) for stage in stages] == [2.0, 0.8, 0.2, 0.0]
    assert [_width(untold, stage) for stage in stages] == [2.0, 0.0, 0.0, 1.0]


def run(*words: str) -> Any:
    return CliRunner().invoke(main.build(words), words)


def test_bench_without_a_command_is_that_of_a_policy(tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def stop(chosen: Any, steps: int, *_: Any) -> None:
        asked.append((chosen, steps))
        raise RuntimeError('enough')
    monkeypatch.setattr(bench_policy, 'measure', stop)
    for words in ((), ('policy',)):
        assert run('bench', *words, '--policy', 'x', '--runtime', 'onnx').exit_code == 1
    assert asked == [([Subject('x', 'onnx')], 300)] * 2
    assert 'detector' in run('bench').output and len(asked) == 2  # the help


def test_a_policy_before_the_command_is_not_passed_over() -> None:
    shown = run('bench', '--policy', 'x', 'latency')
    assert shown.exit_code == 2
    assert 'stand behind the command' in ' '.join(shown.output.replace('│', ' ').split())
