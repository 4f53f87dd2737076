"""Published optimisations, each off and on: time and memory of the same work, in one run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch

from vla_nav.control.diagnostics import percentiles_ms
from vla_nav.evaluation import machine
from vla_nav.evaluation.ablation_training import (
    BENCHMARK,
    CHECKPOINTED,
    MIXED,
    PLAIN,
    TrainingStep,
)
from vla_nav.export.write import Order, export
from vla_nav.policies.config import FamilyConfig, load_preset
from vla_nav.policies.device import torch_device
from vla_nav.policies.family import FamilyPolicy
from vla_nav.policies.save import write_family_bundle
from vla_nav.policies.torch_graph import eager, script
from vla_nav.policies.traceable import load_traceable
from vla_nav.runtimes.bundle import load_config
from vla_nav.runtimes.graph import Arrays

_EAGER, _SCRIPT, _EAGER_BENCHMARK = 'eager', 'torchscript', 'eager, cuDNN benchmark'
_RAW, _OPTIMISED = 'onnx as exported', 'onnx optimised'
_CONTROL, _TRAINING = 'control step', 'training step'
_NO_GPU = 'needs an NVIDIA GPU, and PyTorch finds none here'


class Pair(NamedTuple):
    """An optimisation, the work it is for, and the names of that work without and with it."""

    optimisation: str
    work: str
    off: str
    on: str


PAIRS = (
    Pair('TorchScript', _CONTROL, _EAGER, _SCRIPT),
    Pair('ONNX graph optimisation', _CONTROL, _RAW, _OPTIMISED),
    Pair('cuDNN benchmark', _CONTROL, _EAGER, _EAGER_BENCHMARK),
    Pair('cuDNN benchmark', _TRAINING, PLAIN, BENCHMARK),
    Pair('mixed precision (bf16)', _TRAINING, PLAIN, MIXED),
    Pair('gradient checkpointing', _TRAINING, PLAIN, CHECKPOINTED),
)


@dataclass(frozen=True)
class Plan:
    """How often each work is done, after how many times that do not count."""

    steps: int = 200
    warm_up: int = 20
    training_steps: int = 5
    threads: int = 1


def measure(preset: str, overrides: Sequence[str], plan: Plan = Plan(),
            note: Callable[[int, int], None] = lambda done, of: None) -> dict[str, Any]:
    """Return the table of a member of the family with fresh weights, which cost what trained do.

    Batch 1 for a control step; for a training step the preset's windows. Works of a kind take
    turns, so that ratios hold on a busy machine. Raises ConfigError, PolicyError.
    """
    config = load_preset(preset, [*overrides])
    device = torch_device('auto', plan.threads)
    total = plan.steps + plan.warm_up + plan.training_steps + 1
    with TemporaryDirectory() as folder:
        times = _take_turns(_control_steps(config, Path(folder), device, plan.threads),
                            plan.warm_up, plan.steps, lambda done: note(done, total))
    training = _training_steps(config, device)
    first = plan.steps + plan.warm_up
    times |= _take_turns(training, 1, plan.training_steps, lambda done: note(first + done, total))
    memory = {name: _memory(preset, overrides, name, step, plan.threads)
              for name, step in training.items()}
    pairs = [pair for pair in PAIRS if pair.on in times]
    return {
        'machine': machine.describe(), 'device': device, 'threads': plan.threads,
        'preset': config.name, 'overrides': [*overrides], 'batch': config.train.batch,
        'window': config.window, 'steps': plan.steps, 'training_steps': plan.training_steps,
        'rows': [_row(pair, times, memory) for pair in pairs],
        'not_measured': {f'{pair.optimisation}, {pair.work}': _NO_GPU
                         for pair in PAIRS if pair not in pairs}}


def _control_steps(config: FamilyConfig, folder: Path, device: str,
                   threads: int) -> dict[str, Callable[[], Any]]:
    """Return one control step in each form; the forms are proved equal on the way."""
    torch.manual_seed(0)
    write_family_bundle(FamilyPolicy(config).eval(), None, folder / 'policy', training={},
                        phrases=('drive',))
    network = load_traceable(folder / 'policy')
    with warnings.catch_warnings():
        # Tracing warns of what may differ; whether it does, the export's gate tells.
        warnings.simplefilter('ignore')
        export(folder / 'policy', folder / 'onnx', Order('onnx', drives=0, episodes=0))
        plain, scripted = (make(network, device, threads) for make in (eager, script))
    rng = np.random.default_rng(0)
    fed: Arrays = {name: value.numpy() for name, value in network.inputs.items()}
    fed['image'] = rng.integers(0, 256, fed['image'].shape, np.uint8)
    model = folder / 'onnx' / load_config(folder / 'onnx').files.policy.name
    levels = onnxruntime.GraphOptimizationLevel
    raw, optimised = (_session(model, level, device, threads)
                      for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL))
    steps: dict[str, Callable[[], Any]] = {
        _EAGER: lambda: plain.run(fed), _SCRIPT: lambda: scripted.run(fed),
        _RAW: lambda: raw.run(None, fed), _OPTIMISED: lambda: optimised.run(None, fed)}
    if device == 'cuda':
        steps[_EAGER_BENCHMARK] = lambda: _with_benchmark(plain.run, fed)
    return steps


def _session(model: Path, level: Any, device: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.graph_optimization_level = threads, level
    options.log_severity_level = 3
    wanted = (['CUDAExecutionProvider'] if device == 'cuda' else []) + ['CPUExecutionProvider']
    there = onnxruntime.get_available_providers()
    return onnxruntime.InferenceSession(
        str(model), options, providers=[name for name in wanted if name in there])


def _with_benchmark(run: Callable[[Arrays], Any], fed: Arrays) -> Any:
    torch.backends.cudnn.benchmark = True
    try:
        return run(fed)
    finally:
        torch.backends.cudnn.benchmark = False


def _training_steps(config: FamilyConfig, device: str) -> dict[str, TrainingStep]:
    names = (PLAIN, MIXED, CHECKPOINTED) + ((BENCHMARK,) if device == 'cuda' else ())
    return {name: TrainingStep(config, device, name) for name in names}


def _take_turns(works: Mapping[str, Callable[[], Any]], warm_up: int, count: int,
                note: Callable[[int], None]) -> dict[str, list[int]]:
    """Return nanoseconds of each time that each work was done, the device waited for."""
    times: dict[str, list[int]] = {name: [] for name in works}
    order = [*works]
    for turn in range(warm_up + count):
        # Each goes first in turn: what the one before leaves in the caches is nobody's gain.
        order.append(order.pop(0))
        for name in order:
            began = time.perf_counter_ns()
            works[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn >= warm_up:
                times[name].append(time.perf_counter_ns() - began)
        note(turn + 1)
    return times


def _memory(preset: str, overrides: Sequence[str], name: str, step: TrainingStep,
            threads: int) -> float:
    """Return the MB that a training step takes at most beside the weights.

    A GPU says so itself; on a processor it is how much a fresh process grows, which includes the
    optimiser's state.
    """
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    done = subprocess.run(
        [sys.executable, '-m', TrainingStep.__module__, preset, name, str(threads), *overrides],
        capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{name}: {done.stderr.strip()[-400:]}')
    return float(json.loads(done.stdout)['grown_mb'])


def _row(pair: Pair, times: Mapping[str, list[int]],
         memory: Mapping[str, float]) -> dict[str, Any]:
    off, on = (percentiles_ms(times[name]) for name in (pair.off, pair.on))
    taken = [memory.get(name) for name in (pair.off, pair.on)]
    return {**pair._asdict(), 'off_ms': off, 'on_ms': on,
            'times_faster': off['p50'] / on['p50'],
            'off_mb': taken[0], 'on_mb': taken[1],
            'times_less': taken[0] / taken[1] if taken[0] and taken[1] else None}
