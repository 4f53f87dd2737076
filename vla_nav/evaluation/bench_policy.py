"""How long a policy takes, on each runtime in one run, beside what the machine can do at best."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vla_nav.bringup.share import find_bundle
from vla_nav.contracts import Frame, Policy, PolicyError
from vla_nav.control.diagnostics import percentiles_ms
from vla_nav.evaluation import machine
from vla_nav.evaluation.bench_head import Head, open_head
from vla_nav.evaluation.bench_start import ready
from vla_nav.observations.decode import decode_compressed
from vla_nav.observations.preprocess import to_policy_image
from vla_nav.runtimes.bundle import BundleConfig, EnsembleBundle, FamilyBundle, read_bundle

_CAMERA = (720, 1280)
_QUALITY = 90
_STAGES = ('decode', 'network', 'total')
_PARTS = ('encode', 'head')  # of the network, where they can be told apart
_TURN = 10


@dataclass(frozen=True)
class Subject:
    """One bundle on one runtime."""

    bundle: str
    runtime: str

    @property
    def label(self) -> str:
        """Return how tables call it."""
        return f'{Path(self.bundle).name} · {self.runtime}'


def subjects(bundles: Sequence[str], runtimes: Sequence[str]) -> list[Subject]:
    """Return what to measure: each bundle on each runtime asked for, or on all that take it."""
    return [Subject(bundle, runtime) for bundle in bundles
            for runtime in (runtimes or _possible(bundle))]


def measure(chosen: Sequence[Subject], steps: int, warm_up: int, threads: int,
            note: Callable[[int, int], None] = lambda done, of: None) -> dict[str, Any]:
    """Return the figures of all subjects, which take turns of ten steps.

    A robot has one runtime: a step straight after another runtime's would pay for the code and
    weights that the other has driven out of the caches. Whatever else changes on the machine in
    the meantime, all of them meet it.

    Outputs arrive in the processor's memory before a step counts as done, so that a GPU is
    waited for. After its turn, the head of a network runs as often alone; ``encode`` is what is
    left of the network's time. Where a graph does not tell its head, both are None. Raises
    PolicyError where nothing can be loaded.
    """
    with tempfile.TemporaryDirectory() as work:
        # The heads first: exporting one sets PyTorch's threads, which a policy sets again.
        heads = {subject: open_head(Path(find_bundle(subject.bundle)), subject.runtime, threads,
                                    Path(work) / str(number))
                 for number, subject in enumerate(chosen)}
        policies, problems = _load(chosen, threads)
        jpegs = pictures()
        times = _times(policies, heads, jpegs, steps, warm_up, note)
    rates = machine.measured_rates(threads)
    rows = {subject.label: {
        'bundle': subject.bundle, 'runtime': subject.runtime,
        'provider': policy.spec.provider, 'fallback': policy.spec.fallback,
        **{f'{stage}_ms': percentiles_ms(found) or None
           for stage, found in times[subject].items()},
        **machine.floor_ms(rates, *_work(subject.bundle)),
        'steps_per_s_all_cores': _throughput(subject, steps),
        **_fresh_process(subject, threads)} for subject, policy in policies.items()}
    _add_ratios(rows)
    return {'machine': {**machine.describe(), **rates}, 'threads': threads, 'steps': steps,
            'warm_up': warm_up, 'picture': f'{_CAMERA[1]}x{_CAMERA[0]} JPEG, '
            f'{len(jpegs[0]) // 1000} kB', 'subjects': rows, 'not_measured': problems}


def pictures(count: int = 4) -> list[bytes]:
    """Return JPEG pictures as a camera gives them: soft shapes with a little noise."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        soft = cv2.resize(rng.integers(0, 256, (9, 16, 3), np.uint8), _CAMERA[::-1],
                          interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(soft + rng.normal(0, 4, soft.shape), 0, 255).astype(np.uint8)
        found.append(cv2.imencode('.jpg', noisy, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
                     .tobytes())
    return found


def _possible(bundle: str) -> list[str]:
    config = read_bundle(Path(find_bundle(bundle)))
    if isinstance(config, FamilyBundle):
        return ['eager', 'compile', 'torchscript']
    if not isinstance(config, BundleConfig):
        return ['auto']
    own = {'onnx': ['onnx', 'openvino']}.get(config.target, [config.target])
    return own + (['eager', 'compile', 'torchscript'] if config.files.model else [])


def _load(chosen: Sequence[Subject],
          threads: int) -> tuple[dict[Subject, Policy], dict[str, str]]:
    policies: dict[Subject, Policy] = {}
    problems: dict[str, str] = {}
    for subject in chosen:
        try:
            policies[subject] = ready(find_bundle(subject.bundle), subject.runtime, threads)
        except PolicyError as error:  # no compiler here, say: the others still count
            problems[subject.label] = str(error)
    if not policies:
        raise PolicyError('; '.join(problems.values()) or 'nothing to measure')
    return policies, problems


def _times(policies: Mapping[Subject, Policy], heads: Mapping[Subject, Head | None],
           jpegs: Sequence[bytes], steps: int, warm_up: int, note: Callable[[int, int], None],
           ) -> dict[Subject, dict[str, list[int]]]:
    """Return the nanoseconds of each stage and part of each step; the warm-up is left out."""
    times: dict[Subject, dict[str, list[int]]] = {
        subject: {stage: [] for stage in _STAGES + _PARTS} for subject in policies}
    order = list(policies)
    for first in range(0, warm_up + steps, _TURN):
        turn = range(first, min(first + _TURN, warm_up + steps))
        for subject in order:
            found, head = times[subject], heads[subject]
            counted = [step >= warm_up for step in turn]
            stages = [_step(policies[subject], jpegs[step % len(jpegs)], step) for step in turn]
            for values in compress(stages, counted):
                for stage, value in zip(_STAGES, values):
                    found[stage].append(value)
            if head is not None:
                alone = [head.run_ns() for _ in turn]
                for (_, network, _), value in compress(zip(stages, alone), counted):
                    found['encode'].append(network - value)
                    found['head'].append(value)
        order.append(order.pop(0))
        note(turn.stop, warm_up + steps)
    return times


def _step(policy: Policy, jpeg: bytes, number: int) -> tuple[int, int, int]:
    """Return nanoseconds of decoding with preprocessing, of the network, and of both."""
    height, width = policy.spec.image_height, policy.spec.image_width
    began = time.perf_counter_ns()
    image = to_policy_image(decode_compressed(jpeg, height, width), height, width)
    seen = time.perf_counter_ns()
    policy.act(Frame(image, number * policy.spec.step_ns))
    done = time.perf_counter_ns()
    return seen - began, done - seen, done - began


def _throughput(subject: Subject, steps: int) -> float:
    """Return steps a second with a policy of one thread on every core."""
    cores = os.cpu_count() or 1

    def run(policy: Policy) -> None:
        image = np.zeros((policy.spec.image_height, policy.spec.image_width, 3), np.uint8)
        for number in range(steps):
            policy.act(Frame(image, number * policy.spec.step_ns))

    policies = [ready(find_bundle(subject.bundle), subject.runtime, 1) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        began = time.perf_counter()
        list(pool.map(run, policies))
        return cores * steps / (time.perf_counter() - began)


def _fresh_process(subject: Subject, threads: int) -> dict[str, float]:
    """Return start to first command, and peak memory, of a process that does nothing else."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, '-m', 'vla_nav.evaluation.bench_start', find_bundle(subject.bundle),
         subject.runtime, str(threads)], capture_output=True, text=True)
    if done.returncode:
        raise PolicyError(f'{subject.label}: {done.stderr.strip()[-400:]}')
    found = json.loads(done.stdout)
    return {'start_s': found['first_command_at'] - began, 'peak_mb': found['peak_mb']}


def _work(bundle: str) -> tuple[int, int | None]:
    """Return the bytes of the weights of a step, and its operations where they can be counted."""
    directory = Path(find_bundle(bundle))
    config = read_bundle(directory)
    if isinstance(config, EnsembleBundle):
        return 0, None
    files = [getattr(config.files, key, None) for key in ('policy', 'weights')]
    size = sum((directory / file.name).stat().st_size for file in files if file)
    if config.files.model is None:
        return size, None
    try:
        from torch.utils.flop_counter import FlopCounterMode

        from vla_nav.policies.traceable import load_traceable
    except ImportError:
        return size, None
    network = load_traceable(directory)
    weights = sum(p.numel() * p.element_size() for p in network.module.parameters())
    with FlopCounterMode(display=False) as counter:
        network.module(*network.inputs.values())
    return size or weights, counter.get_total_flops()


def _add_ratios(rows: dict[str, dict[str, Any]]) -> None:
    eager = {row['bundle']: row['network_ms']['p50'] for row in rows.values()
             if row['runtime'] == 'eager'}
    for row in rows.values():
        own, other = row['network_ms']['p50'], eager.get(row['bundle'])
        row['times_floor'] = own / row['floor_ms'] if row['floor_ms'] else None
        row['faster_than_eager'] = None if other is None else other / own
