"""Collection over several processes: rollouts by the expert or by a policy, as shards."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_nav.runtimes.sessions import open_session
from vla_nav.simulation.gl import ensure_gl
from vla_nav.simulation.world import World
from vla_nav.training.rollouts import Rollouts, drive

SHARD_EPISODES = 100


def collect(directory: Path, first_seed: int, episodes: int, policy: Path | None = None,
            state_size: int = 0, workers: int = 2) -> dict[str, int]:
    """Drive ``episodes`` seeds and write their frames to ``directory``; return how they ended.

    The frames of a seed do not depend on the number of workers. ``policy`` is a ``policy.onnx``
    that drives; without it the expert does.
    """
    ensure_gl()  # before the workers import mujoco
    os.environ.setdefault('LP_NUM_THREADS', '1')  # one software rasteriser thread a worker
    starts = range(first_seed, first_seed + episodes, SHARD_EPISODES)
    jobs = [(directory, start, min(SHARD_EPISODES, first_seed + episodes - start), policy,
             state_size) for start in starts]
    ends: Counter[str] = Counter()
    columns = (TextColumn('collecting'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # spawn: a forked child would share the parent's GL context and threads.
    context = multiprocessing.get_context('spawn')
    with context.Pool(workers) as pool, Progress(*columns) as progress:
        task = progress.add_task('collecting', total=episodes)
        for shard in pool.imap_unordered(_shard, jobs):
            ends.update(shard)
            progress.update(task, advance=sum(shard.values()))
    return dict(ends)


def _shard(job: tuple[Path, int, int, Path | None, int]) -> Counter[str]:
    directory, start, episodes, policy, state_size = job
    session = None
    if policy is not None:
        session = open_session(policy.read_bytes(), str(policy), 'cpu', 1)
    world, out = World(), Rollouts()
    ends = Counter(drive(world, start + i, out, session, state_size) for i in range(episodes))
    world.close()
    out.save(directory, f'{start:07d}')
    return ends
