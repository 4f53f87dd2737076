"""What a training needs to know of each recording, without its pictures."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_nav.episodes.fingerprint import picture_hash
from vla_nav.episodes.readers import open_episode
from vla_nav.episodes.schema import Episode, EpisodeError
from vla_nav.episodes.store import EpisodeRef, find_episodes
from vla_nav.training.family.problems import TrainingError

# An axis that a policy leaves out must not have been driven: below this it counts as still.
_STILL = 0.02


@dataclass(frozen=True)
class Recording:
    """One episode: where it is, what was said and done, and what identifies it.

    ``actions`` float32 [N, A] are SI velocities along the policy's axes, ``stamps_ns`` int64 [N]
    increase. ``present`` bool [A] are the axes that the robot has; the others are 0 in
    ``actions``, and teach nothing. ``pictures`` and ``driven`` are hashes of the middle picture
    and of the actions: two recordings that share one of them hold the same drive. ``session`` is
    the folder of a file, or the file where many episodes share one. ``success`` is None where
    nobody said.
    """

    ref: EpisodeRef
    name: str
    scenario: str
    instruction: str
    session: str
    date: str
    actions: NDArray[np.float32]
    present: NDArray[np.bool_]
    stamps_ns: NDArray[np.int64]
    pictures: str
    driven: str
    success: bool | None = None

    def __len__(self) -> int:
        return len(self.stamps_ns)

    @property
    def arrived(self) -> NDArray[np.float32]:
        """Return [N], 1 where the task was done, NaN where nobody said.

        That is at the end of a success, from where the robot stood still.
        """
        if self.success is None:
            return np.full(len(self), np.nan, np.float32)
        moved = np.flatnonzero(np.abs(self.actions).max(1) > _STILL)
        begun = np.arange(len(self)) > (moved[-1] if len(moved) else -1)
        return (begun & self.success).astype(np.float32)

    @property
    def gap_ns(self) -> int:
        """Return the usual time between two pictures."""
        return int(np.median(np.diff(self.stamps_ns))) if len(self) > 1 else 0


def read_recordings(data: Sequence[Path], axes: tuple[str, ...],
                    rate_hz: float | None = None) -> list[Recording]:
    """Return all episodes under the folders or files ``data``, in the order of their names.

    ``rate_hz`` is the rate of recordings that have no stamps. Raises TrainingError for what no
    policy with these ``axes`` can learn from, and EpisodeError for a damaged file.
    """
    found: dict[str, Recording] = {}
    for root in data:
        refs, errors = find_episodes(root)
        if errors:
            raise errors[0]
        for ref in refs:
            recording = _read(ref, root, axes, rate_hz)
            if recording.name in found:
                other = found[recording.name].ref
                raise TrainingError(f'{ref} and {other} are both called {recording.name}: give '
                                    'each folder once, and folders of different names')
            found[recording.name] = recording
    if not found:
        raise TrainingError(f'no episodes in {", ".join(map(str, data)) or "(nothing)"}: give '
                            'folders with .h5 or .hdf5 recordings (vla-nav data --help says how '
                            'to convert others)')
    return [found[name] for name in sorted(found)]


def fingerprints(recordings: Iterable[Recording]) -> list[str]:
    """Return what identifies the drives of a part, as kept in a bundle."""
    return sorted({recording.pictures for recording in recordings})


def _read(ref: EpisodeRef, root: Path, axes: tuple[str, ...],
          rate_hz: float | None) -> Recording:
    with open_episode(ref) as episode:
        actions, present = driven_axes(episode, axes, str(ref))
        stamps = _stamps(episode, str(ref), rate_hz)
        folder = root if root.is_dir() else root.parent
        name = (Path(folder.name) / ref.path.relative_to(folder)).as_posix()
        alone = ref.group == '/'
        return Recording(
            ref=ref, name=name if alone else f'{name}:{ref.group}', scenario=episode.scenario,
            instruction=episode.instruction,
            session=Path(name).parent.as_posix() if alone else name,
            date=datetime.datetime.fromtimestamp(
                int(stamps[0]) / 1e9, datetime.timezone.utc).date().isoformat(),
            actions=actions, present=present, stamps_ns=stamps, pictures=picture_hash(episode),
            driven=hashlib.sha256(episode.actions.tobytes()).hexdigest()[:32],
            success=episode.success)


def driven_axes(episode: Episode, axes: tuple[str, ...], source: str
                ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the actions [N, A] along ``axes``, and which of these [A] the robot has.

    An axis that it has not is 0. Raises TrainingError where it has none of them, or was driven
    along another.
    """
    there = episode.action_names
    present = np.array([axis in there for axis in axes])
    if not present.any():
        raise TrainingError(
            f'{source}: action_names: the recording has {list(there)}, the policy drives only '
            f'{list(axes)}: set action.limits={limits_for(there)}, or leave the recording out')
    for axis in there:
        most = float(np.abs(episode.actions[:, there.index(axis)]).max())
        if axis not in axes and most > _STILL:
            raise TrainingError(
                f'{source}: actions: {axis} was driven (up to {most:.2f}), but the policy has '
                f'only {list(axes)}: set action.limits={limits_for((*axes, axis))}; half of a '
                'drive cannot be learned')
    actions = np.zeros((len(episode), len(axes)), np.float32)
    actions[:, present] = episode.actions[:, [there.index(axis) for axis in axes
                                              if axis in there]]
    return actions, present


def limits_for(names: Sequence[str]) -> str:
    """Return the setting of ``action.limits`` for a policy with these axes."""
    return '{' + ', '.join(f'{name}: LIMIT' for name in names) + '}'


def _stamps(episode: Episode, source: str, rate_hz: float | None) -> NDArray[np.int64]:
    stamps = episode.stamps_ns
    if stamps is None:
        if rate_hz is None:
            raise TrainingError(f'{source}: stamps_ns: the recording has no stamps: say at how '
                                'many pictures a second it was made, train.rate_hz=10')
        return np.round(np.arange(len(episode)) * 1e9 / rate_hz).astype(np.int64)
    if (np.diff(stamps) <= 0).any():
        row = int(np.argmax(np.diff(stamps) <= 0)) + 1
        raise EpisodeError(source, f'stamps_ns[{row}]', 'does not increase: sort the pictures by '
                           'stamp, each once')
    return stamps
