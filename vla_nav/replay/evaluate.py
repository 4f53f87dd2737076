"""Evaluate a policy on a bag: a summary, a page, and a bag with the predictions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from vla_nav.bringup.share import find_bundle
from vla_nav.contracts import Policy, PolicySpec
from vla_nav.detection.looking import LookingSettings
from vla_nav.episodes.bag_reader import open_recording
from vla_nav.episodes.from_bag import kept_success
from vla_nav.episodes.schema import EpisodeError
from vla_nav.evaluation.blind import ImageBlindPolicy, TextBlindPolicy
from vla_nav.evaluation.bundle_facts import members
from vla_nav.replay import figures, page, plots
from vla_nav.replay.bag_output import BagOutput, Content
from vla_nav.replay.graph import ReplayGraph
from vla_nav.replay.looking import Looking
from vla_nav.replay.moments import worst_moments
from vla_nav.replay.run import Replay, Replayed
from vla_nav.replay.settings import ReplaySettings, node_settings
from vla_nav.replay.topics import Roles, roles_of
from vla_nav.runtimes import load_policy
from vla_nav.runtimes.bundle import read_bundle

SUMMARY, PAGE, PREDICTIONS = 'summary.json', 'index.html', 'predictions'


class Clock(Protocol):
    """What is used of the module ``time``."""

    def monotonic_ns(self) -> int:
        """Return the time of a clock that does not go back, in nanoseconds."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


def evaluate_bag(bag: Path, settings: ReplaySettings, out: Path | None, content: Content,
                 progress: Callable[[int], Callable[[], None]] = lambda total: lambda: None,
                 clock: Clock = time) -> dict[str, Any]:
    """Replay ``bag`` and return the summary; with ``out``, write it, the page and the bag there.

    ``progress`` takes the number of messages and returns what to call after each. ``clock``
    keeps the recording's pace where the settings ask for it. Raises EpisodeError, PolicyError,
    DetectorError or ValueError, each with the remedy.
    """
    predictions = (out or Path()) / PREDICTIONS
    if out is not None and content != 'none' and predictions.exists():
        raise ValueError(f'{predictions} exists already; give another --out, or remove it')
    bundle = find_bundle(settings.policy)
    policy = load_policy(bundle)
    with open_recording(bag) as recording:
        roles, translation, kept = roles_of(recording, settings.translation, bag)
        by_arrival = settings.arrival_stamps or translation.stamp_source == 'arrival'
        default = _default_instruction(bundle, str(kept.get('instruction', '')), settings, roles,
                                       bag)
        blind = _blind(bundle) if settings.blind else {}
        output = BagOutput(predictions, content if out else 'none', policy.spec.action_space,
                           'base_link')
        try:
            nodes = node_settings(settings.params_file, policy.spec.max_observation_age_s)
            looking = _looking(settings, nodes.looking, roles)
            replay = Replay(lambda listener: ReplayGraph(policy, nodes.task, nodes.guard,
                                                         nodes.guard_rate, listener),
                            blind, roles, translation, output, looking, nodes.model_delay)
            note = progress(sum(topic.messages for topic in recording.topics))
            found = replay.run(recording, settings.instruction, default, by_arrival,
                               pace(clock) if settings.real_time else None, note)
        finally:
            output.close()
        names = policy.spec.action_space.names
        compared = figures.compare(found, names, translation)
        damage = list(recording.problems)
        if looking is not None:
            damage += [f'{count} pictures gave the guard no obstacles: {why}'
                       for why, count in looking.blind.most_common()]
        if output.skipped:
            damage.append(f'not copied, as the bag does not define their types: '
                          f'{", ".join(sorted(output.skipped))}')
        summary = figures.figures(found, compared, policy.spec, tuple(blind)) | {
            'problems': figures.problems(found, compared, damage,
                                         roles.command.name if roles.command else ''),
            'recorded_success': kept_success(bag, kept),
            'topics': {role: topic and topic.name for role, topic in vars(roles).items()},
            'settings': {'bag': str(bag), **plain(settings), 'axes': ', '.join(names),
                         'command_lead_s': translation.command_lead,
                         'command_tolerance_s': translation.command_tolerance}}
        if looking is not None:
            summary['detections'] = looking.figures()
            summary['latency_ms'] |= looking.milliseconds()
        moments = worst_moments(found, compared, policy.spec, recording, roles,
                                by_arrival, looking)
        summary['worst'] = [{key: value for key, value in one.items() if key != 'picture'}
                            for one in moments]
    if out is not None:
        _write(out, summary, moments, found, compared, policy.spec)
    return summary


def _write(out: Path, summary: dict[str, Any], moments: list[dict[str, Any]], found: Replayed,
           compared: figures.Compared, spec: PolicySpec) -> None:
    out.mkdir(parents=True, exist_ok=True)
    drawn = (plots.over_time(found, compared, spec, summary['guard']['stops'])
             if len(compared.rows) else None)
    bars = plots.error_bars(summary['errors']) if summary['errors'] else None
    page.write_page(out / PAGE, summary, moments, drawn, bars)
    (out / SUMMARY).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + '\n', 'utf-8')


def _looking(settings: ReplaySettings, how: LookingSettings, roles: Roles) -> Looking | None:
    """Return the detector that was asked for."""
    if not settings.detector:
        return None
    # As the node names it where nothing comes.
    parent = roles.picture.name.removesuffix('/compressed').rpartition('/')[0]
    return Looking(settings.detector, how, f'{parent}/camera_info')


def _default_instruction(bundle: str, kept: str, settings: ReplaySettings, roles: Roles,
                         bag: Path) -> str:
    """Return what holds until the recording says something."""
    phrases: tuple[str, ...] = getattr(read_bundle(Path(bundle)), 'phrases', ())
    default = kept or (phrases[0] if phrases else '')
    if not (settings.instruction or default or roles.instruction):
        raise EpisodeError(bag, 'instruction', 'the recording holds none; say what the robot was '
                           'to do: --instruction "..."')
    return default


def _blind(bundle: str) -> dict[str, Policy]:
    """Return the policy's blind twins; one that knows a single task reads no text anyway."""
    twins: dict[str, Policy] = {}
    if not all(getattr(read_bundle(member), 'phrases', ()) for member in members(bundle)):
        twins['text-blind'] = TextBlindPolicy(load_policy(bundle))
    twins['image-blind'] = ImageBlindPolicy(load_policy(bundle))
    return twins


def pace(clock: Clock) -> Callable[[int], None]:
    """Return what waits until as many nanoseconds have passed since the first call of ``clock``.

    What comes late is not waited for, and does not delay what comes after it.
    """
    began = clock.monotonic_ns()

    def wait(passed_ns: int) -> None:
        if (ahead := began + passed_ns - clock.monotonic_ns()) > 0:
            clock.sleep(ahead / 1e9)
    return wait


def plain(settings: ReplaySettings) -> dict[str, Any]:
    """Return settings as JSON holds them."""
    found = asdict(settings)
    return found.pop('translation') | {
        key: str(value) if isinstance(value, Path) else value for key, value in found.items()}
