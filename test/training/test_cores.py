"""Processes that share a training."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = """
import os, sys, time
from pathlib import Path
from vla_nav.training import cores


def work(rank, workers, folder):
    (Path(folder) / 'made').write_text(str(os.getpid()))
    (Path(folder) / 'made').rename(Path(folder) / 'pid')
    time.sleep(600)


if __name__ == '__main__':
    cores.spread(work, 1, sys.argv[1])
"""


def running(pid: int) -> bool:
    try:  # one that has ended, and that nobody has collected, is in state Z
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_workers_end_with_a_training_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT)
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    end, pid = time.monotonic() + 120, tmp_path / 'pid'
    while not pid.exists():
        assert parent.poll() is None and time.monotonic() < end, 'no worker began'
        time.sleep(0.05)
    worker = int(pid.read_text())
    assert running(worker)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    try:
        while running(worker):
            assert time.monotonic() < end, 'the worker computes on'
            time.sleep(0.05)
    finally:
        if running(worker):
            os.kill(worker, signal.SIGKILL)
