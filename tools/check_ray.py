"""A suite and bags on a Ray cluster and on local processes must end alike, whoever dies.

Run by ``check_ray.sh`` in an environment that has Ray.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from bags import START_NS, drive, text, write_bag

WORKERS, EPISODES = 2, 12
_CELL = {'cells': ['1box_hori_left_close', '2box_vert_right_far']}
SUITE = {'name': 'ray', 'version': '1', 'first_seed': 3_100_000, 'episodes': EPISODES, 'rows': [
    {'name': 'plain', 'title': 'plain scenes', 'condition': _CELL},
    {'name': 'noise', 'title': 'noise', 'condition': _CELL, 'disturbances': {'noise': 8.0},
     'beside': 'plain'}]}
_BIN = Path(sys.executable).parent
_CALL = 'from vla_nav.cli.main import main; main()'
# Ray writes what a worker does into the title of its process.
_BUSY = b'ray::_call'


def main(policy: str) -> None:
    """Compare; the status is 1 where anything differs."""
    with tempfile.TemporaryDirectory(prefix='ray') as folder:
        work = Path(folder)
        (work / 'suite.yaml').write_text(yaml.safe_dump(SUITE), 'utf-8')
        bags = make_bags(work / 'bags', policy)
        suite = ['closed-loop', '--suite', str(work / 'suite.yaml'), '--policies', policy,
                 '--policies', 'expert', '--pictures', '2']
        local = run(suite, work / 'local', '--workers', str(WORKERS))
        local_bags = run(bags, work / 'local_bags', '--workers', str(WORKERS))
        with cluster(work / 'ray') as address:
            ray = ['--ray-address', address]
            same(local, run(suite, work / 'plain', *ray), 'the suite')
            killed = run(suite, work / 'killed', *ray, during=kill_a_worker(work))
            same(local, killed, 'the suite, a worker killed with an episode in hand')
            stopped = run(suite, work / 'stopped', *ray, during=kill_the_run)
            kept = (stopped / 'episodes.jsonl').read_text('utf-8')
            assert not (stopped / 'summary.json').exists()
            same(local, run(suite, work / 'stopped', *ray), 'the suite, the run killed after '
                 f'{len(kept.splitlines())} of {2 * 2 * EPISODES} episodes and resumed')
            same_bags(local_bags, run(bags, work / 'ray_bags', *ray), 'bags')
            same_bags(local_bags, run(bags, work / 'killed_bags', *ray,
                                      during=kill_a_worker(work)), 'bags, a worker killed')


def make_bags(folder: Path, policy: str) -> list[str]:
    """Write bags that take a worker some seconds each; return the command that evaluates them."""
    for number in range(4):
        write_bag(folder / f'bag{number}', [
            ('/instruction', START_NS - 1, text('stop at the red ball')),
            *drive(500 + 20 * number, speed=0.1 * number)])
    return ['bag', '--bag', str(folder), '--policy', policy, '--write', 'none']


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """Have a cluster of two workers with its files in ``folder``; yield its address."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{probe.getsockname()[1]}'
    head = subprocess.Popen(
        [_BIN / 'ray', 'start', '--head', '--block', f'--port={address.rpartition(":")[2]}',
         '--node-ip-address=127.0.0.1', f'--num-cpus={WORKERS}', '--include-dashboard=false',
         '--disable-usage-stats', f'--object-store-memory={100 << 20}', f'--temp-dir={folder}'],
        stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(address) or head.poll() is not None)
        assert head.poll() is None, 'ray start failed; see above'
        yield address
    finally:
        head.send_signal(signal.SIGTERM)  # it ends what it has started
        head.wait()


def answers(address: str) -> bool:
    """Tell whether the cluster can be joined, in a process of its own that leaves again."""
    line = f'import ray; ray.init("{address}", log_to_driver=False, logging_level="error")'
    return not subprocess.run([sys.executable, '-c', line], stderr=subprocess.DEVNULL).returncode


def run(words: list[str], out: Path, *more: str,
        during: Callable[[subprocess.Popen[bytes], Path], None] | None = None) -> Path:
    """Evaluate into ``out`` and return it; ``during`` is called while this is under way."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, '-c', _CALL, 'evaluate', *words, '--out',
                                str(out), *more], stdout=subprocess.DEVNULL)
    if during is not None:
        during(process, out)
    status = process.wait()
    assert status in (0, -signal.SIGKILL), f'{words}: status {status}'
    print(f'  {out.name}: {time.monotonic() - began:.1f} s', flush=True)
    return out


def kill_a_worker(work: Path) -> Callable[[subprocess.Popen[bytes], Path], None]:
    """Return what kills a worker of the cluster that has work in hand."""
    def during(process: subprocess.Popen[bytes], out: Path) -> None:
        victim = 0

        def held() -> bool:
            nonlocal victim
            assert process.poll() is None, f'{out.name} ended before a worker could be killed'
            for pid in busy(work / 'ray'):
                os.kill(pid, signal.SIGSTOP)
                if pid in busy(work / 'ray'):  # still at work, now that it stands
                    victim = pid
                    return True
                os.kill(pid, signal.SIGCONT)
            return False
        wait_until(held)
        os.kill(victim, signal.SIGKILL)
        print(f'  {out.name}: killed a worker at work', flush=True)
    return during


def kill_the_run(process: subprocess.Popen[bytes], out: Path) -> None:
    """Kill the command once it has written some episodes down."""
    def begun() -> bool:
        assert process.poll() is None, 'the run ended before it could be killed'
        ledger = out / 'episodes.jsonl'
        return ledger.is_file() and ledger.read_bytes().count(b'\n') >= 5
    wait_until(begun)
    process.kill()


def busy(folder: Path) -> list[int]:
    """Return the workers at work of the cluster whose files are in ``folder``."""
    found = []
    for entry in Path('/proc').iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / 'cmdline').read_bytes().startswith(_BUSY):
                parent = next(line.split()[1] for line in
                              (entry / 'status').read_text().splitlines()
                              if line.startswith('PPid:'))
                if str(folder).encode() in Path(f'/proc/{parent}/cmdline').read_bytes():
                    found.append(int(entry.name))
        except OSError:  # it has just ended
            continue
    return found


def wait_until(holds: Callable[[], bool], patience_s: float = 300.0) -> None:
    """Wait for what no event tells."""
    end = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end, f'waited {patience_s:.0f} s in vain'
        time.sleep(0.01)


def same(one: Path, other: Path, what: str) -> None:
    """Compare the files of two runs of the suite, byte for byte."""
    for name in ('episodes.jsonl', 'summary.json', 'index.html'):
        assert (one / name).read_bytes() == (other / name).read_bytes(), f'{what}: {name} differs'
    print(f'{what}: page, summary and episodes are the same to the byte', flush=True)


def same_bags(one: Path, other: Path, what: str) -> None:
    """Compare two runs over the bags in all but what they took."""
    names = ['.', *sorted(path.name for path in one.iterdir() if path.is_dir())]
    for name in names:
        assert figures(one / name) == figures(other / name), f'{what}: {name} differs'
    print(f'{what}: the figures of {len(names) - 1} bags and of all together are the same',
          flush=True)


def figures(folder: Path) -> dict[str, Any]:
    """Return a summary without the times that it took."""
    found: dict[str, Any] = json.loads((folder / 'summary.json').read_text('utf-8'))
    return {key: value for key, value in found.items() if key not in ('cost', 'latency_ms')}


if __name__ == '__main__':
    main(*sys.argv[1:])
