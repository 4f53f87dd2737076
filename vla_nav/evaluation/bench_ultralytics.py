"""A process that times ``ultralytics`` predict on JPEG files, one for each line that it is told.

A process of its own keeps ultralytics and PyTorch off the run path that is measured beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType


class BenchError(RuntimeError):
    """The process with ultralytics ended; its last words are in the message."""


@dataclass(frozen=True)
class Job:
    """A model (.pt, or a bundle's folder), how it predicts, and the JPEG files."""

    model: str
    image_size: int
    score_threshold: float
    iou_threshold: float
    threads: int
    files: Sequence[str]
    square: bool = True


class Peer:
    """Ultralytics in its process; to be used in a ``with`` statement."""

    def __init__(self, job: Job) -> None:
        """Start it and wait until its model is loaded; raise BenchError."""
        self._process = subprocess.Popen(
            [sys.executable, '-m', __name__, json.dumps(asdict(job))], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._line()

    def __enter__(self) -> Peer:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        with suppress(OSError):  # lines that a process which has ended never took
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def predict(self, number: int) -> int:
        """Return the nanoseconds from a file to its detections."""
        assert self._process.stdin
        with suppress(OSError):  # it has ended, which the next line tells
            self._process.stdin.write(f'{number}\n')
            self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise BenchError('ultralytics ended with status '
                             f'{self._process.wait()}; what it said stands above')
        return line


def main(arguments: str) -> None:
    """Answer each line, a file's number, with the nanoseconds of its prediction."""
    answers, sys.stdout = sys.stdout, sys.stderr  # ultralytics speaks on it too
    import torch

    from vla_nav.detection.training.predictor import predictor
    job = Job(**json.loads(arguments))
    torch.set_num_threads(job.threads)
    predict = predictor(job.model, job.image_size, job.score_threshold, job.iou_threshold,
                        job.square)
    print('ready', file=answers, flush=True)
    for line in sys.stdin:
        path = Path(job.files[int(line)])
        began = time.perf_counter_ns()
        predict(path)
        print(time.perf_counter_ns() - began, file=answers, flush=True)


if __name__ == '__main__':
    main(sys.argv[1])
