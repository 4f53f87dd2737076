"""Collection over several processes: rollouts by the expert or by a policy, as shards."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from functools import cache
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_nav.runtimes.sessions import open_session
from vla_nav.simulation.gl import ensure_gl
from vla_nav.simulation.world import World
from vla_nav.training.rollouts import Rollouts, drive

SHARD_EPISODES = 100


def collect(directory: Path, first_seed: int, episodes: int, policy: Path | None = None,
            workers: int = 2) -> dict[str, int]:
    """Drive ``episodes`` seeds and write their frames to ``directory``; return how they ended.

    The frames of a seed do not depend on the number of workers. ``policy`` is a ``policy.onnx``
    that drives; without it the expert does. Shards that are there already are kept.
    """
    ensure_gl()  # before the workers import mujoco
    os.environ.setdefault('LP_NUM_THREADS', '1')  # one software rasteriser thread a worker
    starts = range(first_seed, first_seed + episodes, SHARD_EPISODES)
    jobs = [(directory, start, min(SHARD_EPISODES, first_seed + episodes - start), policy)
            for start in starts if not Rollouts.complete(directory, f'{start:07d}')]
    ends: Counter[str] = Counter()
    columns = (TextColumn('collecting'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # spawn: a forked child would share the parent's GL context and threads.
    context = multiprocessing.get_context('spawn')
    with context.Pool(workers) as pool, Progress(*columns) as progress:
        task = progress.add_task('collecting', total=sum(job[2] for job in jobs))
        for shard in pool.imap_unordered(_shard, jobs):
            ends.update(shard)
            progress.update(task, advance=sum(shard.values()))
    return dict(ends)


def _shard(job: tuple[Path, int, int, Path | None]) -> Counter[str]:
    directory, start, episodes, policy = job
    session = None
    if policy is not None:
        session = open_session(policy.read_bytes(), str(policy), 'cpu', 1)
    world, out = _world(), Rollouts()
    ends = Counter(drive(world, start + i, out, session) for i in range(episodes))
    out.save(directory, f'{start:07d}')
    return ends


@cache
def _world() -> World:
    """Return this worker's world: making its renderer takes longer than many episodes."""
    return World()
