"""How the figures of the results page are read from the summaries of its measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vla_nav.evaluation.metrics import paired_difference
from vla_nav.evaluation.table import FIRST_SEED, Figure, Taken


def success(key: str) -> Callable[[Taken], Figure]:
    """Return what reads the success rate of a closed-loop measurement."""
    def read(taken: Taken) -> Figure:
        summary = taken[key]
        return Figure(summary['success_rate'], summary['episodes'], *summary['ci95'])
    return read


def share(key: str, name: str) -> Callable[[Taken], Figure]:
    """Return what reads another rate or mean that has an interval."""
    def read(taken: Taken) -> Figure:
        summary = taken[key]
        return Figure(summary[name], summary['episodes'], *summary['intervals'][name])
    return read


def with_distractor(taken: Taken) -> Figure:
    """Return the success in scenes where another object shares the goal's kind or colour."""
    group = taken['seen']['distractor']['shared']
    return Figure(group['rate'], group['n'], *group['ci95'])


def lost(worse: str, better: str) -> Callable[[Taken], Figure]:
    """Return what reads the points of success lost against another run of the same seeds."""
    def read(taken: Taken) -> Figure:
        n = min(taken[better]['episodes'], taken[worse]['episodes'])
        value, low, high = paired_difference(_succeeded(taken[better], n),
                                             _succeeded(taken[worse], n))
        return Figure(value, n, low, high)
    return read


def apart(one: str, other: str) -> Callable[[Taken], Figure]:
    """Return what reads by how many points two runs of the same seeds differ, either way."""
    def read(taken: Taken) -> Figure:
        figure = lost(one, other)(taken)
        if figure.value >= 0 or figure.low is None or figure.high is None:
            return figure
        return Figure(-figure.value, figure.n, -figure.high, -figure.low)
    return read


def offline_ratio(against: Sequence[str]) -> Callable[[Taken], Figure]:
    """Return what reads the policy's MAE over the smallest of the named predictors'."""
    def read(taken: Taken) -> Figure:
        table = taken['offline']['predictors']
        best = min(table[name]['joint']['mae'] for name in against)
        return Figure(table['policy']['joint']['mae'] / best, taken['offline']['samples'])
    return read


def bag_ratio(key: str, against: Sequence[str]) -> Callable[[Taken], Figure]:
    """Return what reads the same ratio of the evaluation of a bag."""
    def read(taken: Taken) -> Figure:
        errors = taken[key]['errors']
        best = min(errors['mae'][name]['value'] for name in against)
        return Figure(errors['mae']['policy']['value'] / best, errors['samples'])
    return read


def looked_at(key: str) -> Callable[[Taken], Figure]:
    """Return what reads the share of a bag's pictures that were evaluated, or no news."""
    def read(taken: Taken) -> Figure:
        counts = taken[key]['pictures']
        fine = counts['evaluated'] + counts.get('unchanged', 0)
        return Figure(fine / counts['pictures'], counts['pictures'])
    return read


def latency_p99(taken: Taken) -> Figure:
    """Return the 99th percentile from picture to ``cmd_vel``, in ms."""
    summary = taken['latency']
    return Figure(summary['picture_to_cmd_vel_ms']['p99'], summary['measured'])


def worst_transport(taken: Taken) -> Figure:
    """Return the share of large pictures answered over the transport that loses more."""
    summary = taken['pictures']
    return Figure(min(summary['answered_share'].values()), summary['published'])


def worst_stop(taken: Taken) -> Figure:
    """Return by how many ms the slowest stop was later than its limit; n is trials a fault."""
    faults = taken['safety']['faults']
    return Figure(max(fault['over_limit_ms'] for fault in faults),
                  min(fault['trials'] for fault in faults))


def _succeeded(summary: Mapping[str, Any], n: int) -> list[bool]:
    failed = set(summary['failed_seeds'])
    return [seed not in failed for seed in range(FIRST_SEED, FIRST_SEED + n)]


def step_ms(stage: str) -> Callable[[Taken], Figure]:
    """Return what reads the median of a stage of a step of the bundle's own runtime, ms."""
    def read(taken: Taken) -> Figure:
        bench = taken['runtimes']
        own = next(row for row in bench['subjects'].values() if row['runtime'] == 'onnx')
        return Figure(own[f'{stage}_ms']['p50'], bench['steps'])
    return read


def faster_than_eager(taken: Taken) -> Figure:
    """Return how many times faster than eager PyTorch the network is on its fastest runtime."""
    bench = taken['runtimes']
    return Figure(max(row['faster_than_eager'] or 0.0 for row in bench['subjects'].values()),
                  bench['steps'])


def figure(key: str, *path: str, n: str = '') -> Callable[[Taken], Figure]:
    """Return what reads one number of a summary; ``n`` names the number of samples."""
    def read(taken: Taken) -> Figure:
        value: Any = taken[key]
        for name in path:
            value = value[name]
        return Figure(float(value), taken[key][n] if n else 1)
    return read


def lost_at_most(worse: str, better: str) -> Callable[[Taken], Figure]:
    """Return what reads the upper bound of the points of success lost on the same seeds."""
    def read(taken: Taken) -> Figure:
        found = lost(worse, better)(taken)
        assert found.high is not None
        return Figure(found.high, found.n, found.low, found.high)
    return read


def student_lost(taken: Taken) -> Figure:
    """Return the upper bound of what a student (first) loses against its teacher (second)."""
    found = taken['student']
    low, high = (-end for end in reversed(found['ci95']))
    return Figure(high, found['episodes'], low, high)


def error_lost(worse: str, better: str) -> Callable[[Taken], Figure]:
    """Return what reads by which share an offline error grows."""
    def read(taken: Taken) -> Figure:
        mae = [taken[key]['predictors']['policy']['joint']['mae'] for key in (worse, better)]
        return Figure(mae[0] / mae[1] - 1, taken[worse]['samples'])
    return read


def relative_at(delay_ms: int) -> Callable[[Taken], Figure]:
    """Return what reads the success with a delay of the model over that without."""
    def read(taken: Taken) -> Figure:
        summary = taken['delay']
        row = next(row for row in summary['delays'] if row['delay_ms'] == delay_ms)
        return Figure(row['relative'], summary['episodes'])
    return read


def megabytes(key: str, file: str) -> Callable[[Taken], Figure]:
    """Return what reads the size of a file of an export, MB."""
    return lambda taken: Figure(taken[key]['bytes'][file] / 1e6, 1)


def members(read: Callable[[Mapping[str, Any]], float], worst: Callable[..., float]
            ) -> Callable[[Taken], Figure]:
    """Return what reads the worst, or the best, of the small forms, their ensemble apart."""
    def found(taken: Taken) -> Figure:
        several = [one for name, one in taken['study']['members'].items() if name != 'ensemble']
        return Figure(worst(map(read, several)), len(several))
    return found


def heavy_members(taken: Taken) -> Figure:
    """Return how many members of the ensemble weigh at least 0.2."""
    weights = taken['study']['ensemble']['weights']
    return Figure(sum(weight >= 0.2 for weight in weights), len(weights))


def ensemble_minus_best(taken: Taken) -> Figure:
    """Return the ensemble's error minus its best member's, on drives that fitted no weight."""
    found = taken['study']['ensemble']
    difference = found['ensemble_minus_best']
    return Figure(difference['value'], found['test_episodes'], difference['low'],
                  difference['high'])
