"""Several policies that act together: the weighted mean, and how far they disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vla_nav.contracts import ActionChunk, Frame, Policy, PolicyError, PolicySpec
from vla_nav.runtimes.bundle import CONFIG_NAME, EnsembleBundle, read_bundle


class Ensemble:
    """A policy made of policies with one action space and one step.

    The chunk is as long as the shortest; its ``uncertainty`` is the members' disagreement: the
    weighted standard deviation of their velocities as a share of the limits, the largest over
    axes and steps.
    """

    def __init__(self, members: Sequence[tuple[Policy, float]], name: str = 'ensemble',
                 max_observation_age_s: float | None = None) -> None:
        """Take policies with their weights; raise PolicyError where they cannot act together."""
        total = sum(weight for _, weight in members)
        if not members or total <= 0 or any(weight < 0 for _, weight in members):
            raise PolicyError(f'{name}: an ensemble needs members with weights of at least 0, '
                              'not all 0')
        # One that has no say need not be run.
        self._members = [(policy, weight / total) for policy, weight in members if weight > 0]
        specs = [policy.spec for policy, _ in self._members]
        first = specs[0]
        for spec in specs[1:]:
            if spec.action_space != first.action_space or spec.step_ns != first.step_ns:
                raise PolicyError(f'{name}: {spec.name} drives {spec.action_space} in steps of '
                                  f'{spec.step_ns} ns, {first.name} {first.action_space} in '
                                  f'{first.step_ns} ns; choose members of one action space and '
                                  'one step')
        ages = [spec.max_observation_age_s for spec in specs]
        self._spec: PolicySpec = replace(
            first, name=name, chunk=min(spec.chunk for spec in specs),
            image_height=max(spec.image_height for spec in specs),
            image_width=max(spec.image_width for spec in specs),
            max_observation_age_s=max_observation_age_s or max(ages),
            arrived_threshold=0.5,
            runtime=_each(spec.runtime for spec in specs),
            provider=_each(spec.provider for spec in specs),
            fallback='; '.join(filter(None, dict.fromkeys(spec.fallback for spec in specs))))
        self._scale = np.maximum(first.action_space.high, -np.asarray(first.action_space.low))

    @property
    def spec(self) -> PolicySpec:
        """Return the static description; the picture is as large as the largest asked for."""
        return self._spec

    @property
    def weights(self) -> dict[str, float]:
        """Return the normalised weight of each member that has one."""
        return {policy.spec.name: weight for policy, weight in self._members}

    def reset(self) -> None:
        """Forget the past: a new episode begins."""
        for policy, _ in self._members:
            policy.reset()

    def set_instruction(self, text: str) -> str:
        """Tell all members and return how the first read it; raise NotUnderstood if one does.

        Where one has refused, none has an instruction that the others do not.
        """
        readings = [policy.set_instruction(text) for policy, _ in self._members]
        return readings[0]

    def act(self, frame: Frame) -> ActionChunk:
        """Return the members' mean for this frame; raise PolicyError where one fails."""
        return self.mean([policy.act(frame) for policy, _ in self._members])

    def mean(self, chunks: Sequence[ActionChunk]) -> ActionChunk:
        """Return the mean of what each member that has a weight gave for one frame."""
        weights = np.array([weight for _, weight in self._members], np.float64)
        rows = np.stack([chunk.velocities[:self._spec.chunk] for chunk in chunks])
        mean = np.tensordot(weights, rows, 1)
        spread = np.sqrt(np.tensordot(weights, (rows - mean) ** 2, 1)) / self._scale
        # Each member's belief is brought to a threshold of one half, so that they compare.
        beliefs = [_belief(chunk.arrived, policy.spec.arrived_threshold)
                   for chunk, (policy, _) in zip(chunks, self._members)]
        return ActionChunk(mean.astype(np.float32), self._spec.step_ns, chunks[0].stamp_ns,
                           float(weights @ beliefs), float(spread.max()))


def load_ensemble(directory: Path, config: EnsembleBundle,
                  load: Callable[[Path, tuple[Path, ...]], Policy],
                  above: tuple[Path, ...] = ()) -> Ensemble:
    """Return the ensemble in ``directory``, its members loaded by ``load``; raise PolicyError.

    ``above`` are the ensembles that it is a member of; ``load`` is told those of each member.
    """
    members = [(load(path, (*above, directory.resolve())), weight)
               for path, weight in _members(directory, config, above)]
    return Ensemble(members, config.name, config.max_observation_age_s)


def networks(directory: Path, above: tuple[Path, ...] = ()) -> list[tuple[Path, float]]:
    """Return the bundles of single networks that a bundle stands for, with weights of sum 1.

    Raises PolicyError where one is no bundle, or an ensemble is among its own members.
    """
    config = read_bundle(directory)
    if not isinstance(config, EnsembleBundle):
        return [(directory, 1.0)]
    total = sum(one.weight for one in config.members)
    return [(path, weight * share / total)
            for member, share in _members(directory, config, above)
            for path, weight in networks(member, (*above, directory.resolve()))]


def _members(directory: Path, config: EnsembleBundle,
             above: tuple[Path, ...]) -> Iterator[tuple[Path, float]]:
    """Yield the members' directories and weights; raise PolicyError where they go round."""
    inside = (*above, directory.resolve())
    for number, member in enumerate(config.members):
        path = (directory / member.path).resolve()
        if path in inside:
            which = ('the ensemble itself' if path == inside[-1] else
                     f'which has this ensemble ({inside[-1]}) among its own members')
            raise PolicyError(f'{directory / CONFIG_NAME}: members.{number}.path is '
                              f'{member.path!r}, {which}; name another bundle')
        yield path, member.weight


def _each(names: Iterable[str]) -> str:
    return ', '.join(dict.fromkeys(names))


def _belief(arrived: float, threshold: float) -> float:
    if arrived < threshold:
        return 0.5 * arrived / threshold
    return 1.0 if threshold >= 1 else 0.5 + 0.5 * (arrived - threshold) / (1 - threshold)
