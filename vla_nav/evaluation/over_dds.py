"""The closed loop through the real graph, in real time, judged by the simulated robot."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vla_nav.evaluation.closed_loop import Settings, name_of
from vla_nav.evaluation.conditions import Task, tasks
from vla_nav.evaluation.drivers import BASELINES
from vla_nav.evaluation.metrics import rms_jerk
from vla_nav.evaluation.records import EpisodeRecord
from vla_nav.evaluation.rollout import STEP_S

NEVER_MOVED: dict[str, Any] = {
    'success': False, 'oracle_success': False, 'collision': False, 'person_contact': False,
    'side_correct': False, 'goal_correct': False, 'reached': None, 'time_s': 0.0,
    'path_length_m': 0.0, 'shortest_m': 0.0, 'spl': 0.0}


def run_over_dds(settings: Settings, workers: int = 1,
                 note: Callable[[EpisodeRecord], None] = lambda record: None,
                 ) -> list[EpisodeRecord]:
    """Drive all episodes one after the other through one graph; ``workers`` is of no use here.

    Raises ValueError for what the simulated robot cannot judge or the graph cannot drive.
    """
    condition = settings.condition
    if (condition.text, condition.image) != ('true', 'true') or (
            settings.policy in BASELINES and settings.policy != 'expert'):
        raise ValueError('--over-dds drives a bundle or the expert, with true text and images')
    if settings.detector:
        raise ValueError('--over-dds drives without --detector')
    from vla_nav.nodes.episode_client import EpisodeClient
    records = []
    with tempfile.TemporaryDirectory() as logs, \
            EpisodeClient(settings.policy, Path(logs)) as client:
        for index, task in enumerate(tasks(condition, settings.episodes, settings.first_seed)):
            scenario = task.scenario
            scene: dict[str, str | int] = {
                'cell': scenario.cell, 'seed': scenario.seed, 'split': condition.split}
            driven = client.drive(scene, task.instruction, scenario.time_limit_s)
            records.append(_record(task, index, driven))
            note(records[-1])
    return records


def _record(task: Task, index: int, driven: Any) -> EpisodeRecord:
    scenario, end = task.scenario, driven.outcome or NEVER_MOVED
    reached = end['reached']
    return EpisodeRecord(
        index=index, seed=scenario.seed, cell=scenario.cell, family=scenario.family,
        language=task.language, instruction=task.instruction, distractor=scenario.confusable,
        reached='' if reached is None else name_of(scenario, reached),
        jerk=tuple(rms_jerk(driven.velocities or [(0.0, 0.0, 0.0)], STEP_S).tolist()),
        steps=len(driven.velocities),
        reason=end.get('reason') or f'never moved, {driven.task_state or "no task"}',
        **{key: end[key] for key in NEVER_MOVED if key != 'reached'})
