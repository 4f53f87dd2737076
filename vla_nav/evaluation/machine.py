"""What a machine can do at best: memory bandwidth and rate of operations, as NumPy gets them."""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

# Far larger than any cache; and a product large enough that its rate does not grow further.
_COPY_BYTES = 96 << 20
_SIDE = 768
_REPEATS = 8
_PACKAGES = ('onnxruntime', 'onnxruntime-gpu', 'openvino', 'torch', 'numpy', 'mujoco',
             'opencv-python-headless')
_THREADS = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')


def describe() -> dict[str, Any]:
    """Return the processor, how many cores there are, and the versions of what computes."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return {'processor': _processor(), 'cores': os.cpu_count(),
            'python': platform.python_version(), 'versions': versions}


@functools.cache
def kind() -> str:
    """Return what decides whether two machines give the same numbers, as one line."""
    about = describe()
    versions = ', '.join(f'{name} {version}' for name, version in about['versions'].items())
    return f'{about["processor"]}; Python {about["python"]}, {versions}'


def measured_rates(threads: int) -> dict[str, float]:
    """Return bytes and fp32 operations a second on ``threads`` threads.

    In a process of its own, since NumPy's threads are chosen when it is loaded.
    """
    environment = {**os.environ, **dict.fromkeys(_THREADS, str(threads))}
    done = subprocess.run([sys.executable, '-m', __name__], env=environment, check=True,
                          capture_output=True, text=True)
    rates: dict[str, float] = json.loads(done.stdout)
    return rates


def memory_mb(which: str = 'VmHWM', process: str = 'self') -> float:
    """Return a process's peak resident memory in MB, or with 'VmRSS' what it holds now.

    Linux counts into ``getrusage`` what the process was that started this one.
    """
    for line in Path(f'/proc/{process}/status').read_text('ascii').splitlines():
        if line.startswith(f'{which}:'):
            return int(line.split()[1]) / 1024
    raise ValueError(f'/proc/{process}/status has no {which}')


def floor_ms(rates: dict[str, float], size_bytes: int, operations: int | None) -> dict[str, Any]:
    """Return the least time that a step can take: weights read once, operations at full rate."""
    bandwidth = 1e3 * size_bytes / rates['bytes_per_s']
    compute = None if operations is None else 1e3 * operations / rates['operations_per_s']
    return {'bytes': size_bytes, 'operations': operations, 'bandwidth_ms': bandwidth,
            'compute_ms': compute, 'floor_ms': max(bandwidth, compute or 0.0)}


def _processor() -> str:
    path = Path('/proc/cpuinfo')
    lines = path.read_text('utf-8').splitlines() if path.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def _rates() -> dict[str, float]:
    source, target = (np.ones(_COPY_BYTES // 4, np.float32) for _ in range(2))
    a = np.random.default_rng(0).random((_SIDE, _SIDE), np.float32)
    copies = [_seconds(lambda: np.copyto(target, source)) for _ in range(_REPEATS)]
    products = [_seconds(lambda: a @ a) for _ in range(_REPEATS)]
    # A copy reads and writes each byte. The best run: others were disturbed.
    return {'bytes_per_s': 2 * _COPY_BYTES / min(copies),
            'operations_per_s': 2 * _SIDE ** 3 / min(products)}


def _seconds(run: Any) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


if __name__ == '__main__':
    print(json.dumps(_rates()))
