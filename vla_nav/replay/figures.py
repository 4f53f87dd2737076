"""From the tables of a replay to its figures: errors beside baselines, ages, stops, latency."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.contracts import PolicySpec
from vla_nav.control.diagnostics import percentiles_ms
from vla_nav.control.guard import Limit, Reason
from vla_nav.evaluation.labels import ChunkErrors, earlier, intervals
from vla_nav.evaluation.metrics import error_table
from vla_nav.observations.align import nearest_previous
from vla_nav.observations.translation import Translation
from vla_nav.replay.run import REASONS, Replayed
from vla_nav.replay.stops import stops, stretches
from vla_nav.spaces import AXES

# Pictures of one drive resemble each other; intervals resample stretches of this length.
_STRETCH_NS = 10_000_000_000
_CLOCK_OFFSET_NS = 1_000_000_000
MOMENTS = 10
_APART_NS = 1_000_000_000


@dataclass(frozen=True)
class Compared:
    """The pictures that have a driven command: rows of ``pictures``, commands [N, A], drives.

    ``drives`` are runs of indices into the rows: one instruction, no pause, time going forward.
    """

    rows: NDArray[Any]
    wanted: NDArray[np.float32]
    drives: list[NDArray[np.int64]]


def compare(found: Replayed, names: tuple[str, ...], translation: Translation) -> Compared:
    """Find each picture's driven command, as :mod:`vla_nav.episodes.from_bag` does."""
    pictures, commands = found.pictures.read(), found.commands.read()
    rows, wanted = [], []
    for part in np.unique(pictures['part']):
        there = np.flatnonzero(pictures['part'] == part)
        driven = commands[commands['part'] == part]
        driven = driven[np.argsort(driven['stamp'], kind='stable')]
        chosen = nearest_previous(
            driven['stamp'], pictures['stamp'][there] + round(translation.command_lead * 1e9),
            round(translation.command_tolerance * 1e9))
        rows.append(there[chosen >= 0])
        wanted.append(driven['velocity'][chosen[chosen >= 0]])
    kept = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    columns = [AXES.index(name) for name in names]
    velocities = np.concatenate(wanted)[:, columns] if rows else np.zeros((0, len(names)))
    samples = pictures[kept]
    ends = ((np.diff(samples['part']) != 0) | (np.diff(samples['text']) != 0)
            | (np.diff(samples['stamp']) > round(translation.longest_gap * 1e9)))
    drives = np.split(np.arange(len(samples)), np.flatnonzero(ends) + 1) if len(samples) else []
    return Compared(samples, velocities.astype(np.float32), drives)


def figures(found: Replayed, compared: Compared, spec: PolicySpec,
            blind: tuple[str, ...]) -> dict[str, Any]:
    """Return everything that a program wants to know; of it only ``latency_ms`` varies."""
    pictures = found.pictures.read()
    think, decode = pictures['think_ns'], pictures['decode_ns']
    return {
        'seconds': round((found.ended_ns - found.began_ns) / 1e9, 3),
        'pictures': {**dict(sorted(found.counts.items())), 'evaluated': len(pictures),
                     'with a driven command': len(compared.rows)},
        'instructions': found.texts,
        'states': [{'at_s': _seconds(found, at), 'state': state, 'why': why}
                   for at, state, why in found.states],
        'drives': len(compared.drives),
        'errors': _errors(compared, spec, blind, found.texts) if len(compared.rows) else None,
        'ages_ms': {'picture on arrival': percentiles_ms(pictures['arrival'] - pictures['stamp']),
                    **_command_age(found)},
        'guard': guard_figures(found),
        'latency_ms': {'decode': percentiles_ms(decode), 'policy': percentiles_ms(think)},
    }


def guard_figures(found: Replayed) -> dict[str, Any]:
    """Return how long the guard would have followed or stopped what, and each of its stops."""
    rows = found.decisions.read()
    if not len(rows):
        return {'seconds': {}, 'stops': []}
    lasting = np.diff(rows['at'], append=rows['at'][-1:]).clip(0)
    seconds = {
        REASONS[number].value: round(float(lasting[rows['reason'] == number].sum()) / 1e9, 3)
        for number in np.unique(rows['reason'])}
    limits = tuple(Limit)
    limited = Counter({limits[number].value: int((rows['limit'] == number).sum())
                       for number in np.unique(rows['limit']) if limits[number].value})
    return {'seconds': seconds, 'limited_decisions': dict(limited),
            'decisions': len(rows), 'stops': _stops(found, rows)}


def _stops(found: Replayed, rows: NDArray[Any]) -> list[dict[str, Any]]:
    """Return each stretch in which the guard would have stopped the robot, and why."""
    first = np.flatnonzero(np.diff(rows['reason'].astype(int), prepend=-1) != 0)
    changes = [(int(rows['at'][row]), REASONS[rows['reason'][row]].value) for row in first]
    return stops(stretches(changes, found.began_ns, int(rows['at'][-1])))


def _command_age(found: Replayed) -> dict[str, Any]:
    rows = found.decisions.read()
    driving = rows['age_ns'][rows['reason'] == REASONS.index(Reason.POLICY)]
    return {'picture behind a command': percentiles_ms(driving)}


def _errors(compared: Compared, spec: PolicySpec, blind: tuple[str, ...],
            texts: list[str]) -> dict[str, Any]:
    names, rows, wanted = spec.action_space.names, compared.rows, compared.wanted
    predicted = {'policy': rows['chunk'][:, 0], 'policy, executed and guarded': rows['executed'],
                 **{name: rows[name] for name in blind}}
    before = np.zeros_like(wanted)
    chunk, hold = ChunkErrors(spec.chunk), ChunkErrors(spec.chunk)
    for drive in compared.drives:
        stamps = rows['stamp'][drive]
        before[drive] = earlier(wanted[drive], stamps, spec.step_ns)
        chunk.add(rows['chunk'][drive], wanted[drive], stamps, spec.step_ns)
        held = np.broadcast_to(before[drive, None], (len(drive), spec.chunk, len(names)))
        hold.add(held, wanted[drive], stamps, spec.step_ns)
    predicted['previous action'] = before
    by_step = step_index(compared, spec.step_ns)
    if by_step is not None:
        predicted['step-index'] = by_step
    for name, reduce in (('constant mean', np.mean), ('constant median', np.median)):
        predicted[name] = np.broadcast_to(reduce(wanted, axis=0), wanted.shape)
    stretches = [part for drive in compared.drives for part in _stretches(rows['stamp'], drive)]
    cut = {name: [values[part] for part in stretches] for name, values in predicted.items()}
    found = intervals(cut, [wanted[part] for part in stretches],
                      {'by_instruction': [texts[rows['text'][part[0]]] for part in stretches]})
    return {
        'samples': len(wanted), 'stretches': len(stretches),
        'predictors': {name: error_table(values, wanted, names)
                       for name, values in predicted.items()},
        **found,
        'chunk_mae': chunk.means(), 'hold_mae': hold.means(),
    }


def step_index(compared: Compared, step_ns: int) -> NDArray[np.float32] | None:
    """Return what a clock alone would drive [N, A]: the mean of the other drives at each step.

    None with a single drive, from which nothing else is known. A step that no other drive
    reaches stands still.
    """
    if len(compared.drives) < 2:
        return None
    stamps, wanted = compared.rows['stamp'], compared.wanted
    steps = np.concatenate([np.rint((stamps[drive] - stamps[drive[0]]) / step_ns)
                            for drive in compared.drives]).astype(np.int64)
    sums = np.zeros((steps.max() + 1, wanted.shape[1]))
    counts = np.zeros(steps.max() + 1)
    np.add.at(sums, steps, wanted)
    np.add.at(counts, steps, 1)
    out = np.zeros_like(wanted)
    for drive in compared.drives:
        own, own_counts = np.zeros_like(sums), np.zeros_like(counts)
        np.add.at(own, steps[drive], wanted[drive])
        np.add.at(own_counts, steps[drive], 1)
        others = np.maximum(counts - own_counts, 1)[:, None]
        out[drive] = ((sums - own) / others)[steps[drive]]
    return out


def worst(compared: Compared, scale: NDArray[np.float64]) -> list[int]:
    """Return the rows with the largest errors, as shares of the limits, a second apart."""
    error = np.abs(compared.rows['chunk'][:, 0] - compared.wanted) / scale
    chosen: list[int] = []
    stamps, parts = compared.rows['stamp'], compared.rows['part']
    for row in np.argsort(-error.sum(axis=1), kind='stable').tolist():
        if all(parts[row] != parts[other] or abs(stamps[row] - stamps[other]) >= _APART_NS
               for other in chosen):
            chosen.append(row)
            if len(chosen) == MOMENTS:
                break
    return chosen


def driven_after(compared: Compared, index: int, spec: PolicySpec) -> NDArray[np.float32]:
    """Return the commands [<= K, A] at the times of a picture's chunk, within its drive."""
    drive = next(drive for drive in compared.drives if drive[0] <= index <= drive[-1])
    stamps = compared.rows['stamp'][drive]
    due = compared.rows['stamp'][index] + spec.step_ns * np.arange(spec.chunk)
    due = due[due <= stamps[-1] + spec.step_ns]
    return compared.wanted[drive[np.searchsorted(stamps, due, 'right') - 1]]


def problems(found: Replayed, compared: Compared, damage: list[str], commands: str) -> list[str]:
    """Return what a person should know of the recording, each with what to do about it.

    ``damage`` is what its reader complained of, and ``commands`` names the commands' topic.
    """
    said = list(damage)
    said += [f'{count} x {what}' for what, count in found.complaints.most_common(8)]
    pictures, repeated = found.pictures.read(), found.counts['repeated stamps']
    if 2 * repeated > found.counts['pictures']:
        said.append(f'{repeated} pictures carry the stamp of the one before; where the camera '
                    'sets none, take the time of arrival: --stamps arrival')
    if len(pictures):
        offset = int(np.median(pictures['arrival'] - pictures['stamp']))
        if abs(offset) > _CLOCK_OFFSET_NS:
            said.append(f"the camera's stamps are {offset / 1e9:.1f} s behind the clock of the "
                        'recording, so that the guard would hold the robot; --stamps arrival')
    if not commands:
        said.append('no commands were recorded, so there is nothing to compare with; name what '
                    'was driven with --command-topic')
    elif not len(compared.rows):
        said.append(f'{len(found.commands)} commands on {commands} and {len(pictures)} pictures, '
                    'but none overlap in time: do camera and commands use the same clock?')
    if not len(pictures):
        said.append('no picture could be evaluated; see what became of them above')
        if found.counts['without an instruction']:
            said.append('what was recorded of instructions says none that holds; --instruction '
                        '"..." says one')
    return said


def _stretches(stamps: NDArray[np.int64], drive: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    number = (stamps[drive] - stamps[drive[0]]) // _STRETCH_NS
    return np.split(drive, np.flatnonzero(np.diff(number)) + 1)


def _seconds(found: Replayed, at_ns: int) -> float:
    return round((at_ns - found.began_ns) / 1e9, 3)
