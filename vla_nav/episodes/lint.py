"""Look through recordings for what would make a policy trained on them memorise or mislead."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode, EpisodeError, JpegPictures
from vla_nav.episodes.store import EpisodeRef, find_episodes
from vla_nav.observations.decode import compressed_size

# Two episodes whose actions agree to this many decimals (SI units) count as the same.
_DECIMALS = 3
_FASTEST_NS = 5_000_000  # no camera here gives 200 pictures a second
_GAP_FACTOR = 2.0  # a gap of twice the usual one has lost at least one picture
_SATURATED_SHARE = 0.5
_CLOCK_SHARE = 0.9
_SIDE_SHARE = 0.4
_SCENARIO_RATIO = 2.0
# Text that tells the label or the layout instead of the task: identifiers, units and numbers.
_LEAKS = re.compile(r'(?<![^\W_])(linear_[xy]|angular_z|[12]box|hori|vert|core|variant)(?![^\W_])'
                    r'|\d+(\.\d+)?\s*(m/s|rad|deg|°|cm\b|m\b|미터|도\b)', re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: 'error' spoils a training or a result, 'warning' may."""

    severity: str
    file: str
    field: str
    message: str
    remedy: str

    def to_dict(self) -> dict[str, str]:
        """Return the form printed as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Facts:
    """What the rules across episodes need of one: no pictures, so that thousands fit."""

    file: str
    scenario: str
    instruction: str
    actions: NDArray[np.float32]
    action_hash: str
    picture_hash: str

    @property
    def side(self) -> str | None:
        """Return 'left' or 'right' as the scenario's name tells, else None."""
        return next((s for s in ('left', 'right') if s in re.split(r'[_\W]', self.scenario)), None)


def lint(directory: Path, validation: Path | None = None,
         progress: Callable[[Sequence[EpisodeRef]], Iterator[EpisodeRef]] = iter) -> list[Finding]:
    """Return the findings on a directory, and on its overlap with a validation directory.

    A recording that cannot be read is one finding; all others are still looked at.
    ``progress`` wraps the sequence of episodes while they are read.
    """
    findings: list[Finding] = []
    facts = _read_all(directory, findings, progress)
    findings += [*_duplicates(facts), *_clockwork(facts), *_balance(facts), *_saturation(facts),
                 *_text_tells_scenario(facts)]
    if not facts and not findings:
        findings.append(Finding('error', str(directory), 'file', 'there are no episodes',
                                'give a directory with .h5 or .hdf5 recordings'))
    if validation is not None:
        findings += _leakage(facts, _read_all(validation, findings, progress))
    return sorted(findings, key=lambda f: (f.severity != 'error', f.file, f.field))


def _read_all(directory: Path, findings: list[Finding],
              progress: Callable[[Sequence[EpisodeRef]], Iterator[EpisodeRef]]) -> list[Facts]:
    refs, errors = find_episodes(directory)
    facts = []
    for ref in progress(refs):
        try:
            with open_episode(ref) as episode:
                findings += _episode_findings(episode, str(ref))
                facts.append(_facts(episode, str(ref)))
        except EpisodeError as error:
            errors.append(error)
    findings += [_unreadable(error) for error in errors]
    return facts


def _unreadable(error: EpisodeError) -> Finding:
    return Finding('error', error.file, error.field, error.problem,
                   'record it again or move it away; it is left out of everything else')


def _facts(episode: Episode, file: str) -> Facts:
    rounded = np.round(episode.actions, _DECIMALS) + 0.0  # + 0.0 makes one zero of -0 and 0
    # The middle picture: the first may show the same start in honest recordings.
    middle = len(episode) // 2
    picture = (episode.images.encoded(middle) if isinstance(episode.images, JpegPictures)
               else np.ascontiguousarray(episode.images[middle]).tobytes())
    return Facts(file, episode.scenario, episode.instruction, episode.actions,
                 hashlib.sha256(rounded.tobytes()).hexdigest(),
                 hashlib.sha256(picture).hexdigest())


def _episode_findings(episode: Episode, file: str) -> Iterator[Finding]:
    if not episode.instruction.strip():
        yield Finding('error', file, 'instruction', 'is empty',
                      'write what the robot was told, or leave the episode out')
    leak = _LEAKS.search(episode.instruction)
    if leak:
        yield Finding('warning', file, 'instruction', f'"{leak[0]}" in "{episode.instruction}" '
                      'tells the answer or the layout',
                      'say the task as a person would, without identifiers or quantities')
    yield from _stamps(episode.stamps_ns, file)
    if isinstance(episode.images, JpegPictures):
        for index in range(len(episode)):
            try:
                compressed_size(episode.images.encoded(index))
            except ValueError as error:
                yield Finding('error', file, f'jpeg[{index}]', str(error),
                              'cut the episode before this picture or record it again')


def _stamps(stamps_ns: NDArray[np.int64] | None, file: str) -> Iterator[Finding]:
    if stamps_ns is None:
        yield Finding('warning', file, 'stamps_ns', 'are missing: rate and gaps are unknown',
                      'record with stamps; do not measure latencies or rates on this')
        return
    gaps = np.diff(stamps_ns)
    if len(gaps) == 0:
        return
    if gaps.min() <= 0:
        yield Finding('error', file, 'stamps_ns', f'do not increase at row '
                      f'{int(np.argmin(gaps > 0)) + 1}', 'sort the pictures by stamp, each once')
        return
    if np.median(gaps) < _FASTEST_NS:
        yield Finding('error', file, 'stamps_ns', f'are {np.median(gaps) / 1e6:.1f} ms apart: '
                      'the times of a conversion, not of the camera',
                      'convert again with the true rate (vla-nav data from-tub --rate HZ)')
        return
    usual, lost = float(np.median(gaps)), gaps > _GAP_FACTOR * np.median(gaps)
    if lost.any():
        yield Finding('warning', file, 'stamps_ns', f'{int(lost.sum())} gaps exceed twice the '
                      f'usual {usual / 1e6:.0f} ms, the longest is {gaps.max() / 1e6:.0f} ms',
                      'look for dropped pictures (QoS, CPU); split the episode at long gaps')


def _duplicates(facts: Sequence[Facts]) -> Iterator[Finding]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for f in facts:
        groups[f.action_hash].append(f.file)
    for first, *others in groups.values():
        for other in others:
            yield Finding('error', other, 'actions', f'are the same sequence as in {first}',
                          'keep one of them: a policy learns such sequences by heart, by the '
                          'clock instead of the picture')


def _clockwork(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Find scenarios whose actions a clock alone foretells: the mean action of each step."""
    groups: defaultdict[str, list[Facts]] = defaultdict(list)
    for f in facts:
        groups[f.scenario].append(f)
    for scenario, members in groups.items():
        # A shared length is no fault of its own; rows that fewer than three share tell nothing.
        length = sorted(len(f.actions) for f in members)[-3] if len(members) >= 3 else 0
        if length < 2 or len({f.actions.shape[1] for f in members}) != 1:
            continue
        stack = np.full((len(members), length, members[0].actions.shape[1]), np.nan)
        for row, f in zip(stack, members):
            row[:len(f.actions)] = f.actions[:length]
        # Leave-one-out, or few episodes would seem foretold by their own share of the mean.
        count = np.sum(np.isfinite(stack), axis=0)
        others = (np.nansum(stack, axis=0) - stack) / np.maximum(count - 1, 1)
        explained = 1.0 - np.nanmean((stack - others) ** 2) / max(
            float(np.nanmean((stack - np.nanmean(stack, axis=(0, 1))) ** 2)), 1e-12)
        if explained > _CLOCK_SHARE:
            yield Finding('warning', scenario or '(no scenario)', 'actions',
                          f'the step number alone foretells {explained:.0%} of the variance over '
                          f'{len(members)} episodes',
                          'vary start poses, positions and pace between recordings')


def _balance(facts: Sequence[Facts]) -> Iterator[Finding]:
    scenarios = Counter(f.scenario for f in facts if f.scenario)
    if len(scenarios) > 1:
        (most, many), (least, few) = scenarios.most_common()[0], scenarios.most_common()[-1]
        if many > _SCENARIO_RATIO * few:
            yield Finding('warning', '(all)', 'scenario', f'{most} has {many} episodes, {least} '
                          f'{few}', 'record more of the rare scenarios or weight them')
    sides = Counter(f.side for f in facts if f.side)
    total = sum(sides.values())
    if total >= 4 and min(sides['left'], sides['right']) < _SIDE_SHARE * total:
        yield Finding('warning', '(all)', 'scenario', f'{sides["left"]} episodes pass on the '
                      f'left, {sides["right"]} on the right',
                      'record the rare side, or mirror pictures, actions and text together')


def _saturation(facts: Sequence[Facts]) -> Iterator[Finding]:
    widths = {f.actions.shape[1] for f in facts}
    for width in widths:
        members = [f for f in facts if f.actions.shape[1] == width]
        extremes = np.max([np.abs(f.actions).max(axis=0) for f in members], axis=0)
        for f in members:
            share = (np.abs(f.actions) >= 0.999 * extremes).mean(axis=0)
            for axis in np.flatnonzero((share > _SATURATED_SHARE) & (extremes > 0)):
                yield Finding('warning', f.file, f'actions[:, {axis}]', f'{share[axis]:.0%} are '
                              f'at the extreme of +-{extremes[axis]:.3g}',
                              'drive with an analogue device, or below the limit; a policy cannot '
                              'learn how much from a key that is only on or off')


def _text_tells_scenario(facts: Sequence[Facts]) -> Iterator[Finding]:
    """Find texts that give away the layout: each belongs to one scenario of its side alone."""
    for side in ('left', 'right'):
        scenarios: defaultdict[str, set[str]] = defaultdict(set)
        count = 0
        for f in facts:
            if f.side == side and f.instruction:
                scenarios[f.scenario].add(f.instruction)
                count += 1
        texts = [text for those in scenarios.values() for text in those]
        # Texts that hardly repeat are unlike by chance; those that repeat and never cross are not.
        if len(scenarios) > 1 and len(set(texts)) == len(texts) and count >= 3 * len(texts):
            yield Finding('warning', '(all)', 'instruction', f'on the {side}, every text belongs '
                          'to one scenario, so the text tells the layout that the camera should',
                          'use the same texts in every scenario of a side')


def _leakage(train: Sequence[Facts], validation: Sequence[Facts]) -> Iterator[Finding]:
    known: dict[tuple[str, Any], str] = {}
    for f in train:
        known[('actions', f.action_hash)] = known[('images', f.picture_hash)] = f.file
    for f in validation:
        for field, value in (('actions', f.action_hash), ('images', f.picture_hash)):
            if (field, value) in known:
                yield Finding('error', f.file, field, f'are also in the training episode '
                              f'{known[field, value]}', 'take it out of one of the two: results '
                              'on episodes seen in training are worth nothing')
                break
