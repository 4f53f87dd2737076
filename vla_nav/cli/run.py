"""``vla-nav run``: the graph on this machine, watched and recorded."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from vla_nav import __version__
from vla_nav.bringup.graph import command_line, graph
from vla_nav.bringup.share import find_bundle
from vla_nav.bringup.shared_memory import remove_stale_segments
from vla_nav.bringup.supervisor import Program, Supervisor
from vla_nav.cli.instruction_field import InstructionField
from vla_nav.cli.live import Display
from vla_nav.language.grammar import phrase
from vla_nav.observations.sources import is_tub
from vla_nav.recording.bag import Bag
from vla_nav.recording.drawing import HEIGHT, WIDTH, draw
from vla_nav.recording.folder import RunFolder
from vla_nav.recording.run_state import RunState
from vla_nav.recording.video import Video
from vla_nav.runtimes import Runtime
from vla_nav.runtimes.bundle import read_bundle

FIRST_SEED = 1_000_000
RATE_HZ = 10
READY_WITHIN_S = 60.0
# How long a robot that refuses, or has done its work, is watched further.
LINGER_S = {'not_understood': 3.0, 'arrived': 2.0, 'outcome': 0.7}
_COMPACT, _DETECTOR = 'models/compact', 'models/detector'
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_console = Console(stderr=True)


@dataclass(frozen=True)
class Plan:
    """What is to be run: the graph's kind and arguments, and what the summary says of it."""

    kind: str
    arguments: Mapping[str, str]
    instruction: str
    settings: Mapping[str, Any]


def run(
    instruction: Annotated[str, typer.Option(
        help='What to do, in English or Korean; the scene is chosen so that it makes sense. '
        "Left out, the scene's own task is put into words.")] = '',
    scenario: Annotated[str, typer.Option(
        help='Cell or family, or how its name begins: 2box_vert_left, hidden, person.')] = '',
    seed: Annotated[int, typer.Option(min=0, help='Seed of the scene.')] = FIRST_SEED,
    policy: Annotated[str, typer.Option(
        help="Policy bundle; or 'expert', the simulator's own planner. Left out: models/tub for a "
        'donkeycar tub, else models/compact.')] = '',
    runtime: Annotated[Runtime, typer.Option(
        help="What runs the policy; auto is the bundle's own.")] = 'auto',
    detector: Annotated[str | None, typer.Option(
        help='Detector bundle, whose obstacles the guard keeps away from; "" runs none.',
        show_default='models/detector in the simulator, none with --source')] = None,
    source: Annotated[str, typer.Option(
        help="Camera index, video, folder of pictures or donkeycar tub, in the simulator's "
        'place.')] = '',
    duration: Annotated[float, typer.Option(min=1.0, help='Longest drive, seconds.')] = 60.0,
    speed_cap: Annotated[str, typer.Option(help='Cap on the linear speed, m/s.')] = '',
    model_delay: Annotated[str, typer.Option(help='Seconds that a slow model thinks: its pictures '
                                             'may get older, and the robot is slowed down.')] = '',
    out: Annotated[Path, typer.Option(help='Where the run folders go.')] = Path('runs'),
    headless: Annotated[bool, typer.Option(
        '--headless', help='Print lines instead of a live table.')] = False,
    as_json: Annotated[bool, typer.Option('--json', help='Print the summary as JSON.')] = False,
) -> None:
    """Start the graph, watch it drive, and keep a recording in runs/latest.

    In a terminal, i or Enter opens a field for another instruction, and q ends the run.

    Exit status 0 when the run came to an end, whatever its outcome; 1 when the graph failed.
    """
    try:
        if source:
            plan = _plan_source(source, instruction, policy or _made_for(source), speed_cap)
        else:
            plan = _plan_simulation(instruction, scenario, seed, policy or _COMPACT, speed_cap)
        if detector is None:  # it was trained on the simulator's things
            detector = '' if source else _DETECTOR
        plan = replace(plan, arguments={**plan.arguments, 'model_delay': model_delay,
                                        'runtime': runtime, 'detector': detector})
        summary, folder = _Drive(plan, RunFolder(out, datetime.now()), duration,
                                 _console.is_terminal and not headless).run()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    except RuntimeError as error:
        _console.print(f'error: {error}', style='red', markup=False)
        raise typer.Exit(1) from error
    if as_json:
        print(json.dumps(summary, ensure_ascii=False, indent=2))
    else:
        _tell(summary, folder)


def _plan_simulation(instruction: str, scenario: str, seed: int, policy: str,
                     speed_cap: str) -> Plan:
    from vla_nav.simulation.choice import choose_scene
    from vla_nav.simulation.gl import ensure_gl
    from vla_nav.simulation.scenario import SCENARIO_VERSION
    bundle = '' if policy == 'expert' else _existing(policy)
    if bundle and (phrases := _phrases(bundle)):
        raise ValueError(f'policy: "{policy}" knows one task, "{phrases[0]}", and the simulator '
                         'has others; give it pictures with --source')
    ensure_gl()
    scene = choose_scene(scenario, seed, _read(instruction, policy) if instruction else None)
    intent = scene.sample().intent
    said = instruction or phrase(intent, np.random.default_rng(seed))
    arguments = {'scenario': scene.cell, 'seed': str(scene.seed), 'split': scene.split,
                 'speed_cap': speed_cap, 'instruction': said}
    arguments |= {'policy': bundle} if bundle else {'driver': 'expert'}
    return Plan('sim', arguments, said, {
        'policy': policy, 'scenario_version': SCENARIO_VERSION, 'cell': scene.cell,
        'seed': scene.seed, 'split': scene.split, 'task': intent.describe()})


def _plan_source(source: str, instruction: str, policy: str, speed_cap: str) -> Plan:
    bundle = _existing(policy)
    phrases = _phrases(bundle)
    said = instruction or (phrases[0] if phrases else
                           'Pass the box on its left and stop at the cone.')
    arguments = {'source': source, 'policy': bundle, 'instruction': said,
                 'speed_cap': speed_cap}
    return Plan('camera', arguments, said, {'policy': policy, 'source': source})


def _made_for(source: str) -> str:
    return 'models/tub' if is_tub(Path(source)) else _COMPACT


def _phrases(bundle: str) -> tuple[str, ...]:
    """Return the phrases of a bundle that knows one task; () where a reader reads."""
    phrases: tuple[str, ...] = getattr(read_bundle(Path(bundle)), 'phrases', ())
    return phrases


def _existing(policy: str) -> str:
    bundle = find_bundle(policy)
    if not (Path(bundle) / 'config.json').is_file():
        raise ValueError(f'policy: "{policy}" holds no config.json; give the directory of a '
                         'bundle, train one with "make weights", or take --policy expert')
    return bundle


def _read(instruction: str, policy: str) -> Any:
    """Return the intent that the bundle reads, or None where it refuses."""
    from vla_nav.contracts import NotUnderstood
    from vla_nav.language.reader import InstructionReader
    bundle = Path(_existing(_COMPACT if policy == 'expert' else policy))
    try:
        return InstructionReader(bundle / 'instruction.onnx').read(instruction).intent
    except NotUnderstood as error:
        _console.print(f'{error}\nThe robot will stand still.', style='yellow', markup=False)
        return None


class _Drive:
    """One run from the start of the processes to the summary."""

    def __init__(self, plan: Plan, folder: RunFolder, duration_s: float, live: bool) -> None:
        self._plan, self._folder, self._duration_s = plan, folder, duration_s
        self._field = InstructionField()
        self._keys = _keys() if live else None
        self._display = Display(_console, live, self._field if self._keys else None)
        self._said: list[str] = []
        nodes = graph(plan.kind, plan.arguments, str(folder.path / 'instruction.txt'))
        module = 'vla_nav.nodes.'
        self._supervisor = Supervisor(
            [Program(node.name, [sys.executable, '-m', module + node.executable,
                                 *command_line(node)], node.may_finish) for node in nodes],
            folder.log_dir, say=self._display.say)
        self._ending, self._end_at = '', float('inf')

    def run(self) -> tuple[dict[str, Any], RunFolder]:
        """Run to the end; the graph is gone when this returns or raises."""
        from vla_nav.nodes.observer import Observer
        # Nobody else's robot on the network shall follow what is tried out here.
        os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        remove_stale_segments()
        began = time.monotonic()
        before = {sent: signal.signal(sent, _as_keyboard_interrupt) for sent in _ENDS}
        bag, observer = Bag(self._folder.bag), None
        video = Video(self._folder.video, WIDTH, HEIGHT, RATE_HZ)
        try:
            # Before the observer's threads exist: a fork takes only the calling thread along.
            self._supervisor.start(began)
            observer = Observer('', bag, 'camera/image_raw', 'cmd_vel', stamped_cmd_vel=False)
            if self._keys:
                self._keys.take()
            with self._display:
                self._watch(observer, video, began)
        except KeyboardInterrupt:
            self._ending = 'interrupted'
        finally:
            # A second Ctrl-C must not cut the tidying short.
            for sent in _ENDS:
                signal.signal(sent, signal.SIG_IGN)
            if self._keys:
                self._keys.close()
            self._supervisor.stop()
            if observer is not None:
                observer.close()
            video.close()
            bag.close()
            remove_stale_segments()
            for sent, handler in before.items():
                signal.signal(sent, handler)
        summary = self._summary(observer.state if observer else RunState(), video.frames)
        self._folder.write_summary(summary)
        return summary, self._folder

    def _watch(self, observer: Any, video: Video, began: float) -> None:
        driving_since: float | None = None
        due = time.monotonic()
        while not self._ending:
            now = time.monotonic()
            self._supervisor.poll(now)
            self._listen(observer)
            with observer.lock:
                state = observer.state
                if driving_since is None and state.ready:
                    driving_since = now
                self._decide(state, now, began, driving_since)
                self._display.update(state, self._plan.instruction, now - began)
                picture = draw(state, self._plan.instruction, self._plan.arguments.get(
                    'scenario', self._plan.kind))
            # The video keeps the pace of the drive, also where this loop does not.
            while driving_since and video.frames <= (now - driving_since) * RATE_HZ:
                video.add(picture)
            due = max(due + 1.0 / RATE_HZ, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def _listen(self, observer: Any) -> None:
        """Take what has been typed, and pass instructions on."""
        for said in self._field.press((self._keys.pressed() or '') if self._keys else ''):
            if observer.say(said):
                self._said.append(said)
            else:
                self._display.say(f'nobody listens to instructions, so this was not sent: {said}')
        if self._field.ended:
            self._ending = 'interrupted'

    def _decide(self, state: RunState, now: float, began: float, since: float | None) -> None:
        """Set the ending when there is one, after the time to linger on it."""
        if self._supervisor.given_up:
            name = self._supervisor.given_up[0]
            raise RuntimeError(f'{name} does not stay up. Its last words:\n'
                               f'{self._supervisor.last_words(name)}')
        if since is None:
            for name in ('camera', 'sim'):
                if state.figure(name, 'level') == 'error':
                    raise RuntimeError(f'{name}: {state.figure(name, "message")}')
            if now - began > READY_WITHIN_S:
                missing = 'the guard' if not state.guard else 'the camera'
                raise RuntimeError(f'nothing heard of {missing} after {READY_WITHIN_S:.0f} s; '
                                   f'see {self._folder.log_dir}')
            return
        seen = ('outcome' if state.outcome else 'source ended' if self._supervisor.finished else
                state.task_state if state.task_state in ('not_understood', 'arrived') else '')
        if seen == 'arrived' and self._plan.kind == 'sim':
            seen = ''  # The judge has the last word there.
        if seen in ('not_understood', 'arrived') and self._field.text is not None:
            seen = ''  # Somebody is typing what comes next.
        if seen and self._end_at == float('inf'):
            self._end_at = now + LINGER_S.get(seen, 0.5)
        elif not seen:
            self._end_at = float('inf')
        if now >= self._end_at:
            self._ending = seen
        elif now - since > self._duration_s:
            self._ending = 'duration'

    def _summary(self, state: RunState, frames: int) -> dict[str, Any]:
        return {
            'version': __version__, 'kind': self._plan.kind, 'ending': self._ending,
            'instruction': self._plan.instruction, 'said': self._said,
            'understood_as': state.reading,
            'task_state': state.task_state, 'outcome': state.outcome,
            'settings': dict(self._plan.settings), 'driven_m': round(state.driven_m, 3),
            'cmd_vel': {'messages': state.commands, 'moving': state.moving_commands},
            'latency_ms': {name: float(state.nodes[node][key]) for name, node, key in (
                ('picture_to_cmd_vel_p50', 'guard', 'picture_to_cmd_vel_p50_ms'),
                ('picture_to_cmd_vel_p95', 'guard', 'picture_to_cmd_vel_p95_ms'),
                ('picture_to_cmd_vel_p99', 'guard', 'picture_to_cmd_vel_p99_ms'),
                ('inference_p50', 'policy', 'inference_p50_ms'),
                ('inference_p99', 'policy', 'inference_p99_ms'),
                ('detector_p50', 'detector', 'look_p50_ms'),
                ('detector_p99', 'detector', 'look_p99_ms'),
            ) if key in state.nodes.get(node, {})},
            'restarts': self._supervisor.restarts, 'messages': dict(state.messages),
            'nodes': state.nodes, 'video_frames': frames,
        }


def _tell(summary: Mapping[str, Any], folder: RunFolder) -> None:
    outcome = summary['outcome']
    if outcome:
        verdict = 'success' if outcome['success'] else f'failed: {outcome["reason"]}'
        _console.print(f'{verdict}, {outcome["path_length_m"]:.1f} m in '
                       f'{outcome["time_s"]:.1f} s of simulated time',
                       style='bold green' if outcome['success'] else 'bold red')
    else:
        _console.print(f'ended: {summary["ending"]}, {summary["cmd_vel"]["moving"]} of '
                       f'{summary["cmd_vel"]["messages"]} commands moved')
    if 'detector' in summary['nodes']:
        seen = summary['nodes']['detector']
        _console.print(f'detector: {seen.get("detector_hz", "-")} Hz, p50 '
                       f'{seen.get("look_p50_ms", "-")} ms, {seen["message"]}', markup=False,
                       highlight=False)
    _console.print(f'{folder.path}/  summary.json  run.mp4  bag/  logs/', markup=False,
                   highlight=False)


def _keys() -> Any:
    """Return the terminal's keys; None where standard input is no terminal, or another's."""
    from vla_nav.nodes.terminal import Keys, in_background
    if not sys.stdin.isatty() or in_background(sys.stdin.fileno()):
        return None
    return Keys()


def _as_keyboard_interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
