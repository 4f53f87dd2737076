"""How long a detector takes on this machine, beside ultralytics in the same run and the floor."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vla_nav.bringup.share import find_bundle
from vla_nav.control.diagnostics import percentiles_ms
from vla_nav.detection.bundle import read_detector
from vla_nav.detection.contracts import DetectorError
from vla_nav.detection.onnx_detector import OnnxDetector, load_detector
from vla_nav.evaluation import machine
from vla_nav.evaluation.bench_policy import pictures
from vla_nav.evaluation.bench_ultralytics import Job, Peer
from vla_nav.observations.decode import compressed_size

THREADS = (1, 2)
# What the shipped detector must keep on two threads: ms, times as fast, MB.
LIMITS = {'network_p50_ms': 6.0, 'picture_p50_ms': 12.0, 'faster_than_ultralytics': 2.0,
          'peak_mb': 250.0}
_AT_LEAST = ('faster_than_ultralytics',)
_MEMORY_ROUNDS = 50
# PyTorch's threads spin on for some milliseconds, which is not to slow down who is next.
_SPIN_S = 0.02


@dataclass(frozen=True)
class Plan:
    """What to measure: steps after some to warm up, on pictures of one's own or drawn ones.

    ``against`` is a .pt of ultralytics or a bundle with weights; without it, there is no peer.
    """

    steps: int = 300
    warm_up: int = 30
    against: str | None = None
    files: Sequence[Path] = ()


def measure(detector: str, plan: Plan,
            note: Callable[[int, int], None] = lambda done, of: None) -> dict[str, Any]:
    """Return the figures; all subjects take turns on each picture.

    Raises DetectorError where the bundle or a picture is unusable, BenchError where ultralytics
    ends.
    """
    folder = find_bundle(detector)
    config = read_detector(Path(folder))
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        files = [str(path) for path in plan.files] or _drawn(Path(work))
        jpegs = [_bytes(path) for path in files]
        detectors = {threads: load_detector(folder, threads, 'cpu') for threads in THREADS}
        found = {threads: one.detect_encoded(jpegs[0]) for threads, one in detectors.items()}
        peers: dict[str, Peer] = {} if plan.against is None else {
            name: stack.enter_context(Peer(Job(
                plan.against, config.image_size, config.score_threshold, config.iou_threshold,
                max(THREADS), files, square)))
            for name, square in (('square', True), ('rectangle', False))}
        turns: dict[str, Callable[[int], list[int]]] = {
            **{str(threads): partial(_frame, one, jpegs) for threads, one in detectors.items()},
            **{name: partial(_ask, peer) for name, peer in peers.items()}}
        times = _interleaved(turns, len(files), plan, note)
        rates = {str(threads): machine.measured_rates(threads) for threads in THREADS}
        graph = Path(folder) / config.files.detector.name
        taken = detectors[max(THREADS)].input_shape
        floors = {name: machine.floor_ms(rate, graph.stat().st_size, _operations(graph, taken))
                  for name, rate in rates.items()}
        process = _fresh_process(folder, files)
    rows = {name: {'network_ms': percentiles_ms(times[name][0]),
                   'picture_ms': percentiles_ms(times[name][1]), **floors[name]}
            for name in map(str, THREADS)}
    others = {name: percentiles_ms(times[name][0]) for name in peers}
    result = {
        'detector': detector, 'name': config.name, 'image_size': config.image_size,
        'input': list(taken),
        'graph': graph.name, 'machine': machine.describe(), 'rates': rates,
        'steps': plan.steps, 'warm_up': plan.warm_up, 'against': plan.against,
        'pictures': len(jpegs), 'picture': _about(jpegs[0], bool(plan.files)),
        'boxes': len(found[max(THREADS)]), 'threads': rows, 'ultralytics_ms': others, **process}
    return {**result, **judge(result)}


def judge(result: dict[str, Any]) -> dict[str, Any]:
    """Return each figure beside its limit, and whether all are kept."""
    own = result['threads'][str(max(THREADS))]
    figures = {'network_p50_ms': own['network_ms']['p50'],
               'picture_p50_ms': own['picture_ms']['p50'], 'peak_mb': result['peak_mb']}
    if result['ultralytics_ms']:
        height, width = result['input']
        alike = 'square' if height == width else 'rectangle'
        figures['faster_than_ultralytics'] = (
            result['ultralytics_ms'][alike]['p50'] / own['picture_ms']['p50'])
    bounds = {name: {'value': value, 'limit': LIMITS[name], 'passed': bool(
        value >= LIMITS[name] if name in _AT_LEAST else value <= LIMITS[name])}
        for name, value in figures.items()}
    return {'bounds': bounds, 'passed': all(bound['passed'] for bound in bounds.values())}


def _interleaved(turns: dict[str, Callable[[int], list[int]]], files: int, plan: Plan,
                 note: Callable[[int, int], None]) -> dict[str, list[list[int]]]:
    """Return, for each subject, the nanoseconds of each of its stages."""
    order = list(turns)
    rows: dict[str, list[list[int]]] = {name: [] for name in turns}
    for step in range(plan.warm_up + plan.steps):
        order.append(order.pop(0))  # each goes first in turn
        for name in order:
            stages = turns[name](step % files)
            if step >= plan.warm_up:
                rows[name].append(stages)
        note(step + 1, plan.warm_up + plan.steps)
    return {name: [list(stage) for stage in zip(*row)] for name, row in rows.items()}


def _frame(detector: OnnxDetector, jpegs: Sequence[bytes], number: int) -> list[int]:
    """Return nanoseconds of the network alone, and from a JPEG to boxes."""
    began = time.perf_counter_ns()
    detector.detect_encoded(jpegs[number])
    seen = time.perf_counter_ns()
    detector.network()
    return [time.perf_counter_ns() - seen, seen - began]


def _ask(peer: Peer, number: int) -> list[int]:
    taken = peer.predict(number)
    time.sleep(_SPIN_S)
    return [taken]


def _drawn(folder: Path) -> list[str]:
    for number, jpeg in enumerate(pictures()):
        (folder / f'{number}.jpg').write_bytes(jpeg)
    return sorted(str(path) for path in folder.iterdir())


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DetectorError(f'{path}: cannot be read: {error}; give JPEG files') from error


def _about(jpeg: bytes, own: bool) -> str:
    height, width = compressed_size(jpeg)
    return f'{width}x{height}, {len(jpeg) // 1000} kB, {"given" if own else "drawn"}'


def _operations(graph: Path, picture: tuple[int, int]) -> int | None:
    """Return the operations for one picture, two for each multiplication; None without onnx."""
    try:
        from vla_nav.detection.npu.graph import read_graph
    except ImportError:
        return None
    return 2 * sum(node.macs for node in read_graph(graph, picture))


def _fresh_process(folder: str, files: Sequence[str]) -> dict[str, float]:
    """Return start to first boxes, and peak memory, of a process that does nothing else."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, '-m', 'vla_nav.evaluation.bench_detector_start', folder,
         str(max(THREADS)), str(_MEMORY_ROUNDS), *files], capture_output=True, text=True)
    if done.returncode:
        raise DetectorError(f'{folder}: {done.stderr.strip()[-400:]}')
    found = json.loads(done.stdout)
    return {'start_s': found['first_boxes_at'] - began, 'peak_mb': found['peak_mb']}
