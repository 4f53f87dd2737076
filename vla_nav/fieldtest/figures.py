"""From one take's messages to the figures of the protocol."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.control.diagnostics import percentiles_ms
from vla_nav.control.guard import Reason
from vla_nav.control.task import TaskState
from vla_nav.fieldtest.trace import Trace
from vla_nav.recording.audit import audit
from vla_nav.replay.stops import stops, stretches

# What a person did to the robot; all other stops are the guard's own.
BY_HAND = (Reason.TELEOP.value, Reason.E_STOP.value, Reason.HELD.value)
_MOVING = 1e-3
# Bases stop by themselves when their commands are older than that.
_HELD_NS = 500_000_000
# The guard answers at once; a later command answers something else.
_ANSWER_NS = 100_000_000
_CLOCK_OFFSET_NS = 1_000_000_000
_FASTEST_M_S = 5.0
_AUDITED = ('pictures', 'proposals', 'commands', 'odometry')


def figures(trace: Trace) -> tuple[dict[str, Any], dict[str, NDArray[np.int64]]]:
    """Return what one take shows, and the durations (ns) behind its percentiles."""
    guard = guard_stretches(trace)
    durations = latencies(trace, guard)
    stopped = [one for one in stops(guard) if one['reason'] not in BY_HAND]
    return {
        'seconds': round(trace.seconds, 3), 'messages': trace.messages,
        'driven': driven(trace),
        'guard_s': _seconds(guard, 'reason'), 'limited_s': _seconds(guard, 'limit'),
        'stops': stopped, 'by_hand': interventions(trace, guard),
        'guard': guard, 'task': [text for _, text in trace.task],
        'topics': rates(trace),
        'latency_ms': {name: percentiles_ms(values) for name, values in durations.items()},
        'nodes': reports(trace)}, durations


def guard_stretches(trace: Trace) -> list[dict[str, Any]]:
    """Return what the guard did and which limit held, one after the other."""
    said = [(at, text.partition(', ')) for at, text in trace.guard]
    found = stretches([(at, reason) for at, (reason, _, _) in said], trace.began_ns,
                      trace.ended_ns)
    for one, (_, (_, _, limit)) in zip(found, said):
        one['limit'] = limit
    return [_joined(list(same)) for _, same in
            groupby(found, lambda one: (one['reason'], one['limit']))]


def interventions(trace: Trace, guard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return where a person took over or pressed the e-stop, once the policy had the robot."""
    first = next((number for number, one in enumerate(guard)
                  if one['reason'] == Reason.POLICY.value), None)
    return [] if first is None else [one for one in guard[first:] if one['reason'] in BY_HAND]


def is_dry(trace: Trace, guard: list[dict[str, Any]]) -> bool:
    """Tell whether zeros were sent in place of what the policy asked for and the guard allowed."""
    if any(node == 'guard' and 'dry run' in values['message']
           for _, node, values in trace.reports):
        return True
    asked, sent = trace.proposals.read(), trace.commands.read()
    asked = asked[_while_driving(trace, guard, asked['at'])]
    # A moment's motion that came to nothing is not yet a dry run.
    return bool(len(asked) and len(sent) and _moves(asked).mean() > 0.1
                and not _moves(sent).any())


def had_policy(trace: Trace) -> bool:
    """Tell whether the robot ever followed the policy, or would have in a dry run."""
    if not trace.guard:
        return len(trace.proposals) > 0
    return any(text.partition(',')[0] == Reason.POLICY.value for _, text in trace.guard)


def driven(trace: Trace) -> dict[str, float | None]:
    """Return metres and seconds driven, and the highest speed that was commanded.

    ``m`` is odometry's, without leaps; ``commanded_m`` what the commands add up to.
    """
    sent, places = trace.commands.read(), trace.odometry.read()
    lasting = np.diff(sent['at'], append=trace.ended_ns).clip(0, _HELD_NS) / 1e9
    speed = np.hypot(sent['velocity'][:, 0], sent['velocity'][:, 1])
    moving = _moves(sent)
    steps = np.hypot(*np.diff(places['place'], axis=0).T)
    apart = np.diff(places['at']) / 1e9
    whole = steps <= _FASTEST_M_S * np.maximum(apart, 0.1)
    if not whole.all():
        trace.complaints['the odometry leaps'] += int((~whole).sum())
    return {
        'm': round(float(steps[whole].sum()), 3) if len(places) > 1 else None,
        'commanded_m': round(float((speed * lasting).sum()), 3) if len(sent) else None,
        'seconds': round(float(lasting[moving].sum()), 3),
        'peak_m_s': round(float(speed.max()), 3) if len(sent) else None}


def rates(trace: Trace) -> dict[str, dict[str, Any]]:
    """Return messages, rate, gaps and longest silence of each role's topic."""
    arrivals = {role: getattr(trace, role).read()['at'] for role in _AUDITED
                if role in trace.topics}
    found = audit(arrivals, ('pictures', 'commands'), trace.began_ns, trace.ended_ns)
    return {one.topic: {key: value for key, value in one.to_dict().items()
                        if key not in ('topic', 'needed')} for one in found}


def latencies(trace: Trace, guard: list[dict[str, Any]]) -> dict[str, NDArray[np.int64]]:
    """Return durations in nanoseconds, as far as the robot followed the policy.

    From a picture's stamp to its arrival, to the first command that the policy made of it, to
    the ``cmd_vel`` that came of that; and how old the picture behind each proposal was.
    """
    pictures, asked, sent = (rows.read() for rows in (trace.pictures, trace.proposals,
                                                      trace.commands))
    found = {'picture on arrival': pictures['at'] - pictures['stamp']}
    asked = asked[(asked['stamp'] > 0) & _while_driving(trace, guard, asked['at'])]
    found['picture behind a command'] = asked['at'] - asked['stamp']
    _, first = np.unique(asked['stamp'], return_index=True)
    fresh = asked[first]
    found['picture to proposal'] = fresh['at'] - fresh['stamp']
    answer = np.searchsorted(sent['at'], fresh['at'])
    there = answer < len(sent)
    answered = sent['at'][answer[there]]
    prompt = answered - fresh['at'][there] <= _ANSWER_NS
    found['picture to cmd_vel'] = (answered - fresh['stamp'][there])[prompt]
    off = {name: np.median(values) / 1e9 for name, values in found.items()
           if len(values) and abs(np.median(values)) > _CLOCK_OFFSET_NS}
    if off:
        trace.complaints[f"the camera's stamps are {max(off.values(), key=abs):.1f} s behind the "
                         f'clock of the recorder, so that nothing is said of {", ".join(off)}; '
                         "set the camera's clock"] += 1
    return {name: values[:0] if name in off else values for name, values in found.items()}


def reports(trace: Trace) -> dict[str, dict[str, Any]]:
    """Return the nodes' own figures: median and worst of what they reported, and complaints."""
    found: dict[str, dict[str, Any]] = {}
    for node in sorted({node for _, node, _ in trace.reports}):
        mine = [values for _, who, values in trace.reports if who == node]
        numbers: dict[str, list[float]] = {}
        for values in mine:
            for key, text in values.items():
                if key.endswith(('_ms', '_hz')) and _is_number(text):
                    numbers.setdefault(key, []).append(float(text))
        found[node] = {
            'figures': {key: {'median': float(np.median(values)),
                              'worst': min(values) if key.endswith('_hz') else max(values)}
                        for key, values in numbers.items()},
            'complaints': dict(Counter(values['message'] for values in mine
                                       if values['level'] != '0').most_common())}
    return found


def _while_driving(trace: Trace, guard: list[dict[str, Any]],
                   at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell at which times the guard followed the policy, and the policy had something to do."""
    return (_state_at(at, [(round(one['at_s'] * 1e9) + trace.began_ns, one['reason'])
                           for one in guard], Reason.POLICY.value)
            & _state_at(at, trace.task, TaskState.DRIVING.value))


def _state_at(at: NDArray[np.int64], said: list[tuple[int, str]],
              wanted: str) -> NDArray[np.bool_]:
    """Tell at which times a state held; always where nothing was said of it."""
    if not said:
        return np.ones(len(at), bool)
    index = np.searchsorted([when for when, _ in said], at, side='right') - 1
    holds = np.array([text == wanted for _, text in said])
    return holds[index] & (index >= 0)


def _moves(commands: NDArray[Any]) -> NDArray[np.bool_]:
    return np.abs(commands['velocity']).max(axis=1, initial=0.0) > _MOVING


def _joined(same: list[dict[str, Any]]) -> dict[str, Any]:
    return {**same[0], 'seconds': round(sum(one['seconds'] for one in same), 3)}


def _seconds(found: list[dict[str, Any]], key: str) -> dict[str, float]:
    total: Counter[str] = Counter()
    for one in found:
        if one[key]:
            total[one[key]] += one['seconds']
    return {name: round(seconds, 3) for name, seconds in sorted(total.items())}


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
