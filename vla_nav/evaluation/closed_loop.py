"""Many episodes in closed loop, over several processes, the same whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from vla_nav.contracts import Policy
from vla_nav.evaluation.baselines import OPEN_LOOP, DriveStatistics
from vla_nav.evaluation.conditions import Condition, Task, draw, make_task, plan
from vla_nav.evaluation.crew import GivenUp, LocalCrew, finish
from vla_nav.evaluation.disturbances import Disturbances
from vla_nav.evaluation.drivers import drive_statistics, make_driver, needs_camera
from vla_nav.evaluation.metrics import rms_jerk
from vla_nav.evaluation.records import EpisodeRecord
from vla_nav.evaluation.rollout import STEP_S, Border, Trace, Watcher, drive
from vla_nav.simulation.judge import Judge, Outcome
from vla_nav.simulation.layout import Scenario
from vla_nav.simulation.scenario import FIRST_EVALUATION_SEED, SCENARIO_VERSION
from vla_nav.simulation.world import World

Job = tuple[int, int, str]  # index, seed, cell


@dataclass(frozen=True)
class Settings:
    """One closed-loop measurement: who drives, what is varied, how many episodes from where.

    ``delay_ms`` is how long the model thinks about a picture, the robot driving on meanwhile.
    ``detector`` is a detector bundle, or truth: the guard keeps away from what it sees.
    """

    policy: str
    episodes: int
    first_seed: int = FIRST_EVALUATION_SEED
    condition: Condition = field(default_factory=Condition)
    delay_ms: int = 0
    disturbances: Disturbances = field(default_factory=Disturbances)
    detector: str = ''

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a summary prints them; equal ones give equal results."""
        return {'policy': self.policy, 'episodes': self.episodes, 'first_seed': self.first_seed,
                'scenario_version': SCENARIO_VERSION, **self.condition.to_dict(),
                **({'delay_ms': self.delay_ms} if self.delay_ms else {}),
                **({'detector': self.detector} if self.detector else {}),
                **({'disturbances': found} if (found := self.disturbances.changed()) else {})}

    def jobs(self) -> list[Job]:
        """Return the index, seed and cell of each episode; fewer episodes are the first ones."""
        return [(index, seed, cell) for index, (seed, cell) in enumerate(
            plan(self.condition, self.episodes, self.first_seed))]


def attempt(world: World, policy: Policy, task: Task, see: bool = True,
            keep_frames: bool = False, delay_ns: int = 0, border: Border | None = None,
            watcher: Watcher | None = None) -> tuple[Trace, Outcome]:
    """Let a policy try a task as :func:`rollout.drive` does; return its way and how it ended."""
    world.load(task.scenario)
    judge = Judge(world)
    trace = drive(world, judge, policy, task.instruction, see, keep_frames, delay_ns, border,
                  watcher)
    return trace, judge.outcome()


class Driver:
    """One world and one policy, kept for the episodes that a process drives.

    ``settings`` may be exchanged for others that the same driver ``serves``.
    """

    def __init__(self, settings: Settings, statistics: DriveStatistics | None,
                 show: bool = False) -> None:
        """Load both; ``show`` renders even for a driver that does not look."""
        condition = settings.condition
        self.settings = settings
        self._see = needs_camera(settings.policy, condition.image)
        self._world = World(render=self._see or show or bool(settings.detector))
        self._policy = make_driver(settings.policy, self._world, statistics, condition.text,
                                   condition.image)
        self._watch = _watch(settings.detector, self._world)

    def serves(self, settings: Settings) -> bool:
        """Tell whether its policy is the one that ``settings`` ask for."""
        return _who(self.settings) == _who(settings)

    def run(self, index: int, seed: int, cell: str) -> EpisodeRecord:
        """Drive one episode."""
        return self.trace(index, seed, cell)[0]

    def trace(self, index: int, seed: int, cell: str, keep_frames: bool = False,
              ) -> tuple[EpisodeRecord, Trace, Scenario]:
        """Drive one episode and return also its trace and its scene."""
        settings, condition = self.settings, self.settings.condition
        task = make_task(draw(condition, seed, cell), condition, index)
        scenario = task.scenario
        trace, end = attempt(self._world, self._policy, task, self._see, keep_frames,
                             settings.delay_ms * 1_000_000, settings.disturbances.border(seed),
                             self._watch)
        reached = '' if end.reached is None else name_of(scenario, end.reached)
        record = EpisodeRecord(
            index=index, seed=seed, cell=cell, family=scenario.family, language=task.language,
            instruction=task.instruction, distractor=scenario.confusable, success=end.success,
            oracle_success=end.oracle_success, collision=end.collision,
            person_contact=end.person_contact, side_correct=end.side_correct,
            goal_correct=end.goal_correct, reached=reached, time_s=end.time_s,
            path_length_m=end.path_length_m, shortest_m=end.shortest_m, spl=end.spl,
            jerk=tuple(rms_jerk(trace.velocities, STEP_S).tolist()),
            steps=len(trace.commands), reason=trace.trouble or end.reason)
        return record, trace, scenario

    def close(self) -> None:
        """Free the GL contexts."""
        self._world.close()


def _who(settings: Settings) -> tuple[str, bool, str, str]:
    return (settings.policy, settings.condition.text == 'blind', settings.condition.image,
            settings.detector)


def _watch(detector: str, world: World) -> Watcher | None:
    if not detector:
        return None
    from vla_nav.evaluation.watching import make_watch
    return make_watch(detector, world)


def run(settings: Settings, workers: int = 1,
        note: Callable[[EpisodeRecord], None] = lambda record: None) -> list[EpisodeRecord]:
    """Drive all episodes and return their records in order; ``note`` sees each as it ends.

    Raises GivenUp where an episode could not be driven.
    """
    statistics = drive_statistics() if settings.policy in OPEN_LOOP else None
    records = []
    for record in _drive_all(settings, statistics, workers):
        note(record)
        records.append(record)
    return sorted(records, key=lambda record: record.index)


def _drive_all(settings: Settings, statistics: DriveStatistics | None,
               workers: int) -> Iterator[EpisodeRecord]:
    if workers <= 1:
        with opened(settings, statistics) as driver:
            for job in settings.jobs():
                yield driver.run(*job)
        return
    with LocalCrew(workers) as crew:
        for _, record in finish(crew, drive_episode, [
                (settings, statistics, *job) for job in settings.jobs()]):
            if isinstance(record, GivenUp):
                raise record
            yield record


@contextmanager
def opened(settings: Settings, statistics: DriveStatistics | None = None,
           show: bool = False) -> Iterator[Driver]:
    """Open a driver and close it in any case."""
    driver = Driver(settings, statistics, show)
    try:
        yield driver
    finally:
        driver.close()


_driver: Driver | None = None


def drive_episode(settings: Settings, statistics: DriveStatistics | None, index: int, seed: int,
                  cell: str) -> EpisodeRecord:
    """Drive one episode with this process's driver, made anew only where the policy is another.

    Making one compiles the world's model, opens a GL context and loads the networks.
    """
    global _driver
    if _driver is not None and not _driver.serves(settings):
        _driver.close()
        _driver = None
    if _driver is None:
        _driver = Driver(settings, statistics)
    _driver.settings = settings
    return _driver.run(index, seed, cell)


def name_of(scenario: Scenario, index: int) -> str:
    """Return what a person would call an object of the scene."""
    thing = scenario.objects[index]
    return f'{thing.colour} {thing.kind}' if thing.colour else thing.kind
